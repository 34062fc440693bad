"""One training loop, driven by a typed configuration."""

from elfzoo.training.config import DataConfig, FieldTraining, TrainConfig
from elfzoo.training.loop import train

__all__ = ["DataConfig", "FieldTraining", "TrainConfig", "train"]
