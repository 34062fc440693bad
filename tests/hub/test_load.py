"""Releases from the Hub, through the real client, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.card import read_card, shipped_releases
from elfzoo.cli.predict import DEFAULT_MODEL, DEFAULT_OF_ALL
from elfzoo.errors import ConfigError, ElfzooError, HubError, UnknownNameError, WeightsError
from elfzoo.hub import save_release
from elfzoo.hub.load import RECOMMENDED
from tests.conftest import HUB_PORT
from tests.hub.server import TOKEN, Fault, Hub

H2 = Structure(Lattice.cubic(3.0), ["H", "H"], [[0.1, 0.1, 0.1], [0.3, 0.2, 0.1]])


def downloads(hub: Hub, file: str) -> int:
    return sum(request.startswith("GET") and request.endswith(file) for request in hub.requests)


def test_the_real_hub_is_out_of_reach() -> None:
    assert constants.ENDPOINT.startswith("http://127.0.0.1:")


def test_a_release_comes_from_the_hub_once(hub: Hub, release: Path, published: str) -> None:
    first = elfzoo.load_pretrained("lab/tiny")
    again = elfzoo.load_pretrained("lab/tiny")
    local = elfzoo.load_pretrained(release)
    assert first.card.name == "grid_mlp.tiny-v0"
    assert downloads(hub, "model.safetensors") == downloads(hub, "config.json") == 1
    for key, value in local.state_dict().items():
        assert torch.equal(value, first.state_dict()[key]) and torch.equal(value, again.state_dict()[key])


def test_device_and_precision(hub: Hub, published: str) -> None:
    model = elfzoo.load_pretrained("lab/tiny", device="cpu", dtype=torch.float64)
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_revisions(hub: Hub, release: Path, published: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    save_release(elfzoo.create_model("grid_mlp", {"hidden": [5]}), tmp_path / "next", "grid_mlp.tiny-v1")
    newer = hub.repo("lab/tiny").commit({p.name: p.read_bytes() for p in (tmp_path / "next").iterdir()})
    hub.repo("lab/tiny").branches["first"] = published
    names = {
        rev: elfzoo.load_pretrained("lab/tiny", revision=rev).card.name for rev in (published, newer, "first", None)
    }
    assert names == {
        published: "grid_mlp.tiny-v0",
        "first": "grid_mlp.tiny-v0",
        newer: "grid_mlp.tiny-v1",
        None: "grid_mlp.tiny-v1",
    }
    with pytest.raises(HubError, match=r"lab/tiny has no revision 'v7'; expected a branch, tag or commit"):
        elfzoo.load_pretrained("lab/tiny", revision="v7")


def test_shipped_releases_and_folders_have_no_revisions(release: Path) -> None:
    for name in ("grid_mlp.smooth-h-v3", release):
        with pytest.raises(HubError, match="has no revisions; got revision='main'"):
            elfzoo.load_pretrained(name, revision="main")


def test_the_cache_serves_while_the_hub_is_down(release: Path) -> None:
    with Hub(HUB_PORT) as hub:
        commit = hub.repo("lab/tiny").commit({path.name: path.read_bytes() for path in release.iterdir()})
        elfzoo.load_pretrained("lab/tiny")
        asked = len(hub.requests)
        elfzoo.load_pretrained("lab/tiny", revision=commit)
        assert len(hub.requests) == asked  # a commit that is there needs no question
    for revision in (None, commit):
        assert elfzoo.load_pretrained("lab/tiny", revision=revision).card.name == "grid_mlp.tiny-v0"
    with pytest.raises(HubError, match=r"lab/other is not in the local cache, and http://127\S+ could not be reached"):
        elfzoo.load_pretrained("lab/other")


def test_offline_mode(hub: Hub, published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    elfzoo.load_pretrained("lab/tiny")
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"
    with pytest.raises(HubError, match="lab/other is not in the local cache, and HF_HUB_OFFLINE forbids to fetch it"):
        elfzoo.load_pretrained("lab/other")
    assert len(hub.requests) == asked


def test_names_that_are_none(hub: Hub) -> None:
    for name in ("grid_mlp.smoth-h-v3", "a/b/c", "no such name", "/tmp/nowhere", "lab/"):
        with pytest.raises(UnknownNameError, match=r"no shipped release, folder or repository \(organisation/name\)"):
            elfzoo.load_pretrained(name)
    assert hub.requests == []


def test_no_such_repository(hub: Hub) -> None:
    with pytest.raises(HubError, match=r"no model lab/tinny that you may see .*HTTP 404.*check the name"):
        elfzoo.load_pretrained("lab/tinny")


def test_a_private_repository(hub: Hub, published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo("lab/tiny").private = True
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match=r"HTTP 401.*log in with `hf auth login` or set HF_TOKEN"):
        elfzoo.load_pretrained("lab/tiny")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"


def test_a_repository_with_pickles_alone(hub: Hub, release: Path) -> None:
    hub.repo("lab/pickles").commit({"pytorch_model.bin": b"\x80\x04N."})
    with pytest.raises(WeightsError, match=r"lab/pickles has no config.json; it has pytorch_model.bin, which"):
        elfzoo.load_pretrained("lab/pickles")
    hub.repo("lab/pickles").commit({"config.json": (release / "config.json").read_bytes()})
    with pytest.raises(WeightsError, match=r"has no model.safetensors; it has pytorch_model.bin"):
        elfzoo.load_pretrained("lab/pickles")
    assert downloads(hub, ".bin") == 0


def test_a_repository_of_something_else(hub: Hub, release: Path) -> None:
    hub.repo("lab/poems").commit({"poem.txt": b"..."})
    with pytest.raises(HubError, match=r"lab/poems is no release of elfzoo: it has no config.json, only .*poem.txt"):
        elfzoo.load_pretrained("lab/poems")
    config = json.loads((release / "config.json").read_text()) | {"architecture": "grid_mpl", "elfzoo": "9.0"}
    hub.repo("lab/newer").commit({"config.json": json.dumps(config).encode(), "model.safetensors": b"large"})
    with pytest.raises(ConfigError, match=r"lab/newer was written by elfzoo 9.0, and no arch.*did you mean grid_"):
        elfzoo.load_pretrained("lab/newer")
    assert downloads(hub, "model.safetensors") == 0  # what cannot be loaded is not fetched


def test_a_body_that_breaks_off_is_fetched_again(hub: Hub, published: str, cache: Path) -> None:
    hub.faults = [Fault("GET", "model.safetensors", times=1)]
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"
    assert hub.faults[0].times == 0


def test_a_body_that_always_breaks_off_leaves_nothing_behind(hub: Hub, published: str, cache: Path) -> None:
    hub.faults = [Fault("GET", "model.safetensors")]
    with pytest.raises(HubError, match=r"lab/tiny"):
        elfzoo.load_pretrained("lab/tiny")
    assert not list(cache.rglob("model.safetensors"))
    hub.faults = []
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"


def test_weights_with_another_hash_are_not_kept(hub: Hub, release: Path, published: str, cache: Path) -> None:
    good = (release / "model.safetensors").read_bytes()
    bad = good[:-4] + b"\x00\x01\x02\x03"
    commit = hub.repo("lab/tiny").commit({"model.safetensors": bad})
    with pytest.raises(WeightsError, match=r"model.safetensors of lab/tiny at \w+ is not what its configuration says"):
        elfzoo.load_pretrained("lab/tiny")
    assert downloads(hub, "model.safetensors") == 2
    assert not [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == bad]
    hub.repo("lab/tiny").commits[commit]["model.safetensors"] = good
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"


def test_a_cache_that_rotted_is_mended(hub: Hub, release: Path, published: str, cache: Path) -> None:
    elfzoo.load_pretrained("lab/tiny")
    (weights,) = cache.rglob("model.safetensors")
    weights.resolve().write_bytes(b"rotten")
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"
    assert weights.read_bytes() == (release / "model.safetensors").read_bytes()


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_stumbles_is_asked_again(hub: Hub, published: str, status: int) -> None:
    hub.faults = [Fault("HEAD", "config.json", status, times=2), Fault("GET", "model.safetensors", status, times=2)]
    assert elfzoo.load_pretrained("lab/tiny").card.name == "grid_mlp.tiny-v0"
    assert [fault.times for fault in hub.faults] == [0, 0]


def test_a_server_that_lies_down(hub: Hub, published: str) -> None:
    hub.faults = [Fault("GET", "model.safetensors", 500)]
    with pytest.raises(HubError, match=r"answered HTTP 500 for the model lab/tiny.*try again later"):
        elfzoo.load_pretrained("lab/tiny")


def test_a_full_disk(hub: Hub, published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(HubError, match=r"cannot keep the model lab/tiny .*No space left on device; free some space"):
        elfzoo.load_pretrained("lab/tiny")


def test_weights_of_a_shipped_card(hub: Hub, release: Path, published: str, tmp_path: Path, monkeypatch) -> None:
    """A release too large for the wheel ships its card; the weights come from the commit that the card names."""
    folder = tmp_path / "cards" / "grid_mlp.tiny-v0"
    folder.mkdir(parents=True)
    config = json.loads((release / "config.json").read_text()) | {"hub": {"repo": "lab/tiny", "revision": published}}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("elfzoo.hub.load.shipped_releases", lambda: {"grid_mlp.tiny-v0": folder})
    hub.repo("lab/tiny").commit({"model.safetensors": b"of a later commit"})
    assert elfzoo.load_pretrained("grid_mlp.tiny-v0").card.hub.revision == published
    config["hub"]["revision"] = "main"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="pinned by its commit, 40 hexadecimal digits"):
        read_card(folder)


def test_two_processes_at_once(hub: Hub, release: Path, published: str) -> None:
    code = "import elfzoo; print(elfzoo.load_pretrained('lab/tiny').card.name)"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["grid_mlp.tiny-v0"] * 2
    np.testing.assert_array_equal(
        elfzoo.load_pretrained("lab/tiny").predict(H2, grid=(6, 6, 6)).values,
        elfzoo.load_pretrained(release).predict(H2, grid=(6, 6, 6)).values,
    )


def test_shipped_releases_need_no_network() -> None:
    for name in shipped_releases():
        assert elfzoo.load_pretrained(name).card.name == name


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (("H",), "probe_graph.h-v2"),
        (("H", "La"), "probe_graph.multi-v5"),
        (("Al",), "probe_graph.multi-v5"),
        (("H", "U"), "probe_graph.multi-v5"),  # nobody has learned from uranium; the prediction warns
        ((), "probe_graph.h-v2"),
    ],
)
def test_the_release_to_begin_with(elements: tuple[str, ...], expected: str) -> None:
    assert elfzoo.recommend(elements) == expected
    assert set(elements) - {"U"} <= set(read_card(shipped_releases()[expected]).elements)


@pytest.mark.parametrize("wrong", ["LaH10", ["Xx"], ["h"]])
def test_what_is_no_element_is_refused(wrong: object) -> None:
    with pytest.raises(ElfzooError, match="expected symbols of elements"):
        elfzoo.recommend(wrong)  # type: ignore[arg-type]


def test_one_symbol_is_an_element() -> None:
    assert elfzoo.recommend("La") == "probe_graph.multi-v5"


def test_the_command_line_takes_these() -> None:
    assert (DEFAULT_MODEL, DEFAULT_OF_ALL) == RECOMMENDED
