"""Learned building blocks that architectures share."""

from elfzoo.nn.degree_dropout import DegreeDropout
from elfzoo.nn.elements import ElementEmbedding
from elfzoo.nn.mlp import mlp
from elfzoo.nn.standardise import Standardise

__all__ = ["DegreeDropout", "ElementEmbedding", "Standardise", "mlp"]
