"""The pages of records: every number is the record's, every link leads somewhere, nothing comes from the network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from elfzoo.benchmark import find_task, read_records
from elfzoo.benchmark.board import HEADLINES
from elfzoo.errors import ElfzooError
from elfzoo.site import build_site
from elfzoo.site.build import MANIFEST
from tests.site.records import TASKS, Page, of_speed, record

HOSTILE = '<script>alert("1")</script>&../..'


def page(site: Path, name: str) -> Page:
    return Page((site / name).read_text())


def phi_texts(row: dict) -> list[str]:
    """Networking value of the reference, of the prediction, and their difference."""
    reference, delta = (row["topology"][side]["phi_3d"] for side in ("reference", "delta"))
    return [f"{value:.4f}".replace("-", "−") for value in (reference, reference + delta, delta)]


def test_every_number_of_the_board_is_the_records(site: Path, made_up: list[dict]) -> None:
    index = page(site, "index.html")
    for found in made_up:
        for name, title in HEADLINES.items():
            if name not in found["metrics"]:
                continue
            cell = index.column(f"board-{found['task']}", title)[found["model"]]
            assert float(cell["data-value"]) == found["metrics"][name]
            assert cell["text"].split(" | ")[0].replace("−", "-") == f"{found['metrics'][name]:.4f}"
    crystals = index.column("board-crystals", "MAE")
    assert crystals["good"]["text"] == "0.0300 | 0.0270 to 0.0330"
    assert index.column("board-crystals", "voxels/s")["fair"]["text"] == "3,000,000"
    assert index.column("board-crystals", "parameters")["good"]["text"] == "12,345"
    assert index.column("board-crystals", "learned from")["good"]["text"] == "fluid-h/train"
    assert index.column("board-crystals", "hardware")["good"]["text"] == "an abacus"


def test_the_best_come_first_and_floors_do_not_compete(site: Path) -> None:
    index = page(site, "index.html")
    cells = index.column("board-crystals", "MAE")
    assert list(cells) == ["floor.mean", "good", "fair"]
    assert [name for name, cell in cells.items() if "best" in cell] == ["good"]
    assert [name for name, cell in index.column("board-crystals", "voxels/s").items() if "best" in cell] == ["fair"]
    assert not any("best" in cell for cell in index.column("board-crystals", "spread of φ").values())
    head = {cell["text"]: cell for cell in index.tables["board-crystals"][0]}
    assert head["MAE"]["aria-sort"] == "ascending" and head["R²"]["data-better"] == "high"


def test_floors_and_what_was_never_seen_are_marked(site: Path) -> None:
    rows = {line[0]["data-value"]: line[0]["text"] for line in page(site, "index.html").tables["board-crystals"][1:]}
    assert rows == {"floor.mean": "floor.mean floor", "good": "good", "fair": "fair never saw Li, B"}
    assert "floor" in page(site, "models/floor.mean.html").text.split("Results")[0]


def test_missing_values_are_dashes_and_sort_as_nothing(site: Path) -> None:
    cell = page(site, "index.html").column("board-crystals", "parameters")["floor.mean"]
    assert (cell["text"], cell["data-value"]) == ("–", "")


def test_the_page_of_a_model_has_all_that_is_recorded(site: Path, made_up: list[dict]) -> None:
    found, model = made_up[0], page(site, "models/good.html")
    told = {line[0]["text"]: line[1]["text"] for line in model.tables["metrics-crystals"][1:]}
    assert told == {name: f"{value:g}" for name, value in found["metrics"].items()}
    groups = model.column("groups-fluid", "MAE")
    assert {name: float(cell["data-value"]) for name, cell in groups.items()} == {
        name: metrics["mae"] for name, metrics in made_up[3]["groups"].items()
    }
    structures = model.column("structures-crystals", "RMSE")
    assert [float(cell["data-value"]) for cell in structures.values()] == [
        row["voxels"]["rmse"] for row in found["structures"]
    ]
    shares = {line[0]["text"]: line[1]["text"] for line in model.tables["bands-crystals"][1:]}
    assert shares == {"above 6 Å": "12.5 %", "3 to 6 Å": "25.0 %", "1.5 to 3 Å": "50.0 %", "below 1.5 Å": "12.5 %"}
    assert [line[2]["text"] for line in model.tables["spectrum-crystals"][1:]] == ["0.1", "1", "0.01"]
    assert "By target pressure GPa" in model.text
    phis = {line[0]["text"]: [cell["text"] for cell in line[1:]] for line in model.tables["networking-crystals"][1:]}
    assert phis == {row["file"]: phi_texts(row) for row in found["structures"]}
    assert "have the variance 0.00391, the standard deviation 0.0625" in model.text
    joint = [[cell["text"] for cell in line] for line in model.tables["joint-crystals"]]
    assert joint == [["reference from, prediction from", "0", "0.5"], ["0", "30", "2"], ["0.5", "0", "8"]]
    assert "all 40 voxels of the task" in model.text and "95.0 % are in the bins on the line" in model.text
    assert json.loads((site / "records/crystals/good.json").read_text()) == found


def test_the_parity_of_templates_is_that_of_the_record(tmp_path: Path) -> None:
    found = record("good", [0.1, 0.2])
    for row, strength in zip(found["structures"], (0.25, 0.75), strict=True):
        row["templates"] = {"reference": {"strength": strength}, "prediction": {"strength": 0.5}}
        del row["topology"]
    found["metrics"] |= {"strength_mae": 0.25, "strength_spread": 0.25, "spearman": -0.5}
    build_site([found], tmp_path / "site", TASKS, tmp_path)
    model = page(tmp_path / "site", "models/good.html")
    told = [[cell["text"] for cell in line[1:]] for line in model.tables["templates-crystals"][1:]]
    assert told == [["0.2500", "0.5000", "0.2500"], ["0.7500", "0.5000", "−0.2500"]]
    assert "MAE 0.2500, rank correlation −0.5000; the references have the variance 0.06250" in model.text
    assert "networking-crystals" not in model.tables


def test_floors_do_not_press_the_models_together(tmp_path: Path) -> None:
    records = [record("good", [0.01]), record("fair", [0.02]), record("floor.near", [0.03]), record("floor.far", [0.2])]
    records += [of_speed(found["model"], 1e5) for found in records]
    build_site(records, tmp_path / "site", TASKS, tmp_path)
    index = page(tmp_path / "site", "index.html")
    drawn = re.findall(r'class="dot (\w+)"><title>(\S+):', (tmp_path / "site/index.html").read_text())
    assert drawn == [("main", "good"), ("main", "fair"), ("floor", "floor.near")]
    assert "Above the chart: floor.far (0.2)." in index.text
    assert [line[0]["text"] for line in index.tables["speed-crystals"][1:]] == [
        "good",
        "fair",
        "floor.near",
        "floor.far",
    ]


def test_the_card_of_a_release_is_shown(tmp_path: Path) -> None:
    from elfzoo import list_pretrained

    name = list_pretrained()[0]
    build_site([record(name, [0.1])], tmp_path / "site", TASKS, tmp_path)
    text = page(tmp_path / "site", f"models/{name}.html").text
    assert "Intended use" in text and "license: mit" not in text and "<!--" not in text


def test_smallest_median_and_largest_error_get_a_page(site: Path) -> None:
    names = sorted(path.stem for path in (site / "structures/crystals").iterdir())
    assert names == ["made_000", "made_002", "made_004"]  # of the best model, whatever the floor says
    assert sorted(path.stem for path in (site / "structures/fluid").iterdir()) == ["made_000", "made_001"]
    text = page(site, "structures/crystals/made_002.html").text
    assert "Median MAE of good" in text and "not shown" in text


def test_the_page_of_a_structure_compares_all_entrants(site: Path) -> None:
    found = page(site, "structures/crystals/made_004.html")
    assert {name: float(c["data-value"]) for name, c in found.column("entrants", "MAE").items()} == {
        "floor.mean": 0.001,
        "good": 0.05,
        "fair": 0.06,
    }
    networking = {line[0]["text"]: [cell["text"] for cell in line[1:]] for line in found.tables["networking"]}
    assert networking["reference"] == ["0.6000", "0.5000", "0.4000", "0.4000", "0.9000"]
    assert networking["good"] == ["0.6100 (+0.0100)", "0.4800 (−0.0200)", "0.3500 (−0.0500)", "–", "0.9000 (+0.0000)"]
    assert [cell["text"] for cell in found.tables["points-2"][5]] == ["all", "10", "8", "7", "0.700", "0.875", "0.050"]


def test_every_link_leads_somewhere_and_none_out(site: Path) -> None:
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) == 1 + 3 + 5
    for path, found in pages.items():
        assert found.links
        for tag, address in found.links:
            assert not re.match(r"(?i)[a-z]+:|//", address) or address == "data:,", (path, tag, address)
            file, _, part = address.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert address == "data:," or target.is_file(), (path, address)
            assert not part or part in pages[target].ids, (path, address)


def test_nothing_asks_for_the_network(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.glob("static/*.css"), *site.glob("static/[a-z]*.js")]:
        text = path.read_text()
        assert not re.search(r"""(src|href|url|import|fetch)\s*[=(]\s*["']?(https?:)?//""", text), path


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    records = [record(HOSTILE, [0.1, 0.2]), record("good", [0.2, 0.3])]
    records[0]["structures"][0]["file"] = records[1]["structures"][0]["file"] = "crystal-h/<img src=x>.npz"
    build_site(records, tmp_path / "site", TASKS, tmp_path)
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text and "<img" not in text, path
    index = page(tmp_path / "site", "index.html")
    assert index.column("board-crystals", "MAE")[HOSTILE]["text"].startswith("0.1500")
    places = {path.resolve() for path in tmp_path.rglob("*") if path.is_file()}
    assert places and all(path.is_relative_to(tmp_path.resolve() / "site") for path in places)


def test_the_same_records_give_the_same_bytes_and_old_pages_go(made_up: list[dict], tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    build_site(made_up, tmp_path / "site", TASKS, tmp_path)
    first = files()
    (tmp_path / "site" / "CNAME").write_text("someone's own\n")
    build_site(made_up, tmp_path / "site", TASKS, tmp_path)
    assert files() == first | {"site/CNAME": b"someone's own\n"}
    build_site(made_up[:1], tmp_path / "site", TASKS, tmp_path)
    left = set(files())
    assert "site/models/good.html" in left and "site/CNAME" in left
    assert not {"site/models/fair.html", "site/structures/fluid/made_000.html"} & left
    assert set(json.loads((tmp_path / "site" / MANIFEST).read_text())["files"]) == {
        name.removeprefix("site/") for name in left - {"site/CNAME", f"site/{MANIFEST}"}
    }


def test_a_folder_with_something_else_in_it_is_left_alone(made_up: list[dict], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ElfzooError, match=r"no page of elfzoo's"):
        build_site(made_up, tmp_path, TASKS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_records_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    other = record("fair", [0.1]) | {"data_sha256": "3" * 64}
    with pytest.raises(ElfzooError, match="good and fair on crystals are of different data"):
        build_site([record("good", [0.1]), other], tmp_path / "site", TASKS, tmp_path)
    with pytest.raises(ElfzooError, match="of the task metals, which was not asked for"):
        build_site([record("good", [0.1], "metals")], tmp_path / "site", TASKS, tmp_path)
    assert not (tmp_path / "site").exists()


def test_records_with_a_few_metrics_have_a_page_too(tmp_path: Path) -> None:
    bare = {name: record("bare", [0.1])[name] for name in ("model", "task", "split", "data_sha256")}
    build_site([bare | {"metrics": {"novel": 0.5, "newer": 0.25}}], tmp_path / "site", TASKS, tmp_path)
    assert page(tmp_path / "site", "index.html").column("board-crystals", "novel")["bare"]["text"] == "0.5000"
    assert "say nothing of its training" in page(tmp_path / "site", "models/bare.html").text


def test_real_fields_are_shown_and_what_is_missing_is_said(crystals: Path, tmp_path: Path) -> None:
    task = {"tiny": find_task(str(crystals / "tiny.yaml"))}
    records = list(read_records(crystals / "results", ["tiny"]))
    names = sorted(path.stem for path in (crystals / "site/structures/tiny").iterdir())
    shown = sorted(path.name for path in (crystals / "site/fields/tiny" / names[0]).iterdir())
    assert shown == ["mine.half.prediction.js", "reference.js", "waves.prediction.js"]
    gone = crystals / "work/waves/tiny/predictions" / f"{names[0]}.npz"
    changed = crystals / "work/mine.half/tiny/predictions" / f"{names[0]}.npz"
    kept = gone.read_bytes(), changed.read_bytes()
    try:
        gone.unlink()
        changed.write_bytes(kept[0])
        build_site(records, tmp_path / "site", task, crystals / "work")
    finally:
        gone.write_bytes(kept[0])
        changed.write_bytes(kept[1])
    text = page(tmp_path / "site", f"structures/tiny/{names[0]}.html").text
    assert "waves: its prediction was not kept" in text
    assert "mine.half: the prediction that was kept is of another run" in text
    assert [path.name for path in (tmp_path / "site/fields/tiny" / names[0]).iterdir()] == ["reference.js"]


def test_pages_of_structures_are_small(crystals: Path) -> None:
    for path in (crystals / "site/structures").rglob("*.html"):
        fields = crystals / "site/fields/tiny" / path.stem
        assert path.stat().st_size + sum(file.stat().st_size for file in fields.iterdir()) < 1.5e6
