"""Tc formulas against the paper's table and figures worked out by hand; bounds, notes and refusals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo.analysis.tc import FORMULAS, estimate_tc, hydrogen_fraction
from elfzoo.errors import ElfzooError, UnknownNameError

H3S = Structure(Lattice.cubic(3.0), ["S", "H", "H", "H"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
METAL = Structure(Lattice.cubic(1.0), ["H"], [[0, 0, 0]])
unit = st.floats(0, 1)


@pytest.mark.parametrize(
    "phi, table", [(0.23, 87), (0.59, 358), (0.64, 395), (0.13, 13), (0.08, -25)], ids=lambda x: str(x)
)
def test_the_table_of_pure_hydrogen_crystals(phi, table):
    """I2_13, P6_522 and P6/mmm, DFT and predicted, of the ELF paper's table 1; the last counts as no superconductor."""
    found = estimate_tc(phi, METAL)
    assert found.raw == pytest.approx(table, abs=0.75)  # the table cuts 87.5 to 87 and 357.5 to 358
    assert found.tc == pytest.approx(max(table, 0), abs=0.75)
    assert any("not superconducting" in note for note in found.notes) == (table < 0)


@pytest.mark.parametrize(
    "formula, by_hand",
    [
        ("belli2021", 750 * 0.6 * 0.75 * 0.4 - 85),
        ("novoa2025", 456.34 * 0.6 * 0.75 * 0.4 - 9.46),
        ("dimauro2024_sr2", 442.3 * 0.9 * 0.421875 * 0.2529822),
        ("dimauro2024_sr4", 574.7 * 0.6 * 0.1643168),
        ("belli2025", 422.2 * 6.75 * 0.147 * 0.421875 * 0.3373730 + 5.5),
    ],
)
def test_every_formula_by_hand(formula, by_hand):
    """φ 0.6, φ* 0.7, H_f 3/4, H_DOS 0.4³ = 0.064."""
    found = estimate_tc(0.6, 0.75, h_dos=0.064, phi_star=0.7, formula=formula)
    assert found.tc == pytest.approx(by_hand, rel=1e-6)
    assert (found.formula, found.is_upper_bound, found.notes) == (formula, False, ())
    assert found.reference == FORMULAS[formula].reference


def test_the_newest_formula_peaks_where_its_authors_say():
    """The 27/4 makes the largest value 422.2 + 5.5 K, at φ* = 2/3; intact molecules (φ* = 1) keep the 5.5 K."""
    tc = [estimate_tc(1, METAL, phi_star=star, formula="belli2025").tc for star in (2 / 3, 0.6, 0.74, 1.0, 0.0)]
    assert tc[0] == pytest.approx(427.7)
    assert max(tc) == tc[0]
    assert tc[3:] == pytest.approx([5.5, 5.5])


def test_an_unknown_density_of_states_makes_an_upper_bound():
    found = estimate_tc(0.68, H3S)
    assert (found.h_fraction, found.h_dos, found.is_upper_bound) == (0.75, 1.0, True)
    assert found.tc == pytest.approx(750 * 0.68 * 0.75 - 85)
    assert "upper bound" in found.notes[0]


@given(phi=unit, star=unit, h=st.floats(0.05, 0.99), share=unit, formula=st.sampled_from(sorted(FORMULAS)))
def test_the_bound_holds_for_every_share(phi, star, h, share, formula):
    bound = estimate_tc(phi, h, phi_star=star, formula=formula)
    known = estimate_tc(phi, h, share, star, formula)
    assert bound.is_upper_bound and not known.is_upper_bound
    assert 0 <= known.tc <= bound.tc + 1e-9
    assert known.tc == max(known.raw, 0)


def test_pure_hydrogen_presumes_a_metal_unless_its_density_of_states_is_known():
    presumed, known = estimate_tc(0.23, METAL), estimate_tc(0.23, METAL, h_dos=1.0)
    assert presumed.tc == known.tc == pytest.approx(87.5)
    assert not presumed.is_upper_bound
    assert "presumes a metal" in presumed.notes[0]
    assert known.notes == ()


def test_hydrogen_fraction_counts_isotopes():
    heavy = H3S.copy()
    heavy.replace(1, "D")
    assert hydrogen_fraction(H3S) == hydrogen_fraction(heavy) == 0.75
    assert hydrogen_fraction(METAL) == 1


def test_an_estimate_is_json():
    found = json.loads(json.dumps(estimate_tc(0.05, METAL).to_dict()))
    assert (found["tc"], found["phi_star"], len(found["notes"])) == (0, None, 2)
    assert found["raw"] == pytest.approx(-47.5)


def test_a_spline_may_overshoot_a_little():
    assert estimate_tc(1.004, METAL).tc == pytest.approx(665)
    assert estimate_tc(-0.004, METAL).phi == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1.2, METAL), "networking value is an ELF value"),
        ((float("nan"), METAL), "networking value"),
        ((0.5, 1.2), "hydrogen fraction"),
        ((0.5, 0.0), "without hydrogen"),
        ((0.5, Structure(Lattice.cubic(3), ["Al"], [[0, 0, 0]])), "without hydrogen"),
        ((0.5, H3S, -0.1), "hydrogen share"),
        ((0.5, H3S, 0.5, None, "belli2025"), "needs the molecularity index"),
        ((0.5, H3S, 0.5, 7.0, "belli2025"), "molecularity index is an ELF value"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ElfzooError, match=message):
        estimate_tc(*arguments)


def test_an_unknown_formula_gets_the_nearest_name():
    with pytest.raises(UnknownNameError, match="belli2021"):
        estimate_tc(0.5, METAL, formula="belli21")
