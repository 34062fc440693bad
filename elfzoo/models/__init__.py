"""Architectures. Importing this package registers every one of them."""

from elfzoo.models.base import Model, PointModel
from elfzoo.models.field_model import FieldModel
from elfzoo.models.grid_mlp import GridMLP, GridMLPConfig
from elfzoo.models.harris import Harris, HarrisDelta, HarrisDeltaConfig, HarrisModelConfig
from elfzoo.models.harris_pw import HarrisPW, HarrisPWConfig, HarrisPWDelta, HarrisPWDeltaConfig
from elfzoo.models.latent_field import LatentField, LatentFieldConfig
from elfzoo.models.patch_cnn import PatchCNN, PatchCNNConfig
from elfzoo.models.probe_graph import ProbeGraph, ProbeGraphConfig
from elfzoo.models.symmetry_unet import SymmetryUNet, SymmetryUNetConfig

__all__ = [
    "FieldModel",
    "GridMLP",
    "GridMLPConfig",
    "Harris",
    "HarrisDelta",
    "HarrisDeltaConfig",
    "HarrisModelConfig",
    "HarrisPW",
    "HarrisPWConfig",
    "HarrisPWDelta",
    "HarrisPWDeltaConfig",
    "LatentField",
    "LatentFieldConfig",
    "Model",
    "PatchCNN",
    "PatchCNNConfig",
    "PointModel",
    "ProbeGraph",
    "ProbeGraphConfig",
    "SymmetryUNet",
    "SymmetryUNetConfig",
]
