"""The scripts that say how good the reference data are: resumable, right on planted differences, cards not stale."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.datasets import DATASETS, FieldDataset
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.io.symmetric import write_reference
from elfzoo.reference.dynamics import pair_distribution
from elfzoo.reference.engines import EngineError, Label, k_mesh, label_grid
from elfzoo.reference.recipe import find_recipe

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import data_cards
import reference_convergence
import reference_figures
import two_engines

RECIPE = find_recipe("crystal-h")
CRYSTAL = Structure(Lattice.cubic(2.5), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RIPPLE = 9  # waves per cell edge: |G| = 22.6 rad/Å, above every low-pass
SHIFTS = {"cutoff-1.3": 0.001, "cutoff-1.7": 0.003}


def planted_elf(grid: Grid) -> np.ndarray:
    """0.5 on average; its network closes at 0.4 + 0.1 / 3, the saddles between maxima along the axes."""
    waves = np.cos(2 * np.pi * grid.frac_coords()).sum(axis=1)
    return (0.5 + 0.1 * waves / 3).reshape(grid.shape)


class FakeEngine:
    """Shifts the ELF with the cutoff; fails on a tight convergence; counts what it is asked for."""

    def __init__(self, stop_after: int | None = None):
        self.asked: list[str] = []
        self.stop_after = stop_after

    def version(self) -> str:
        return "Fake 1.0"

    def label(self, structure, settings, folder):
        if len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        names = reference_convergence.variants(RECIPE.label, structure)
        name = next((name for name, known in names.items() if known == settings), settings.engine)
        self.asked.append(name)
        if name == "tighter-scf":
            raise EngineError("the SCF did not converge in 200 steps")
        grid = label_grid(structure, settings)
        elf = planted_elf(grid) + SHIFTS.get(name, 0.0)
        if name == "gpaw":
            elf = elf + 0.01 * np.cos(2 * np.pi * RIPPLE * grid.frac_coords()[:, 0]).reshape(grid.shape)
        pressure = 100.0 + 1.5 * (name == "half-smearing")
        facts = {"wall_seconds": 2.0, "k_mesh": list(k_mesh(settings, structure))}
        return Label(elf, structure, np.zeros((len(structure), 3)), pressure, -1.0, facts)


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    for script in (reference_convergence, two_engines):
        monkeypatch.setattr(script, "make_engine", lambda _: fake)
    return fake


def converge(out, **options):
    rows = reference_convergence.converge(RECIPE, {"one": CRYSTAL}, out, **options)
    return {row["variant"]: row for row in rows}


class TestConvergence:
    def test_planted_differences_are_found_and_judged(self, engine, tmp_path):
        rows = converge(tmp_path)
        assert set(rows) == set(engine.asked) == set(reference_convergence.variants(RECIPE.label, CRYSTAL))
        for name, shift in SHIFTS.items():
            whole = rows[name]["whole"]
            assert (whole["mae"], whole["max_error"]) == pytest.approx((shift, shift), abs=1e-7)
            assert rows[name]["delta_phi"] == pytest.approx(shift, abs=1e-6)
            assert rows[name]["outside_cores"] is None
        assert [rows[name]["passes"] for name in SHIFTS] == [True, False]
        assert rows["recipe"]["phi"] == pytest.approx(0.5 + 0.1 / 3, abs=1e-5)  # max, max, min of the three cosines
        assert rows["half-smearing"]["delta_pressure_GPa"] == 1.5
        assert rows["no-low-pass"]["passes"] is None
        assert "did not converge" in rows["tighter-scf"]["failed"]

    def test_another_grid_is_interpolated(self, engine, tmp_path):
        rows = converge(tmp_path, only=["finer-grid"])
        assert rows["finer-grid"]["grid"] != rows["recipe"]["grid"]
        assert rows["finer-grid"]["whole"]["max_error"] < 1e-6
        assert abs(rows["finer-grid"]["delta_phi"]) < 1e-5

    def test_goes_on_where_it_was(self, engine, tmp_path):
        first = converge(tmp_path)
        engine.asked.clear()
        assert converge(tmp_path) == first
        assert engine.asked == []  # not even what failed
        folder = tmp_path / "crystal-h" / "one"
        (folder / "cutoff-1.3.json").unlink()
        assert converge(tmp_path) == first
        assert engine.asked == []  # the field was kept
        for file in folder.glob("half-smearing.*"):
            file.unlink()
        assert converge(tmp_path) == first
        assert engine.asked == ["half-smearing"]
        converge(tmp_path, retry=True)
        assert engine.asked == ["half-smearing", "tighter-scf"]

    def test_another_structure_of_the_same_name_is_computed_anew(self, engine, tmp_path):
        larger = CRYSTAL.copy()
        larger.scale_lattice(1.1 * CRYSTAL.volume)
        for structure in (CRYSTAL, larger):
            reference_convergence.converge(RECIPE, {"one": structure}, tmp_path, only=["cutoff-1.3"])
        assert engine.asked == ["recipe", "cutoff-1.3"] * 2

    def test_an_interruption_is_no_failure(self, engine, tmp_path):
        engine.stop_after = 3
        with pytest.raises(KeyboardInterrupt):
            converge(tmp_path)
        engine.stop_after = None
        rows = converge(tmp_path)
        assert [name for name, row in rows.items() if "failed" in row] == ["tighter-scf"]
        assert len(engine.asked) == len(rows)

    def test_record_has_the_worst_of_each_variant(self, engine, tmp_path, capsys):
        structures = {"one": CRYSTAL, "two": CRYSTAL}
        rows = reference_convergence.converge(RECIPE, structures, tmp_path, workers=2, only=["cutoff-1.7"])
        result = json.loads(json.dumps(reference_convergence.record(RECIPE, structures, rows)))
        assert [(row["structure"], row["variant"]) for row in result["rows"]] == [
            (name, variant) for name in structures for variant in ("recipe", "cutoff-1.7")
        ]
        assert result["metrics"]["cutoff-1.7"]["mae"] == pytest.approx(0.003, abs=1e-7)
        assert result["recipe_hash"] == RECIPE.hash
        reference_convergence.report(result)
        assert "FAILS" in capsys.readouterr().out

    @pytest.mark.parametrize("edge", [2.5, 6.9, 8.7, 12.0])
    def test_every_variant_is_one(self, edge):
        """Where a smaller spacing alone would give the same mesh or grid, too."""
        structure = Structure(Lattice.cubic(edge), ["H"], [[0, 0, 0]])
        settings = find_recipe("fluid-h").label
        meshes = [k_mesh(s, structure) for s in (settings, _variant(settings, structure, "finer-k-mesh"))]
        assert all(fine > coarse for coarse, fine in zip(*meshes, strict=True))
        shapes = [label_grid(structure, s).shape for s in (settings, _variant(settings, structure, "finer-grid"))]
        assert shapes[1] > shapes[0]

    def test_differences_inside_of_cores_are_told_apart(self):
        structure = Structure(Lattice.cubic(5.0), ["Ca", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        grid = Grid((25, 25, 25), structure.lattice.matrix)
        reference = elfzoo.Field(planted_elf(grid), structure)
        values = reference.values.copy()
        values[0, 0, 0] += 0.1
        found = reference_convergence.difference(reference, reference.replace(values=values))
        assert found["whole"]["mae"] == pytest.approx(0.1 / grid.size, abs=1e-7)
        assert found["outside_cores"]["max_error"] == 0.0

    def test_structures_come_from_runs_and_from_data_sets(self, tmp_path):
        (tmp_path / "relaxed").mkdir()
        cell = {"lattice": CRYSTAL.lattice.matrix.tolist(), "numbers": [1, 1]}
        record = cell | {"frac_coords": CRYSTAL.frac_coords.tolist(), "relaxation": None}
        (tmp_path / "relaxed" / "run.json").write_text(json.dumps(record))
        write_reference(tiny_field(), tmp_path / "stored.npz")
        for name in ("run", "stored"):
            assert reference_convergence.find_structure(name, [tmp_path / "no", tmp_path])[0] == CRYSTAL
        with pytest.raises(ElfzooError, match="no structure other"):
            reference_convergence.find_structure("other", [tmp_path])


def _variant(settings, structure, name):
    return reference_convergence.variants(settings, structure)[name]


class TestTwoEngines:
    @pytest.fixture(autouse=True)
    def no_gpaw(self, monkeypatch):
        monkeypatch.setattr(two_engines, "setup_files", lambda *_: {})

    def pair(self, out, structure=CRYSTAL):
        return two_engines.Pair("one", structure, RECIPE, out)

    def test_ringing_is_told_from_physics(self, engine, tmp_path):
        [row] = two_engines.compare_engines([self.pair(tmp_path)])
        found = row["comparisons"]
        assert sorted(engine.asked) == ["gpaw", "no-low-pass"]  # the recipe's own engine without its low-pass
        assert found["no low-pass"]["whole"]["rmse"] == pytest.approx(0.01 / np.sqrt(2), rel=1e-3)
        assert found["as labelled"]["whole"]["rmse"] == pytest.approx(0.01 / np.sqrt(2), rel=1e-2)
        assert found["same low-pass"]["whole"]["max_error"] < 1e-3
        assert found["low-pass below both cutoffs"]["whole"]["max_error"] < 1e-3

    def test_goes_on_where_it_was(self, engine, tmp_path):
        pair = self.pair(tmp_path)
        first = two_engines.compare_engines([pair])
        engine.asked.clear()
        assert two_engines.compare_engines([pair]) == first
        assert engine.asked == []
        (tmp_path / "gpaw.npz").unlink()
        pair.path.unlink()
        two_engines.compare_engines([pair])
        assert engine.asked == ["gpaw"]

    def test_an_element_that_one_engine_lacks_is_named(self, engine, tmp_path, capsys, monkeypatch):
        def copy(structure, name, folder):
            if structure[0].specie.symbol == "Ca":
                raise EngineError("no such entry")

        monkeypatch.setattr(two_engines, "copy_pseudopotentials", copy)
        hydride = Structure(Lattice.cubic(3.0), ["Ca", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        pairs = [self.pair(tmp_path / "a"), self.pair(tmp_path / "b", hydride)]
        pairs[1] = replace(pairs[1], name="hydride")
        assert [p.settings["espresso"].pseudopotential for p in pairs] == ["GTH-PBE-q1", "GTH-PBE"]
        rows = two_engines.compare_engines(pairs)
        assert rows[1]["not_compared"] == "no GTH-PBE for Ca with espresso"
        assert len(engine.asked) == 2
        result = json.loads(json.dumps(two_engines.record(pairs, rows)))
        assert {mean["structures"] for mean in result["metrics"].values()} == {1}
        two_engines.report(result)
        assert "not compared" in capsys.readouterr().out


def tiny_field(structure=CRYSTAL, **meta):
    return elfzoo.Field(planted_elf(Grid((8, 8, 8), structure.lattice.matrix)), structure, meta=meta)


class Toy(FieldDataset):
    """Three crystals."""

    name = "crystal-h"

    @staticmethod
    def split_of(file: str) -> str:
        """By the first letter."""
        return {"a": "train", "b": "test"}[file[0]]


@pytest.fixture
def data(tmp_path):
    """A data set whose last file is of an older layout, with few entries."""
    folder = tmp_path / "data" / "crystal-h"
    folder.mkdir(parents=True)
    for number, pressure in enumerate((98.0, 104.0)):
        record = {
            "group": f"g{number}",
            "pressure_GPa": pressure,
            "wall_seconds": 3600.0,
            "largest_force_eV_A": 0.25 + number,
            "relaxation": {"converged": number == 0, "wall_seconds": 1800.0},
            "recipe_hash": RECIPE.hash,
            "pseudopotential_sha256": {"H": "0123abcd"},
        }
        write_reference(tiny_field(**record), folder / f"a{number}.npz")
    hydride = Structure(Lattice.cubic(3.0), ["Ca", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    write_reference(tiny_field(hydride), folder / "b.npz", symmetric=False)
    return tmp_path / "data"


class TestCards:
    def test_numbers_are_those_of_the_files(self, data, tmp_path):
        (data / "crystal-h" / "failed").mkdir()
        for number in (1, 2):
            reason = json.dumps({"reason": f"the SCF did not converge in {number} steps"})
            (data / "crystal-h" / "failed" / f"{number}.json").write_text(reason)
        text = data_cards.card(Toy, data, tmp_path)
        size = sum(path.stat().st_size for path in (data / "crystal-h").glob("a*.npz")) / 1e6
        for line in (
            f"| train | 2 | 2 | 2 | 512 | 0.3125 | {size:.2f} |",
            "| 2 | 2 | 1 |",  # atoms per cell
            "Elements: H (3), Ca (1).",
            "- train: H (2)",
            "- test: CaH (1)",
            "| none | relaxed | 2 | 101.00 ± 3.00 | 98.00 | 104.00 |",
            "Relaxations that met their tolerances: 1 of 2.",
            "| relaxed | 2 | 0.750 | 1.250 |",
            "| labels | 2 of 3 | 2.00 |",
            "| relaxations | 2 of 2 | 1.00 |",
            "| the SCF did not converge in N steps | 2 |",
            "| SHA-256 of the pseudopotential, H | 0123abcd |",
            f"| SHA-256 of the recipe | {RECIPE.hash} (not recorded in 1 of 3) |",
            "| plane-wave cutoff, eV | not recorded |",
            "elfzoo reference run crystal-h --out runs/crystal-h --workers 2",
        ):
            assert line in text.splitlines(), line
        assert text.count("Not measured yet.") == 2
        assert "label.cutoff" not in text  # not all files are of this recipe

    def test_the_work_that_structures_are_taken_from_is_named_once(self, data, tmp_path):
        for number in range(2):
            facts = {"prototype": "A15", "source": "Someone (2008)", "group": "g"}
            write_reference(tiny_field(**facts), data / "crystal-h" / f"a{number}.npz")
        assert data_cards.card(Toy, data, tmp_path).count("| H | A15 | Someone (2008) |") == 1

    def test_the_recipe_is_stated_when_it_made_all_files(self, data, tmp_path):
        (data / "crystal-h" / "b.npz").unlink()
        text = data_cards.card(Toy, data, tmp_path)
        assert f"| label.cutoff | `{RECIPE.label.cutoff}` |" in text
        assert "| 100 | relaxed | 2 | 101.00 ± 3.00 | 98.00 | 104.00 |" in text

    def test_records_become_tables(self, data, engine, monkeypatch, tmp_path):
        monkeypatch.setattr(two_engines, "setup_files", lambda *_: {})
        rows = reference_convergence.converge(RECIPE, {"one": CRYSTAL}, tmp_path / "runs")
        result = reference_convergence.record(RECIPE, {"one": CRYSTAL}, rows)
        reference_convergence.write_json(tmp_path / "convergence-crystal-h.json", result)
        pairs = [two_engines.Pair("one", CRYSTAL, RECIPE, tmp_path / "runs" / "both")]
        both = two_engines.record(pairs, two_engines.compare_engines(pairs))
        reference_convergence.write_json(tmp_path / "two-engines.json", both)
        text = data_cards.card(Toy, data, tmp_path)
        assert "Not measured yet." not in text
        changed = f"| one | cutoff-1.3 (cutoff {1.3 * RECIPE.label.cutoff:.6g}) | 0.00100 | 0.0010 |"
        assert changed in text
        assert "| 1.0 × | yes |" in text
        assert "failed: the SCF did not converge in N steps" in text
        assert "| one | same low-pass | 0.0000" in text

    def test_check_fails_on_a_stale_card(self, data, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(data_cards, "DATASETS", (Toy,))

        def run(*options):
            monkeypatch.setattr(
                sys, "argv", ["data_cards.py", "--data", str(data), "--results", str(tmp_path), *options]
            )
            with pytest.raises(SystemExit) as end:
                data_cards.main()
            return end.value.code

        assert run("--check") == 1
        assert not (data / "crystal-h" / "README.md").exists()
        assert run() == 0
        assert run("--check") == 0
        (data / "crystal-h" / "b.npz").unlink()
        assert run("--check") == 1
        assert "stale: crystal-h/README.md" in capsys.readouterr().out

    @pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
    def test_the_written_cards_are_up_to_date(self, dataset):
        path = data_cards.DATA / dataset.name / "README.md"
        if not path.exists():
            pytest.skip("the card is not written yet: python benchmarks/data_cards.py")
        assert path.read_text(encoding="utf-8") == data_cards.card(dataset)


class TestFigures:
    def test_pair_distribution_equals_that_of_the_dynamics(self, rng):
        edge = 8.0
        positions = edge * rng.random((2, 40, 3))
        structures = [Structure(Lattice.cubic(edge), ["H"] * 40, frac / edge, to_unit_cell=True) for frac in positions]
        radii, g = reference_figures.mean_pair_distribution(structures)
        expected_radii, expected = pair_distribution(positions, edge * np.eye(3), bins=100)
        assert (radii, g) == (pytest.approx(expected_radii), pytest.approx(expected, abs=1e-9))

    def test_shortest_distance_counts_images(self):
        assert reference_figures.shortest(Structure(Lattice.cubic(2.5), ["H"], [[0, 0, 0]])) == pytest.approx(2.5)
        assert reference_figures.shortest(CRYSTAL) == pytest.approx(2.5 * np.sqrt(3) / 2)

    def test_a_molecular_peak_is_a_maximum_above_one(self):
        radii = np.arange(0.5, 2.0, 0.04)
        peak = 1.8 * np.exp(-(((radii - 0.74) / 0.05) ** 2))
        assert reference_figures.describe_peak(radii, peak) == "molecular peak 1.80 at 0.74 Å"
        assert reference_figures.describe_peak(radii, 0.5 * peak) == "no molecular peak"
        assert reference_figures.describe_peak(radii, 2 * radii) == "no molecular peak"

    def test_pictures_are_written_and_small(self, tmp_path):
        metas = {
            "fluid-h": {"target_pressure_GPa": 76.0, "pressure_GPa": 77.0},
            "crystal-h": {"pressure_GPa": 99.0},
            "metals": {"pressure_GPa": 0.0},
        }
        for name, meta in metas.items():
            (tmp_path / name).mkdir()
            write_reference(tiny_field(**meta), tmp_path / name / "cubic_0.npz")
            paths = reference_figures.draw(name, tmp_path, tmp_path / "figures")
            assert len(paths) == len(reference_figures.SETS[name][1])
            for path in paths:
                content = path.read_bytes()
                assert content.startswith(b"\x89PNG") and len(content) <= reference_figures.LARGEST

    def test_a_large_picture_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reference_figures, "LARGEST", 1000)
        figure = reference_figures.elf_histogram({"one": [tiny_field()]})
        with pytest.raises(ElfzooError, match="expected at most"):
            reference_figures.save(figure, tmp_path / "one.png")
        assert not list(tmp_path.iterdir())
