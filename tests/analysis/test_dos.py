"""Hydrogen's share of the density of states from files written here as VASP and projwfc.x write them."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from elfzoo.analysis.dos import hydrogen_dos_share
from elfzoo.errors import ElfzooError, FieldFileError

ENERGIES = np.arange(-10, 10.025, 0.05)
FERMI = 1.234
Density = Callable[[np.ndarray], np.ndarray]


def flat(height: float) -> Density:
    return lambda energy: np.full(len(energy), height)


def write_pdos(folder: Path, name: str, *columns: np.ndarray, header: str = "ldos(E)", prefix: str = "h3s") -> Path:
    """One shell as projwfc.x 6.7 writes it: E, ldos (or ldosup, ldosdw), and again for the single orbitals."""
    lines = [f"# E (eV)   {header}   pdos(E)   "]
    lines += [
        f"{energy:8.3f}" + "".join(f"{value:11.3E}" for value in values * 2)
        for energy, *values in zip(ENERGIES, *(column.tolist() for column in columns), strict=True)
    ]
    path = folder / f"{prefix}.pdos_atm#{name}"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_h3s(folder: Path, hydrogen: Density, sulphur: Density, prefix: str = "h3s") -> Path:
    """Three hydrogens of an equal share, and sulphur's s and p shells of a quarter and three."""
    for atom in (2, 3, 4):
        write_pdos(folder, f"{atom}(H)_wfc#1(s)", hydrogen(ENERGIES) / 3, prefix=prefix)
    write_pdos(folder, "1(S)_wfc#1(s)", sulphur(ENERGIES) / 4, prefix=prefix)
    return write_pdos(folder, "1(S)_wfc#2(p)", sulphur(ENERGIES) * 3 / 4, prefix=prefix)


def test_the_share_of_flat_densities(tmp_path):
    path = write_h3s(tmp_path, flat(0.9), flat(0.6))
    assert hydrogen_dos_share(path, FERMI) == pytest.approx(0.6, abs=1e-3)
    assert hydrogen_dos_share(tmp_path, FERMI) == hydrogen_dos_share(str(path), FERMI)


def test_the_smearing_is_a_gaussian_of_the_stated_width(tmp_path):
    """Averages of 1 + E² and of a constant: 1 + E_F² + σ² against it."""
    write_h3s(tmp_path, lambda energy: 1 + energy**2, flat(2))
    for width in (0.1, 0.4):
        hydrogen = 1 + FERMI**2 + width**2
        assert hydrogen_dos_share(tmp_path, FERMI, width) == pytest.approx(hydrogen / (hydrogen + 2), abs=5e-4)


def test_spins_add(tmp_path):
    write_pdos(tmp_path, "1(H)_wfc#1(s)", flat(0.3)(ENERGIES), flat(0.1)(ENERGIES), header="ldosup(E)  ldosdw(E)")
    write_pdos(tmp_path, "2(Li)_wfc#1(s)", flat(0.2)(ENERGIES), flat(0.4)(ENERGIES), header="ldosup(E)  ldosdw(E)")
    assert hydrogen_dos_share(tmp_path, FERMI) == pytest.approx(0.4)


def test_labels_spin_orbit_shells_gzip_and_three_digit_exponents(tmp_path):
    write_pdos(tmp_path, "1(H1)_wfc#1(s_j0.5)", flat(0.5)(ENERGIES))
    write_pdos(tmp_path, "2(La_sv)_wfc#1(s)", flat(0.1)(ENERGIES))
    hafnium = write_pdos(tmp_path, "3(Hf)_wfc#1(s)", flat(0.4)(ENERGIES))
    text = hafnium.read_text().replace(f"{ENERGIES[0]:8.3f}  4.000E-01", f"{ENERGIES[0]:8.3f}  0.241-105")
    assert "0.241-105" in text
    hafnium.unlink()
    hafnium.with_name(hafnium.name + ".gz").write_bytes(gzip.compress(text.encode()))
    assert hydrogen_dos_share(tmp_path, FERMI) == pytest.approx(0.5)


