"""Power spectra at any points of one structure, with fixed weights of its atoms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.periodic import CellList, periodic_images, probe_edges, wrap
from elfzoo.probe import add_probe_edges, probe_data
from elfzoo.transforms import fused
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, power_spectrum

__all__ = ["surroundings"]


def surroundings(
    structure: Structure, config: PowerSpectrumConfig, weights: Float[np.ndarray, "atoms channels"]
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from points (n, 3), Å, to power spectra (n, features), by the compiled kernel where it applies.

    Args:
        structure: all periodic images count.
        config: of the power spectrum.
        weights: of each atom in each channel.
    """
    lattice = structure.lattice.matrix
    if fused.supports(config):
        cells = CellList.build(periodic_images(structure.cart_coords, lattice, config.r_cut))
        single = np.ascontiguousarray(weights, np.float32)
        return lambda points: fused.features(config, cells, single, wrap(points, lattice))

    def slow(points: np.ndarray) -> np.ndarray:
        data = add_probe_edges(probe_data(structure, points), partial(probe_edges, r_cut=config.r_cut))
        atom, probe = data.probe_edge_index
        of_edges = torch.from_numpy(np.asarray(weights, np.float32))[atom]
        return power_spectrum(data.edge_vectors(), of_edges, probe, len(points), config).numpy()

    return slow
