"""Power spectrum by brute force in double precision: an explicit sum over many images, complex harmonics of scipy."""

from itertools import product

import numpy as np
from scipy.special import sph_harm_y


def power_spectrum(points, positions, lattice, weights, config, images=6):
    """(points, features), written straight from eqs. 1 - 5 and the definition of the smooth variant."""
    shifts = np.array(list(product(range(-images, images + 1), repeat=3))) @ lattice
    rows = []
    for point in points:
        vectors = (positions[:, None, :] + shifts[None, :, :] - point).reshape(-1, 3)
        e = np.repeat(weights, len(shifts), axis=0)
        r = np.linalg.norm(vectors, axis=1)
        near = r < config.r_cut
        rows.append(_at_point(vectors[near], r[near], e[near], config))
    return np.array(rows)


def _at_point(vectors, r, e, config):
    centres = np.linspace(0, config.r_cut, config.n_radial)
    sigma = config.sigma_ratio * config.r_cut / (config.n_radial - 1)
    radial = np.exp(-((r[:, None] - centres) ** 2) / (2 * sigma**2))
    if config.smooth:
        radial += np.exp(-((r[:, None] + centres) ** 2) / (2 * sigma**2))
    radial *= 0.5 * (np.cos(np.pi * r / config.r_cut) + 1)[:, None]
    functions = (e[:, :, None] * radial[:, None, :]).reshape(len(r), e.shape[1] * config.n_radial)
    theta, phi = np.arccos(np.clip(vectors[:, 2] / r, -1, 1)), np.arctan2(vectors[:, 1], vectors[:, 0])
    parts = []
    for degree in range(config.l_max + 1):
        size = (r**2 / (r**2 + config.softening**2)) ** (degree / 2) if config.smooth else np.ones_like(r)
        c = np.stack([functions.T @ (size * sph_harm_y(degree, m, theta, phi)) for m in range(-degree, degree + 1)], 1)
        parts.append((c @ c.conj().T).real[np.triu_indices(len(c))])
    return np.concatenate(parts)
