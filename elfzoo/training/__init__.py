"""One training loop, driven by a typed configuration."""

from elfzoo.training.config import DataConfig, TrainConfig
from elfzoo.training.loop import train

__all__ = ["DataConfig", "TrainConfig", "train"]
