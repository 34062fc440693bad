import json
import os

import numpy as np
import pytest
import torch

import elfzoo
from elfzoo.card import read_card
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError, WeightsError
from elfzoo.hub import save_release
from elfzoo.models import GridMLP


def test_names():
    assert "grid_mlp" in elfzoo.list_models()
    assert isinstance(elfzoo.create_model("grid_mlp"), GridMLP)
    with pytest.raises(UnknownNameError, match="did you mean grid_mlp"):
        elfzoo.create_model("gridmlp")
    with pytest.raises(KeyError, match="shipped release, folder or repository"):
        elfzoo.load_pretrained("grid_mlp.nothing-v9")
    with pytest.raises(ConfigError, match="did you mean 'hidden'"):
        elfzoo.create_model("grid_mlp", {"hiddn": [3]})


def test_two_architectures_cannot_share_a_name():
    with pytest.raises(ValueError, match="two architectures"):
        elfzoo.register("grid_mlp")(type("Other", (GridMLP,), {}))


def test_release_folder_loads(release, skewed_hydride):
    model = elfzoo.load_pretrained(release)
    assert model.card.name == "grid_mlp.tiny-v0"
    assert model.config.hidden == (4,)
    assert not model.training
    with pytest.warns(UserWarning, match="trained on H only; its field around Ca"):
        field = model.predict(skewed_hydride, grid=(3, 3, 3))
    assert field.meta["weights_sha256"] == model.card.weights_sha256


def test_double_precision(release, skewed_hydride):
    points = np.random.default_rng(0).random((20, 3))
    with pytest.warns(UserWarning, match="extrapolation"):
        double, single = (
            elfzoo.load_pretrained(release, dtype=t).predict(skewed_hydride, points=points)
            for t in (torch.float64, torch.float32)
        )
    np.testing.assert_allclose(double, single, atol=1e-5)


def test_truncated_weights(release):
    path = release / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="truncated or changed"):
        elfzoo.load_pretrained(release)


def test_weights_of_another_configuration(release):
    config = json.loads((release / "config.json").read_text())
    config["config"]["hidden"] = [5]
    (release / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"does not fit grid_mlp.*size mismatch"):
        elfzoo.load_pretrained(release)


def test_pickles_are_refused_by_name(release):
    (release / "model.safetensors").unlink()
    (release / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin, which elfzoo never opens"):
        elfzoo.load_pretrained(release)


def test_damaged_or_foreign_config(release):
    (release / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        read_card(release)
    (release / "config.json").write_text('{"nam": "x"}')
    with pytest.raises(ConfigError, match="did you mean 'name'"):
        read_card(release)
    (release / "config.json").unlink()
    with pytest.raises(WeightsError, match="is no release"):
        elfzoo.load_pretrained(release)


@pytest.mark.parametrize("step", range(3))
def test_whatever_fails_the_old_release_stays(release, monkeypatch, step):
    """Each file of the new one in turn."""
    (release / "log.csv").write_text("epoch\n")
    before, replace, calls = {p.name: p.read_bytes() for p in release.iterdir()}, os.replace, []

    def fails(*args):
        calls.append(args)
        if len(calls) > step:
            raise KeyboardInterrupt
        return replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fails)
        with pytest.raises(KeyboardInterrupt):
            save_release(elfzoo.create_model("grid_mlp"), release, "grid_mlp.other-v0", readme="new")
    assert {p.name: p.read_bytes() for p in release.iterdir()} == before
    assert [p.name for p in release.parent.iterdir() if p.name.startswith(f".{release.name}")] == []
    save_release(elfzoo.create_model("grid_mlp"), release, "grid_mlp.other-v0")
    assert sorted(p.name for p in release.iterdir()) == ["config.json", "log.csv", "model.safetensors"]  # no old text


def test_it_is_single_precision_whatever_the_default(release):
    torch.set_default_dtype(torch.float64)
    try:
        assert {p.dtype for p in elfzoo.load_pretrained(release).parameters()} == {torch.float32}
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in elfzoo.load_pretrained(release, dtype=torch.float64).parameters()} == {torch.float64}
    with pytest.raises(ConfigError, match=r"single or double precision; got dtype=torch\.bfloat16"):
        elfzoo.load_pretrained(release, dtype=torch.bfloat16)


def test_a_full_disk_leaves_the_old_release(release, monkeypatch):
    before = (release / "config.json").read_text()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ElfzooError, match="No space"):
        save_release(elfzoo.create_model("grid_mlp"), release, "grid_mlp.other-v0")
    assert (release / "config.json").read_text() == before
    assert sorted(p.name for p in release.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert elfzoo.load_pretrained(release).card.name == "grid_mlp.tiny-v0"
