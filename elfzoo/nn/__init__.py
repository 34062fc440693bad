"""Learned building blocks that architectures share."""

from elfzoo.nn.elements import ElementEmbedding
from elfzoo.nn.mlp import mlp
from elfzoo.nn.standardise import Standardise

__all__ = ["ElementEmbedding", "Standardise", "mlp"]
