"""Hydrides and metals (PBE, GPAW), split by composition and by chemical system, and what is trained on beside them."""

from __future__ import annotations

from pymatgen.core import Composition

from elfzoo.datasets.base import FieldDataset, name_part
from elfzoo.errors import ElfzooError

__all__ = ["Hydrides", "Metals", "Prototypes"]


class Hydrides(FieldDataset):
    """Hydrides at the pressures where they are studied: relaxed, compressed, expanded, strained and rattled.

    Split by composition: all structures of one composition are in one split. The table of compositions is
    ``elfzoo/reference/tables/hydrides.yaml``; H3S, LaH10, CaH6, MgH6, LaBeH8, KB2H8 and BaLiH3 test.
    """

    name = "hydrides"

    @staticmethod
    def split_of(file: str) -> str:
        """By the composition in ``{formula}_{space group}_{change}.npz``."""
        from elfzoo.reference.hydrides import split_of_hydride  # the rule stands beside the list of compositions

        return split_of_hydride(_formula(file, "hydride", "<formula>_<space group>_<change>.npz"))


class Metals(FieldDataset):
    """Elemental and binary metals at V/V0 = 1.0, 0.9 and 0.8, and relaxed cells of lower symmetry.

    Split by chemical system, as in ``elfzoo/reference/tables/metals.yaml``; Al, Cu, Li, Li-Mg and thirteen others
    test. Near the nuclei an ELF depends on the pseudopotential: report errors outside a core radius too.
    """

    name = "metals"

    @staticmethod
    def split_of(file: str) -> str:
        """By the elements in ``{formula}_{structure type}_{volume or pressure}.npz``."""
        from elfzoo.reference.metals import split_of_metal

        formula = _formula(file, "metal", "<formula>_<structure type>_<V volume ratio | P pressure>.npz")
        return split_of_metal(Composition(formula).chemical_system)


class Prototypes(FieldDataset):
    """Hydrides and metals of some fifty elements in 26 structure types, at random volumes.

    To train on, beside :class:`Hydrides` and :class:`Metals`. It has no composition that validates or tests there, but
    most of their elements; nothing is relaxed. The table is ``elfzoo/reference/tables/prototypes.yaml``.
    """

    name = "prototypes"
    optional = True

    @staticmethod
    def split_of(file: str) -> str:
        """All train; ``{formula}_{structure type}_{number}.npz``. A composition held out elsewhere is refused."""
        from elfzoo.reference.decorations import is_held_out

        pattern, expected = r"((?:[A-Z][a-z]?\d*)+)_\S+_\d{3}\.npz", "<formula>_<structure type>_<three digits>.npz"
        if is_held_out(formula := name_part(file, pattern, "decorated structure type", expected)):
            raise ElfzooError(f"{file}: {formula} belongs to a validation or test split; it must not be trained on")
        return "train"


def _formula(file: str, kind: str, expected: str) -> str:
    return name_part(file, r"((?:[A-Z][a-z]?\d*)+)_\S+_[^_\s]+\.npz", f"{kind}'s name", expected)
