"""Structure and points to model inputs; nothing here is learned."""

from elfzoo.transforms.images import CellList, Images, periodic_images, probe_edges
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, power_spectrum

__all__ = ["CellList", "Images", "PowerSpectrumConfig", "periodic_images", "power_spectrum", "probe_edges"]
