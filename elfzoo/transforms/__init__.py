"""Structure and points to model inputs; nothing here is learned."""

from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, power_spectrum

__all__ = ["PowerSpectrumConfig", "power_spectrum"]
