"""Releases and data sets to the Hub and back, through the real client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import DatasetCard, ModelCard, constants
from huggingface_hub._eval_results import parse_eval_result_entries

import elfzoo
from elfzoo.card import read_card
from elfzoo.errors import ElfzooWarning, HubError, WeightsError
from elfzoo.hub import save_release
from elfzoo.hub.pull import pull, pull_dataset, verify, verify_dataset
from elfzoo.hub.push import push_dataset
from tests.hub.server import Fault, Hub

PREDICT = """
import sys, numpy as np, elfzoo
from pymatgen.core import Lattice, Structure
cell = Structure(Lattice.cubic(3.0), ["H", "H"], [[0.1, 0.1, 0.1], [0.3, 0.2, 0.1]])
np.save(sys.argv[2], elfzoo.load_pretrained(sys.argv[1]).predict(cell, grid=(8, 8, 8)).values)
"""


def record(release: Path, task: str = "fluid-h", **changes: object) -> dict:
    card = read_card(release)
    metrics = {"mae": 0.0123456, "rmse": 0.02, "r2": 0.99, "phi_mae": 0.03}
    facts = {
        "model": card.name,
        "weights_sha256": card.weights_sha256,
        "task": task,
        "split": "test",
        "metrics": metrics,
    }
    return facts | {"data_sha256": "ab" * 32, "date": "2026-11-22", "elfzoo": "0.1.0"} | changes


def test_round_trip_in_fresh_processes(hub: Hub, release: Path, tmp_path: Path) -> None:
    done = elfzoo.push_to_hub(release, "lab/tiny")
    assert hub.repo("lab/tiny").branches["main"] == done.commit
    for name, file in ((release, "here.npy"), ("lab/tiny", "there.npy")):
        subprocess.run([sys.executable, "-c", PREDICT, str(name), str(tmp_path / file)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "here.npy"), np.load(tmp_path / "there.npy"))


def test_where_files_lay_stays_at_home(hub: Hub, release: Path) -> None:
    config = json.loads((release / "config.json").read_text())
    config["training"] = {"config": {"train": [{"dataset": "new", "files": ["/home/ada/secret/ELFCAR_1", "kept/x"]}]}}
    (release / "config.json").write_text(json.dumps(config))
    done = elfzoo.push_to_hub(release, "lab/tiny")
    pushed = json.loads(hub.repo("lab/tiny").commits[done.commit]["config.json"])
    assert pushed["training"]["config"]["train"][0]["files"] == ["ELFCAR_1", "kept/x"]
    assert {k: v for k, v in pushed.items() if k != "training"} == {k: v for k, v in config.items() if k != "training"}
    assert elfzoo.load_pretrained("lab/tiny").card.name == config["name"]


def test_what_arrives(hub: Hub, release: Path) -> None:
    others = [record(release, weights_sha256="0" * 64), record(release, model="another")]
    done = elfzoo.push_to_hub(release, "lab/tiny", records=[record(release), record(release, "metals"), *others])
    files = hub.repo("lab/tiny").commits[done.commit]
    expected = {
        "config.json",
        "model.safetensors",
        "README.md",
        "LICENSE",
        ".eval_results/elfzoo.yaml",
        ".gitattributes",
    }
    assert set(files) == expected
    assert files["model.safetensors"] == (release / "model.safetensors").read_bytes()
    assert b"MIT License" in files["LICENSE"]
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "mit" and card.data.library_name == "elfzoo" and "H" in card.data.tags
    found = {(r.dataset_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert found["fluid-h", "mae"] == 0.01235 and found["metals", "r2"] == 0.99 and len(found) == 8
    assert card.text.strip().startswith("# Tiny")
    entries = parse_eval_result_entries(yaml.safe_load(files[".eval_results/elfzoo.yaml"]))
    assert [(e.dataset_id, e.task_id, e.value) for e in entries] == [
        ("lab/elfzoo-benchmark", "fluid-h", 0.01235),
        ("lab/elfzoo-benchmark", "metals", 0.01235),
    ]


def test_a_card_keeps_its_own_front_matter(hub: Hub, release: Path) -> None:
    (release / "README.md").write_text("---\nlicense: apache-2.0\ntags: [mine]\n---\n\n# Mine\n")
    done = elfzoo.push_to_hub(release, "lab/tiny")
    card = ModelCard(hub.repo("lab/tiny").commits[done.commit]["README.md"].decode())
    assert (card.data.license, card.data.tags, card.text.strip()) == ("apache-2.0", ["mine"], "# Mine")


def test_a_model_in_memory(hub: Hub, release: Path) -> None:
    model = elfzoo.create_model("grid_mlp", {"hidden": [4]})
    with pytest.raises(WeightsError, match="needs a name to be pushed"):
        elfzoo.push_to_hub(model, "lab/mine")
    elfzoo.push_to_hub(model, "lab/mine", name="grid_mlp.mine-v1", private=True)
    assert hub.repo("lab/mine").private
    again = elfzoo.load_pretrained("lab/mine")
    assert again.card.name == "grid_mlp.mine-v1"
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    elfzoo.push_to_hub(elfzoo.load_pretrained(release), "lab/tiny")
    assert elfzoo.load_pretrained("lab/tiny").card.elements == ("H",)


def test_releases_are_immutable(hub: Hub, release: Path, tmp_path: Path) -> None:
    first = elfzoo.push_to_hub(release, "lab/tiny")
    elfzoo.push_to_hub(release, "lab/tiny")  # the same again, for a better card
    save_release(elfzoo.create_model("grid_mlp", {"hidden": [6]}), tmp_path / "other", "grid_mlp.tiny-v0")
    with pytest.raises(WeightsError, match=r"lab/tiny holds other weights under the name grid_mlp.tiny-v0 .* next -vN"):
        elfzoo.push_to_hub(tmp_path / "other", "lab/tiny")
    assert elfzoo.load_pretrained("lab/tiny").card.weights_sha256 == read_card(release).weights_sha256
    save_release(elfzoo.create_model("grid_mlp", {"hidden": [6]}), tmp_path / "other", "grid_mlp.tiny-v1")
    elfzoo.push_to_hub(tmp_path / "other", "lab/tiny")
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v1"
    assert elfzoo.load_pretrained("lab/tiny", revision=first.commit).card.name == "grid_mlp.tiny-v0"


def test_changed_weights_need_a_name_of_their_own(hub: Hub, release: Path) -> None:
    model = elfzoo.load_pretrained(release)
    elfzoo.push_to_hub(model, "lab/same")
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    for name in (None, "grid_mlp.tiny-v0"):
        with pytest.raises(WeightsError, match=r"have changed since they were loaded as grid_mlp\.tiny-v0"):
            elfzoo.push_to_hub(model, "lab/other", name=name)
    elfzoo.push_to_hub(model, "lab/other", name="grid_mlp.mine-v1")
    card = elfzoo.load_pretrained("lab/other").card
    assert card.name == "grid_mlp.mine-v1" and card.training == {} and card.elements == ("H",)


def test_branches(hub: Hub, release: Path) -> None:
    elfzoo.push_to_hub(release, "lab/tiny", revision="next")
    assert "config.json" not in hub.repo("lab/tiny").commits[hub.repo("lab/tiny").branches["main"]]
    assert elfzoo.load_pretrained("lab/tiny", revision="next").card.name == "grid_mlp.tiny-v0"


def test_what_is_not_sound_does_not_leave(hub: Hub, release: Path) -> None:
    (release / "model.safetensors").write_bytes(b"short")
    with pytest.raises(WeightsError, match="truncated or changed"):
        elfzoo.push_to_hub(release, "lab/tiny")
    with pytest.raises(HubError, match=r"no name of a repository: 'tiny'; expected organisation/name"):
        elfzoo.push_to_hub(release, "tiny")
    assert hub.requests == []


def test_a_push_without_leave(hub: Hub, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match=r"does not allow this for the model lab/tiny \(HTTP 401\): check HF_TOKEN"):
        elfzoo.push_to_hub(release, "lab/tiny")
    assert hub.repos == {}


def test_a_push_that_breaks_off_changes_nothing(hub: Hub, release: Path) -> None:
    before = hub.repo("lab/tiny").branches["main"]
    hub.faults = [Fault("POST", "/commit/", 500)]
    with pytest.raises(HubError, match="answered HTTP 500"):
        elfzoo.push_to_hub(release, "lab/tiny")
    assert hub.repo("lab/tiny").branches["main"] == before
    hub.faults = []
    elfzoo.push_to_hub(release, "lab/tiny")
    assert verify("lab/tiny").parameters > 0


def test_pull(hub: Hub, release: Path, tmp_path: Path) -> None:
    elfzoo.push_to_hub(release, "lab/tiny")
    folder = pull("lab/tiny", tmp_path / "mine")
    assert {"config.json", "model.safetensors", "README.md", "LICENSE"} <= {p.name for p in folder.iterdir()}
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert verify(folder).weights == folder / "model.safetensors"
    with pytest.raises(HubError, match="exists; expected the name of a new folder"):
        pull("lab/tiny", folder)


@pytest.mark.parametrize("where", [".", "made"])
def test_a_pull_into_an_empty_folder(
    hub: Hub, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The current one too, which stays the current one."""
    elfzoo.push_to_hub(release, "lab/tiny")
    (tmp_path / "here" / "made").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "made" if where == "." else tmp_path / "here")
    before = os.stat(where).st_ino
    assert verify(pull("lab/tiny", where)).parameters > 0
    assert os.stat(where).st_ino == before and (tmp_path / "here" / "made" / "model.safetensors").is_file()
    assert not [path.name for path in Path(where).iterdir() if path.name.endswith(".tmp")]
    hub.requests.clear()
    with pytest.raises(HubError, match="exists; expected the name of a new folder, or of an empty one"):
        pull("lab/tiny", where)
    assert hub.requests == []  # before anything is fetched


