"""Metal sublattices as templates for superhydrides: their interstitial attractors of ELF, where hydrogen would sit.

Take the hydrogen out of a superhydride, and the metal atoms that are left have maxima of ELF in the voids between them,
at the places of the hydrogens; the higher they are, the more the metal drives the hydrogen lattice together (Sun and
Miao, Chem 9, 443 (2023), arXiv:2110.03807). So a field of the bare metal tells which sublattice is worth a search.

- An interstitial attractor is a maximum of ELF that lies outside of the core radius of every nucleus
  (:mod:`elfzoo.core_radii`) and is higher than the saddle to a higher one by :data:`PERSISTENCE` or more. Maxima are
  those of the spline through logit(ELF).
- Attractors that an operation of the space group takes to within :data:`SAME_SITE` of each other are one site, of the
  ELF of the highest of them.
- The strength of a template is the ELF of its highest site, its mean strength the mean over sites, each of them 0
  without any site: such a template offers hydrogen no place, and ranks last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from elfzoo.analysis.critical_points import persistent_maxima
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.symmetry import space_group_operations

__all__ = ["PERSISTENCE", "SAME_SITE", "Template", "compare_templates", "find_template", "site_distances"]

PERSISTENCE = 0.005  # of ELF, as where topologies are compared
SAME_SITE = 0.5  # Å; attractors are flat and wander by some tenths, voids are more than 1 Å apart


@dataclass(frozen=True, eq=False)
class Template:
    """The sites of a metal sublattice, the strongest first.

    Attributes:
        frac_coords: of the highest attractor of each site.
        values: ELF there.
    """

    frac_coords: Float[np.ndarray, "sites 3"]
    values: Float[np.ndarray, " sites"]

    @property
    def strength(self) -> float:
        """ELF of the highest site; 0 without any."""
        return float(self.values[0]) if len(self.values) else 0.0

    @property
    def mean_strength(self) -> float:
        """Mean ELF of the sites; 0 without any."""
        return float(self.values.mean()) if len(self.values) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        sites = [
            {"value": float(value), "frac_coords": place.tolist()}
            for value, place in zip(self.values, self.frac_coords, strict=True)
        ]
        return {"strength": self.strength, "mean_strength": self.mean_strength, "sites": sites}


def find_template(field: Field) -> Template:
    """The sites of a field of a metal sublattice, on a grid fine enough to be searched.

    Raises:
        ElfzooError: a structure with hydrogen, whose maxima say where hydrogen is, or what
            :func:`~elfzoo.analysis.critical_points.persistent_maxima` refuses.
    """
    if 1 in field.structure.atomic_numbers:
        raise ElfzooError(f"{field.structure.formula} has hydrogen; expected the bare metal sublattice of a template")
    maxima = persistent_maxima(field, "logit", PERSISTENCE)
    near = site_distances(field.structure, maxima.frac_coords, maxima.frac_coords) < SAME_SITE
    site = connected_components(near, directed=False)[1]
    highest = np.sort(np.unique(site, return_index=True)[1])
    return Template(maxima.frac_coords[highest], maxima.values[highest])


def site_distances(
    structure: Structure, first: Float[np.ndarray, "m 3"], second: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "m n"]:
    """Å between fractional places in the crystal, the second ones taken to wherever its space group allows."""
    rotations, translations = space_group_operations(structure)
    images = (np.einsum("oij,nj->oni", rotations, second) + translations[:, None]).reshape(-1, 3)
    found = np.zeros((len(first), len(second)))
    if found.size:
        for line, place in zip(found, first, strict=True):  # one by one, to save memory
            distances = structure.lattice.get_all_distances(place, images)
            line[:] = distances.reshape(len(rotations), len(second)).min(axis=0)
    return found


def compare_templates(reference: Field, prediction: Field) -> dict[str, Any]:
    """Both templates of one structure as JSON values, and how many sites they share, matched one to one."""
    structure = reference.structure
    ours, theirs = find_template(reference), find_template(prediction)
    distances = site_distances(structure, ours.frac_coords, theirs.frac_coords)
    far = 1 + len(ours.values) * SAME_SITE  # worse than any number of matches
    rows, columns = linear_sum_assignment(np.where(distances < SAME_SITE, distances, far))
    moved = distances[rows, columns][distances[rows, columns] < SAME_SITE]
    return {
        "system": structure.composition.chemical_system,
        "reference": ours.to_dict(),
        "prediction": theirs.to_dict(),
        "matched": len(moved),
        "mean_displacement": float(moved.mean()) if len(moved) else None,
    }
