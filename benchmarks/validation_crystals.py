"""Make the validation split of crystal-h: random hydrogen crystals, relaxed near 100 GPa and labelled by DFT.

Models are chosen on these crystals and never trained on them; the test crystals are other structures
(checked here by pymatgen's StructureMatcher). Same recipe as the test crystals: PyXtal, Quantum ESPRESSO 6.7,
vc-relax with H.pbe-kjpaw at 45 Ry, label with GTH-PBE-q1 at 100 Ry, Methfessel-Paxton 0.02 Ry,
Gamma-centred k spacing 0.3 rad/A.

    python benchmarks/validation_crystals.py --out DIR [--count 10] [--minutes 60]

Needs pw.x and pp.x (Debian: quantum-espresso, quantum-espresso-data, cp2k-data) and PyXtal. A structure whose
file exists is skipped, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

SYSTEMS = {"cubic": (range(195, 231), (4, 6, 8, 12, 16, 20, 24)), "hexagonal": (range(168, 195), (4, 6, 8, 12, 16, 18))}
VOLUME_PER_ATOM = 2.3  # cubic angstrom, near that of hydrogen at 100 GPa
SHORTEST_DISTANCE = 0.42  # angstrom, before relaxation
FINEST_SPACING = 0.08  # angstrom; 100 Ry for the orbitals needs 0.083


def random_crystals(system: str, count: int, seed: int):
    """Yield (name, Structure) of random crystals of one crystal system, without close contacts."""
    from pyxtal import pyxtal

    groups, sizes = SYSTEMS[system]
    rng = np.random.default_rng(seed)
    for index in range(100 * count):
        group, size = int(rng.choice(list(groups))), int(rng.choice(sizes))
        crystal = pyxtal()
        try:
            crystal.from_random(3, group, ["H"], [size], factor=1.0, random_state=seed * 1000 + index)
        except Exception:  # PyXtal raises bare exceptions for incompatible Wyckoff sets
            continue
        if not crystal.valid:
            continue
        structure = crystal.to_pymatgen()
        structure.scale_lattice(VOLUME_PER_ATOM * len(structure))
        images = [n.nn_distance for site in structure for n in structure.get_neighbors(site, 1.0)]
        if 4 <= len(structure) <= 24 and min(images, default=9.0) > SHORTEST_DISTANCE:
            yield f"{system}_v{index:03d}_sg{group}_H{len(structure)}", structure


def write_gth(path: Path) -> None:
    """Write hydrogen's GTH-PBE-q1 in the format that pw.x reads, from CP2K's table."""
    text = Path("/usr/share/cp2k/GTH_POTENTIALS").read_text()
    numbers = re.search(r"^ *H +GTH-PBE-q1.*\n.*\n(.*)\n", text, re.M).group(1).split()
    header = "GTH-PBE-q1 for H\n1 1 20260101\n10 11 0 4 2001 0"
    path.write_text(f"{header}\n{' '.join(numbers)}\n0\n0.0 0\n")


def k_mesh(lattice, spacing: float) -> tuple[int, ...]:
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    return tuple(int(max(1, np.ceil(np.linalg.norm(b) / spacing))) for b in reciprocal)


def grid_shape(lattice) -> tuple[int, ...]:
    """Multiples of 12 (exact under 2-, 3-, 4- and 6-fold screws) whose primes an FFT likes."""
    shape = []
    for length in np.linalg.norm(lattice, axis=1):
        n = 12 * int(np.ceil(length / FINEST_SPACING / 12))
        while any(n % p == 0 for p in (13, 17, 19, 23)):
            n += 12
        shape.append(n)
    return tuple(shape)


def pw_input(
    kind: str, folder: Path, structure: Structure, pseudo: str, ecut: float, spacing: float, extra: dict
) -> str:
    lattice, frac = structure.lattice.matrix, structure.frac_coords
    folders = f"pseudo_dir='{folder.parent}', outdir='{folder}/tmp'"
    basis = f"ibrav=0, nat={len(frac)}, ntyp=1, ecutwfc={ecut}, input_dft='PBE'"
    smearing = "occupations='smearing', smearing='mp', degauss=0.02"
    lines = [
        f"&control\n calculation='{kind}', prefix='x', {folders}, {extra.get('control', '')}\n/",
        f"&system\n {basis}, {smearing}{extra.get('system', '')}\n/",
        f"&electrons\n {extra['electrons']}\n/",
        f"{extra.get('cards', '')}ATOMIC_SPECIES\n H 1.008 {pseudo}",
        "CELL_PARAMETERS angstrom",
        *(" ".join(f"{x:.10f}" for x in row) for row in lattice),
        "ATOMIC_POSITIONS crystal",
        *("H " + " ".join(f"{x:.12f}" for x in row) for row in frac),
        "K_POINTS automatic",
        " ".join(map(str, k_mesh(lattice, spacing))) + " 0 0 0",
        "",
    ]
    return "\n".join(lines)


def execute(program: str, folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.in").write_text(text)
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    done = subprocess.run([program, "-in", f"{name}.in"], cwd=folder, env=environment, capture_output=True, text=True)
    (folder / f"{name}.out").write_text(done.stdout)
    return done.stdout


def relax(folder: Path, structure: Structure) -> tuple[Structure, bool]:
    """vc-relax at 100 GPa with the kjpaw set; returns the last cell and whether BFGS converged."""
    extra = dict(
        control="nstep=30, disk_io='none', max_seconds=120, forc_conv_thr=2e-3, etot_conv_thr=1e-3",
        system=", ecutrho=225",
        electrons="conv_thr=1e-6, mixing_beta=0.6, electron_maxstep=60",
        cards="&ions\n/\n&cell\n press=1000, press_conv_thr=30, cell_factor=2.0\n/\n",
    )
    output = execute(
        "pw.x", folder, "relax", pw_input("vc-relax", folder, structure, "H.pbe-kjpaw.UPF", 45, 0.4, extra)
    )
    cells, atoms = (
        list(re.finditer(tag, output)) for tag in (r"CELL_PARAMETERS \(angstrom\)\n", r"ATOMIC_POSITIONS \(crystal\)\n")
    )
    if not cells or not atoms:
        raise RuntimeError("vc-relax made no step")
    lattice = [row.split() for row in output[cells[-1].end() :].split("\n")[:3]]
    frac = [row.split()[1:4] for row in output[atoms[-1].end() :].split("\n")[: len(structure)]]
    relaxed = Structure(np.array(lattice, float), ["H"] * len(structure), np.array(frac, float))
    return relaxed, "bfgs converged" in output


def label(folder: Path, structure: Structure) -> tuple[np.ndarray, dict]:
    """PBE ELF of the relaxed crystal on its grid, with what was used to make it."""
    shape = grid_shape(structure.lattice.matrix)
    extra = dict(
        control="tstress=.true., tprnfor=.true., disk_io='low'",
        system=", nr1={}, nr2={}, nr3={}".format(*shape),
        electrons=f"conv_thr={1e-9 * len(structure):.3e}, mixing_beta=0.5, electron_maxstep=200",
    )
    output = execute("pw.x", folder, "scf", pw_input("scf", folder, structure, "H-q1.gth", 100, 0.3, extra))
    if "convergence has been achieved" not in output:
        raise RuntimeError("SCF did not converge")
    execute(
        "pp.x",
        folder,
        "pp",
        f"&inputpp\n prefix='x', outdir='{folder}/tmp', plot_num=8, filplot='elf.dat'\n/\n"
        "&plot\n iflag=3, output_format=6, fileout='elf.cube'\n/\n",
    )
    values = np.array((folder / "elf.cube").read_text().split("\n", 6 + len(structure))[-1].split(), float).reshape(
        shape
    )
    pressure = float(re.findall(r"P= *([-\d.]+)", output)[-1]) / 10
    energy = float(re.findall(r"^!.*= *([-\d.]+) Ry", output, re.M)[-1]) * 13.605693
    return values, dict(kpts=list(k_mesh(structure.lattice.matrix, 0.3)), pressure_GPa=pressure, energy_eV=energy)


def make(name: str, start: Structure, work: Path, out: Path, known: list[Structure]) -> str:
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time()
    structure, converged = relax(folder, start)
    if any(StructureMatcher().fit(structure, other) for other in known):
        return "same crystal as one that exists: skipped"
    values, facts = label(folder, structure)
    meta = dict(
        engine="Quantum ESPRESSO 6.7 pw.x+pp.x(plot_num=8)",
        functional="PBE",
        pseudopotential="GTH-PBE-q1",
        cutoff_eV=1360.5693,
        k_spacing=0.3,
        smearing="mp 0.02 Ry",
        temperature_K=None,
        spin="none",
        origin="PyXtal random crystal, vc-relax at 100 GPa with QE 6.7 (kjpaw, 45 Ry), label with GTH",
        relax_converged=converged,
        scf_converged=True,
        volume_per_atom_A3=structure.volume / len(structure),
        **facts,
    )
    temporary = out / f".{name}.npz.part"
    with open(temporary, "wb") as handle:
        np.savez_compressed(
            handle,
            elf=np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16),
            lattice=structure.lattice.matrix,
            frac_coords=structure.frac_coords % 1,
            numbers=np.array(structure.atomic_numbers),
            meta=json.dumps(meta),
        )
    temporary.rename(out / f"{name}.npz")
    known.append(structure)
    elf, seconds = f"ELF {values.min():.3f} - {values.max():.3f}", time.time() - began
    return f"{values.shape} {facts['pressure_GPa']:.1f} GPa, relaxed {converged}, {elf}, {seconds:.0f} s"


def read_structure(path: Path) -> Structure:
    with np.load(path) as data:
        return Structure(data["lattice"], data["numbers"], data["frac_coords"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--known", type=Path, default=Path(__file__).parent / "data" / "crystal-h", help="crystals to differ from"
    )
    parser.add_argument("--work", type=Path, default=Path("qe-work"))
    parser.add_argument("--count", type=int, default=10, help="crystals of each system")
    parser.add_argument("--minutes", type=float, default=60)
    args = parser.parse_args()
    end = time.time() + 60 * args.minutes
    args.out.mkdir(parents=True, exist_ok=True)
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    write_gth(work / "H-q1.gth")
    (work / "H.pbe-kjpaw.UPF").write_bytes(Path("/usr/share/espresso/pseudo/H.pbe-kjpaw.UPF").read_bytes())
    known = [read_structure(p) for folder in (args.known, args.out) for p in sorted(folder.glob("*.npz"))]
    made = dict.fromkeys(SYSTEMS, 0)
    streams = {system: random_crystals(system, args.count, seed=101 + i) for i, system in enumerate(SYSTEMS)}
    while time.time() < end and any(made[s] < args.count for s in SYSTEMS):
        for system, stream in streams.items():
            if made[system] >= args.count:
                continue
            name, start = next(stream)
            if not (args.out / f"{name}.npz").exists():
                try:
                    print(name, make(name, start, work, args.out, known), flush=True)
                except Exception as error:
                    print(name, "failed:", error, flush=True)
                    continue
            made[system] += (args.out / f"{name}.npz").exists()


if __name__ == "__main__":
    main()