def test_a_pull_onto_a_full_disk(hub: Hub, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elfzoo.push_to_hub(release, "lab/tiny")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(HubError, match="No space left on device"):
        pull("lab/tiny", tmp_path / "mine")
    assert not [path for path in tmp_path.iterdir() if "mine" in path.name]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "hydrides"
    folder.mkdir()
    source = Path(elfzoo.__file__).parents[1] / "benchmarks" / "data" / "hydrides"
    for path in sorted(source.glob("LiH*.npz")):
        shutil.copy(path, folder)
    (folder / "recipe.yaml").write_text("dataset: hydrides\n")
    (folder / "README.md").write_text("# Some hydrides\n")
    return folder


def test_a_data_set_travels(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    done = push_dataset(dataset, "lab/some-hydrides")
    files = hub.repo("lab/some-hydrides", "dataset").commits[done.commit]
    assert {path.name for path in dataset.iterdir()} < set(files)
    folder = pull_dataset("lab/some-hydrides", tmp_path / "again")
    assert verify_dataset(folder) == len(list(dataset.glob("*.npz"))) + 1
    for path in dataset.glob("*.npz"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    first = next(folder.glob("*.npz"))
    assert elfzoo.read_field(first).structure.composition.reduced_formula == "LiH"
    first.write_bytes(b"rotten")
    with pytest.raises(HubError, match=rf"{first.name} is damaged: sha256"):
        verify_dataset(folder)
    first.unlink()
    with pytest.raises(HubError, match=rf"lacks {first.name}"):
        verify_dataset(folder)


def test_the_licence_of_a_data_set_is_its_owner_s(hub: Hub, tmp_path: Path) -> None:
    """What the folder states arrives and survives pull and push; what it does not state is not claimed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.npz").write_bytes(b"a field")
    with pytest.warns(
        ElfzooWarning, match=r"mine states no licence.*a file LICENSE, or a line such as 'license: cc-by"
    ):
        done = push_dataset(folder, "lab/bare")
    files = hub.repo("lab/bare", "dataset").commits[done.commit]
    assert "LICENSE" not in files and DatasetCard(files["README.md"].decode()).data.license is None
    (folder / "LICENSE").write_text("all rights are the lab's")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\npretty_name: Ours\n---\n\n# Mine\n")
    push_dataset(folder, "lab/mine")
    again = pull_dataset("lab/mine", tmp_path / "again")
    done = push_dataset(again, "lab/mine")
    files = hub.repo("lab/mine", "dataset").commits[done.commit]
    card = DatasetCard(files["README.md"].decode())
    assert (card.data.license, card.data.pretty_name, card.text.strip()) == ("cc-by-nc-4.0", "Ours", "# Mine")
    assert files["LICENSE"] == b"all rights are the lab's"
    assert files["README.md"] == (again / "README.md").read_bytes() and files["README.md"].count(b"---") == 2


def test_elfzoo_s_own_fields_are_under_its_licence(hub: Hub, dataset: Path) -> None:
    done = push_dataset(dataset, "lab/hydrides")
    files = hub.repo("lab/hydrides", "dataset").commits[done.commit]
    assert DatasetCard(files["README.md"].decode()).data.license == "mit" and b"MIT License" in files["LICENSE"]
    (dataset / "mine.npz").write_bytes(b"a field of somebody")
    with pytest.warns(ElfzooWarning, match="states no licence"):
        done = push_dataset(dataset, "lab/mixed")
    assert "LICENSE" not in hub.repo("lab/mixed", "dataset").commits[done.commit]


def test_a_data_set_that_is_none(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="holds no fields"):
        push_dataset(tmp_path, "lab/nothing")
    with pytest.raises(HubError, match="has no SHA256SUMS"):
        verify_dataset(tmp_path)
    with pytest.raises(HubError, match="no data set lab/nothing that you may see"):
        pull_dataset("lab/nothing", tmp_path / "x")


def test_verify(release: Path) -> None:
    assert verify("grid_mlp.smooth-h-v3").card.name == "grid_mlp.smooth-h-v3"
    (release / "config.json").write_text(
        json.dumps(json.loads((release / "config.json").read_text()) | {"weights_sha256": "0"})
    )
    with pytest.raises(WeightsError, match="truncated or changed"):
        verify(release)


def test_the_test_hub_is_strict(hub: Hub) -> None:
    """What the server does not know is an error of the test, not an empty answer."""
    from huggingface_hub import HfApi

    with pytest.raises(Exception, match="418"):
        HfApi().space_info("lab/space")
    assert hub.url == constants.ENDPOINT
