"""Architectures. Importing this package registers every one of them."""

from elfzoo.models.base import FieldModel, Model, PointModel
from elfzoo.models.grid_mlp import GridMLP, GridMLPConfig

__all__ = ["FieldModel", "GridMLP", "GridMLPConfig", "Model", "PointModel"]
