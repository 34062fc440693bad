"""Trained models by name, folder or repository; releases on their way to the Hub and back."""

from elfzoo.hub.load import list_pretrained, load_pretrained, recommend
from elfzoo.hub.release import load_release, save_release

__all__ = ["list_pretrained", "load_pretrained", "load_release", "recommend", "save_release"]
