"""Fields on which formats are easily got wrong: unequal axes, a skewed cell, species that alternate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.field import Field, Recipe


def _triclinic() -> Structure:
    lattice = Lattice([[3.1, 0.1, 0.05], [-0.7, 3.6, 0.2], [0.3, 0.5, 4.2]])
    coords = [[0.02, 0.03, 0.01], [0.5, 0.1, 0.3], [0.26, 0.61, 0.58], [-0.2, 0.4, 1.1]]
    return Structure(lattice, ["H", "La", "H", "Na"], coords)


def _hexagonal() -> Structure:
    return Structure(
        Lattice.hexagonal(2.9, 4.7), ["Mg", "Mg", "H"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75], [0] * 3]
    )


@pytest.fixture(params=[(_triclinic, (5, 7, 6)), (_hexagonal, (4, 4, 9))], ids=["triclinic", "hexagonal"])
def field(request: pytest.FixtureRequest) -> Field:
    """float32 values, exact 0 and 1 among them."""
    build, shape = request.param
    values = np.random.default_rng(7).random(shape).astype(np.float32)
    values[0, 1, 2], values[3, 0, 1], values[1, 1, 1] = 0.0, 1.0, 1.5e-7
    return Field(values, build(), recipe=Recipe("VASP 6.4.2", "PBE", "H 15Jun2001"))


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """Equal values, bit for bit as float32, and equal structures, atom by atom."""

    def check(read: Field, written: Field, length_tolerance: float = 1e-9) -> None:
        np.testing.assert_array_equal(read.values.astype(np.float32), written.values)
        ours, theirs = read.structure, written.structure
        np.testing.assert_allclose(ours.lattice.matrix, theirs.lattice.matrix, rtol=0, atol=length_tolerance)
        np.testing.assert_allclose(ours.cart_coords, theirs.cart_coords, rtol=0, atol=length_tolerance)
        assert ours.atomic_numbers == theirs.atomic_numbers
        assert (read.quantity, read.spin, read.recipe) == (written.quantity, written.spin, written.recipe)

    return check