@pytest.mark.parametrize("fermi", [0.0, -0.98, 0.98], ids=["middle", "valence edge", "conduction edge"])
def test_a_gap_leaves_the_share_undefined(fermi, tmp_path):
    write_h3s(tmp_path, lambda e: 0.9 * (np.abs(e) > 1), lambda e: 0.6 * (np.abs(e) > 1))
    with pytest.raises(ElfzooError, match="insulator"):
        hydrogen_dos_share(tmp_path, fermi)
    assert hydrogen_dos_share(tmp_path, 3.0) == pytest.approx(0.6, abs=1e-3)


def test_runs_in_one_folder_are_told_apart(tmp_path):
    write_h3s(tmp_path, flat(0.9), flat(0.6))
    other = write_h3s(tmp_path, flat(0.1), flat(0.9), prefix="other.run")
    with pytest.raises(ElfzooError, match=r"several runs \(h3s, other.run\)"):
        hydrogen_dos_share(tmp_path, FERMI)
    assert hydrogen_dos_share(other, FERMI) == pytest.approx(0.1, abs=1e-3)


def test_refusals_of_projwfc_files(tmp_path):
    path = write_pdos(tmp_path, "1(S)_wfc#1(s)", flat(1)(ENERGIES))
    with pytest.raises(ElfzooError, match="no hydrogen: its projections are on S"):
        hydrogen_dos_share(path, FERMI)
    write_h3s(tmp_path, flat(0.9), flat(0.6))
    with pytest.raises(ElfzooError, match="give fermi_energy"):
        hydrogen_dos_share(path)
    with pytest.raises(ElfzooError, match=r"from -10\.00 to 10\.00 eV"):
        hydrogen_dos_share(path, 14.0)
    with pytest.raises(ElfzooError, match="eV apart"):
        hydrogen_dos_share(path, FERMI, 0.02)
    with pytest.raises(ElfzooError, match="positive number of eV"):
        hydrogen_dos_share(path, FERMI, 0.0)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("h.pdos_atm#1(H)_wfc#1(s)", "# ik   E (eV)   ldos(E)\n 1 0.0 1.0\n", "kresolveddos"),
        ("h.pdos_atm#1(H)_wfc#1(s)", "# E (eV)   ldos(E)\n 0.0 one\n", "no table of numbers"),
        ("h.pdos_atm#1(H)_wfc#1(s)", "# E (eV)   ldos(E)\n 0.0 1.0\n 0.1\n", "no table of numbers"),
        ("h.pdos_atm#1(H)_wfc#1(s)", "hello\n", "no table of E and ldos"),
        ("h.pdos_atm#1(Xx)_wfc#1(s)", "# E (eV)   ldos(E)\n 0.0 1.0\n 0.1 1.0\n", "no element"),
        ("vasprun.xml", "<modeling>", "no complete vasprun.xml"),
        ("README", "nothing", "no vasprun.xml and no"),
    ],
)
def test_damaged_files(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(FieldFileError, match=message):
        hydrogen_dos_share(tmp_path, 0.0)


def test_missing_and_mixed_files(tmp_path):
    with pytest.raises(FieldFileError, match="no such file"):
        hydrogen_dos_share(tmp_path / "vasprun.xml")
    write_pdos(tmp_path, "1(H)_wfc#1(s)", flat(1)(ENERGIES))
    (tmp_path / "h3s.pdos_atm#2(S)_wfc#1(s)").write_text("# E (eV)   ldos(E)\n 0.0 1.0\n 0.1 1.0\n")
    with pytest.raises(FieldFileError, match="different energies"):
        hydrogen_dos_share(tmp_path, 0.0)


def vasprun(symbols: list[str], projections: list[list[Density]], flags: str = "") -> str:
    """The parts of vasprun.xml that hold structure and densities; projections: per atom, one density per set."""

    def rows(*columns: np.ndarray) -> str:
        return "".join("<r>" + " ".join(f"{x:.4f}" for x in row) + "</r>" for row in zip(*columns, strict=True))

    def sets(densities: list[Density]) -> str:
        shells = [(0.25 * d(ENERGIES), 0.75 * d(ENERGIES)) for d in densities]
        return "".join(f'<set comment="spin {n}">{rows(ENERGIES, *s)}</set>' for n, s in enumerate(shells, 1))

    atoms = "".join(f"<rc><c>{s}</c><c>{n}</c></rc>" for n, s in enumerate(symbols, 1))
    types = "".join(f"<rc><c>1</c><c>{s}</c><c>1.0</c><c>1.0</c><c>PAW_PBE {s}</c></rc>" for s in symbols)
    places = "".join(f"<v>{n / len(symbols):.4f} 0.0 0.0</v>" for n in range(len(symbols)))
    crystal = '<crystal><varray name="basis"><v>6 0 0</v><v>0 3 0</v><v>0 0 3</v></varray></crystal>'
    ions = "".join(f'<set comment="ion {n}">{sets(p)}</set>' for n, p in enumerate(projections, 1))
    fields = "<field>energy</field><field>s</field><field>p</field>"
    partial = f"<partial><array>{fields}<set>{ions}</set></array></partial>" if projections else ""
    total = rows(ENERGIES, ENERGIES * 0 + 1, ENERGIES * 0)
    energy = "".join(f'<i name="{name}">-1</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
    energy = f"<energy>{energy}</energy>"

    def structure(name: str) -> str:
        return f'<structure{name}>{crystal}<varray name="positions">{places}</varray></structure>'

    return f"""<?xml version="1.0" encoding="ISO-8859-1"?><modeling>
<generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i></generator>
<incar><i type="int" name="ISMEAR">-5</i></incar>
<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1.0</v></varray></kpoints>
<parameters><i type="int" name="NELM">60</i><i type="int" name="NSW">0</i>{flags}</parameters>
<atominfo><array name="atoms"><set>{atoms}</set></array><array name="atomtypes"><set>{types}</set></array></atominfo>
{structure(' name="initialpos"')}
<calculation><scstep>{energy}</scstep>{structure("")}{energy}<dos><i name="efermi"> {FERMI} </i>
<total><array><set><set comment="spin 1">{total}</set></set></array></total>{partial}</dos></calculation>
{structure(' name="finalpos"')}</modeling>"""


def test_vasp_states_its_own_fermi_energy(tmp_path):
    """Where the hydrogen share rises as E, its value tells which energy was taken."""
    rising = [[lambda e: (e + 10) / 20], [lambda e: 1 - (e + 10) / 20]]
    (tmp_path / "vasprun.xml").write_text(vasprun(["H", "S"], rising))
    assert hydrogen_dos_share(tmp_path) == pytest.approx((FERMI + 10) / 20, abs=1e-3)
    assert hydrogen_dos_share(tmp_path / "vasprun.xml", 4.0) == pytest.approx(0.7, abs=1e-3)


def test_vasp_spins_add_and_magnetisation_does_not(tmp_path):
    plain, compressed = tmp_path / "vasprun.xml", tmp_path / "b" / "vasprun.xml.gz"
    compressed.parent.mkdir()
    plain.write_text(vasprun(["H", "S"], [[flat(0.3), flat(0.1)], [flat(0.2), flat(0.4)]]))
    assert hydrogen_dos_share(plain) == pytest.approx(0.4, abs=1e-3)
    flag = '<i type="logical" name="LNONCOLLINEAR"> T  </i>'
    sets = [[flat(0.3), flat(0), flat(0), flat(0.2)], [flat(0.6), flat(0), flat(0), flat(-0.5)]]
    compressed.write_bytes(gzip.compress(vasprun(["H", "S"], sets, flag).encode()))
    assert hydrogen_dos_share(compressed.parent) == pytest.approx(1 / 3, abs=1e-3)


@pytest.mark.parametrize("name", ["vasprun.xml", "vasprun.xml.gz"])
def test_a_vasp_run_that_ends_early(name, tmp_path):
    whole = vasprun(["H", "S"], [[flat(1)], [flat(1)]]).encode()
    whole = gzip.compress(whole) if name.endswith("gz") else whole
    for part in (whole[:4], whole[: len(whole) // 2], whole[:-8]):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(FieldFileError, match=r"no complete vasprun\.xml"):
            hydrogen_dos_share(tmp_path)


def test_vasp_without_projections(tmp_path):
    (tmp_path / "vasprun.xml").write_text(vasprun(["H", "S"], []))
    with pytest.raises(FieldFileError, match="LORBIT = 11"):
        hydrogen_dos_share(tmp_path)
