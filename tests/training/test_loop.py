"""Training on two small crystals of a data folder made for the test: the loop's promises, not its accuracy."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

import elfzoo
from elfzoo.config import parse
from elfzoo.datasets import FluidHydrogen, Hydrides
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.training import DataConfig, TrainConfig, train
from elfzoo.training import loop as loop_module
from elfzoo.training.points import FeatureStore, PointSet, choose, draw_points, plan_batches, shared_files

MODEL = {"hidden": [12], "descriptor": {"n_radial": 4, "smooth": True}}


def config(**changes):
    parts = [{"dataset": changes.pop("dataset", "fluid-h"), "split": s, "points": 600} for s in ("train", "val")]
    values = {
        "name": "grid_mlp.toy-v0",
        "architecture": "grid_mlp",
        "model": MODEL,
        "train": parts[:1],
        "validate": parts[1:],
        "epochs": 6,
        "batch_size": 128,
        "learning_rate": 1e-2,
    }
    return parse(TrainConfig, values | changes)


def weights(folder):
    return elfzoo.load_pretrained(folder).state_dict()


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


def log(folder):
    with open(folder / "log.csv") as handle:
        return list(csv.DictReader(handle))


def test_learns_and_writes_a_release(data, tmp_path):
    folder = train(config(epochs=40), tmp_path / "runs", root=data)
    rows = log(folder.parent)
    assert len(rows) == 40
    assert float(rows[-1]["mae fluid-h/val"]) < 0.3 * float(rows[0]["mae fluid-h/val"])
    card = elfzoo.load_pretrained(folder).card
    assert card.elements == ("H",)
    assert card.training["epochs_run"] == 40
    assert set(card.training["data_sha256"]) == {"fluid-h/train", "fluid-h/val"}
    sample = FluidHydrogen(root=data, split="val")[0]
    predicted = elfzoo.load_pretrained(folder).predict(sample.structure, grid=sample.field.grid)
    assert np.abs(predicted.values - sample.field.values).mean() < 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "cosine", "select_best": True},
        {"model": MODEL | {"dropout": 0.2, "degree_dropout": [0.0, 0.0, 0.5]}},
    ],
)
def test_resuming_gives_the_same_weights_as_never_stopping(data, tmp_path, changes, monkeypatch):
    whole = train(config(**changes), tmp_path / "whole", root=data)
    one_epoch, done = loop_module._Run.one_epoch, []

    def interrupted(self):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(one_epoch(self))

    monkeypatch.setattr(loop_module._Run, "one_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config(**changes), tmp_path / "parts", root=data)
    monkeypatch.setattr(loop_module._Run, "one_epoch", one_epoch)
    parts = train(config(**changes), tmp_path / "parts", root=data)
    assert len(log(parts.parent)) == 6
    assert same_weights(whole, parts)


def test_senseless_numbers_are_refused_at_once():
    part = {"dataset": "fluid-h", "split": "train"}
    with pytest.raises(ConfigError, match="points are drawn from each structure; got points=0"):
        config(train=[part | {"points": 0}])
    for wrong in ({"seed": -1}, {"patience": 0}, {"weight_decay": -1.0}):
        with pytest.raises(ConfigError, match="0 or more, patience 1 or more"):
            config(**wrong)
    for name in ("../g", ".hidden", "a/b", ""):
        with pytest.raises(ConfigError, match="a name has letters"):
            config(name=name)
    with pytest.raises(ConfigError, match=r"a name of its own; got fluid-h/val more than once"):
        config(validate=[{"dataset": "fluid-h", "split": "val", "match": match} for match in ("a", "b")])


def test_same_seed_same_weights_other_seed_others(data, tmp_path):
    runs = [train(config(seed=s), tmp_path / str(i), root=data) for i, s in enumerate((1, 1, 2))]
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


def test_a_checkpoint_of_another_configuration_is_refused(data, tmp_path):
    train(config(), tmp_path, root=data)
    with pytest.raises(ElfzooError, match="belongs to another configuration"):
        train(config(epochs=7), tmp_path, root=data)
    train(config(epochs=2), tmp_path, root=data, resume=False)
    assert len(log(tmp_path / "grid_mlp.toy-v0")) == 2


def test_a_checkpoint_of_other_data_is_refused(data, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    for number in range(2):
        FluidHydrogen(root=data, split="train")[number].field.write(files / f"{number}.npz")
    changes = {"train": [{"dataset": "own", "split": "train", "points": 20, "files": [str(files)]}]}
    train(config(**changes), tmp_path, root=data)
    train(config(**changes), tmp_path, root=data)  # the same: nothing to do
    FluidHydrogen(root=data, split="val")[0].field.write(files / "1.npz")
    with pytest.raises(ElfzooError, match="learned from other data: own/train changed; start afresh"):
        train(config(**changes), tmp_path, root=data)


def test_what_is_trained_on_and_validates_is_known(data, tmp_path):
    """Whether named itself or by its folder; a pattern may tell the files of one folder apart."""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(2):
        FluidHydrogen(root=data, split="train")[number].field.write(files / f"{number}.npz")
    part = {"dataset": "own", "points": 20}
    learned = {"train": [part | {"split": "train", "files": [str(files)], "match": "^0"}]}
    apart = config(**learned, validate=[part | {"split": "val", "files": [str(files)], "match": "^1"}])
    assert shared_files(apart) == []
    shared = config(**learned, validate=[part | {"split": "val", "files": [str(files / "0.npz")]}])
    assert shared_files(shared) == [(files / "0.npz").resolve()]


def test_copies_and_data_sets_that_are_trained_on_do_not_validate(data, tmp_path):
    """Under other names, too, and in Python as on the command line; where there are no others one has to say so."""
    mine, copies = tmp_path / "mine", tmp_path / "copies"
    mine.mkdir()
    FluidHydrogen(root=data, split="train")[0].field.write(mine / "0.npz")
    shutil.copytree(mine, copies)
    (copies / "0.npz").rename(copies / "other.npz")
    learned = [{"dataset": "mine", "split": "train", "points": 20, "files": [str(mine)]}]
    copied = [{"dataset": "copies", "split": "val", "points": 20, "files": [str(copies)]}]
    with pytest.raises(ConfigError, match=r"toy-v0 is to validate on what it trains on: .*other\.npz \(1 files in all"):
        train(config(train=learned, validate=copied), tmp_path / "runs", root=data)
    part = {"dataset": "fluid-h", "split": "train", "points": 20}
    with pytest.raises(ConfigError, match=r"trains on: fluid-h/fluid_0GPa_train_f0001\.npz \(2 files"):
        train(config(train=[part], validate=[part]), tmp_path / "runs", root=data)
    apart = config(train=[part | {"match": "_0GPa"}], validate=[part | {"match": "_1GPa"}])
    assert shared_files(apart) == []
    folder = train(config(train=learned, validate=copied, validate_on_train=True, epochs=1), tmp_path / "runs")
    assert elfzoo.load_pretrained(folder).card.training["config"]["validate_on_train"]


def test_files_of_one_s_own_may_lie_in_the_home_folder(data, tmp_path, monkeypatch):
    (tmp_path / "fields").mkdir()
    FluidHydrogen(root=data, split="train")[0].field.write(tmp_path / "fields" / "a.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    part = DataConfig("mine", "train", files=("~/fields",))
    assert choose(part)[1].raw_file_names == [str((tmp_path / "fields" / "a.npz").resolve())]


def test_a_checkpoint_from_before_there_were_targets_goes_on(data, tmp_path):
    """What a stored configuration does not say has its default."""
    stored = loop_module.to_dict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "to_dict", lambda c: {k: v for k, v in stored(c).items() if k != "target"})
        folder = train(config(), tmp_path, root=data)
    assert "target" not in json.loads((folder / "config.json").read_text())["training"]["config"]
    before = weights(folder)
    again = train(config(), tmp_path, root=data)
    assert all(torch.equal(before[key], value) for key, value in weights(again).items())
    with pytest.raises(ElfzooError, match="another configuration"):
        train(config(epochs=7), tmp_path, root=data)


def test_a_damaged_checkpoint_says_what_to_do(data, tmp_path):
    train(config(), tmp_path, root=data)
    path = tmp_path / "grid_mlp.toy-v0" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ElfzooError, match="delete it to start afresh"):
        train(config(), tmp_path, root=data)


def test_best_epoch_and_patience(data, tmp_path, monkeypatch):
    scores = iter([0.5, 0.2, 0.3, 0.4, 0.1])
    monkeypatch.setattr(loop_module._Run, "_validate", lambda self: {"mae fluid-h/val": next(scores)})
    folder = train(config(epochs=5, patience=2, select_best=True), tmp_path, root=data)
    card = json.loads((folder / "config.json").read_text())
    assert card["training"]["epochs_run"] == 4
    assert card["training"]["validation_mae"] == {"fluid-h/val": 0.2}


def test_half_precision_features_cost_little(data, tmp_path):
    errors = []
    for precision in ("float32", "float16"):
        folder = train(config(epochs=20, feature_precision=precision), tmp_path / precision, root=data)
        errors.append(float(log(folder.parent)[-1]["score"]))
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


def test_mixed_precision_costs_little(data, tmp_path, monkeypatch):
    """PyTorch's autocast on the processor, which stands for that of CUDA: refused to users, for it gains nothing."""
    with pytest.raises(ConfigError, match="precision: bfloat16 is for CUDA devices"):
        train(config(precision="bfloat16"), tmp_path / "refused", root=data)
    monkeypatch.setattr(loop_module, "_device", lambda name, config: torch.device("cpu"))
    folders = [train(config(epochs=20, precision=p), tmp_path / p, root=data) for p in ("float32", "bfloat16")]
    full, mixed = (float(log(folder.parent)[-1]["score"]) for folder in folders)
    assert mixed == pytest.approx(full, rel=0.1) and mixed != full
    assert all(tensor.dtype == torch.float32 for tensor in weights(folders[1]).values())


def test_embedding_of_a_second_element_is_trained(data, tmp_path):
    """Nothing may be stored then: the encoder learns."""
    folder = train(config(dataset="hydrides", epochs=8), tmp_path, root=data)
    model = elfzoo.load_pretrained(folder)
    assert model.card.elements == ("Ca", "H")
    assert model.embedding.residual[19].abs().max() > 1e-3
    rows = log(folder.parent)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert len(Hydrides(root=data, split="train")) == 2


@pytest.mark.parametrize(("structures", "batches"), [(None, 9), (1, 10), (2, 10), (3, 10), (8, 10)])
def test_every_point_is_in_one_batch_of_few_structures(structures, batches):
    cell = Structure(np.eye(3), ["H"], [[0, 0, 0]])
    sets = [PointSet(cell, np.zeros((n, 3)), np.arange(n) + 1000.0 * i, None) for i, n in enumerate((300, 100, 523))]
    plan = plan_batches(sets, 100, torch.Generator().manual_seed(1), structures)
    assert len(plan) == batches == len(plan_batches(sets, 100, torch.Generator().manual_seed(2), structures))
    assert max(len(batch) for batch in plan) <= (structures or 3)
    assert max(sum(len(chosen) for _, chosen in batch) for batch in plan) <= 105
    seen = np.concatenate([s.y[chosen] for batch in plan for s, chosen in batch])
    np.testing.assert_array_equal(np.sort(seen), np.concatenate([s.y for s in sets]))
    if structures:
        assert all(len(chosen) <= 100 // structures for batch in plan for _, chosen in batch)


def test_a_learned_encoder_trains_on_few_structures_at_a_time(data, tmp_path):
    folder = train(config(dataset="hydrides", epochs=4, structures_per_batch=1), tmp_path, root=data)
    rows = log(folder.parent)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    with pytest.raises(ConfigError, match="at least one structure; got 0"):
        config(structures_per_batch=0)


def test_features_stored_are_those_of_the_model(data):
    sets, _ = draw_points(config().train[0], seed=0, root=data)
    torch.manual_seed(0)
    model = elfzoo.create_model("grid_mlp", MODEL)
    store = FeatureStore.build(model, sets, "float32", progress=False)
    assert store.features.shape == (1200, 30)
    predicted = model.predict(
        sets[1].structure, points=sets[1].points @ np.linalg.inv(sets[1].structure.lattice.matrix)
    )
    with torch.no_grad():
        np.testing.assert_allclose(torch.sigmoid(model.head(store.features[600:])), predicted, atol=1e-5)


def test_a_run_that_diverges_keeps_its_last_checkpoint(data, tmp_path, monkeypatch):
    train(config(epochs=2), tmp_path / "a", root=data)
    monkeypatch.setattr(loop_module._Run, "_step", lambda self, batch: float("nan"))
    with pytest.raises(ElfzooError, match=r"loss became nan in epoch 1; lower learning_rate"):
        train(config(), tmp_path / "b", root=data)
    assert not (tmp_path / "b" / "grid_mlp.toy-v0" / "log.csv").exists()


@pytest.mark.parametrize("changes", [{"validate": []}, {"epochs": 0}, {"learning_rate": -1.0}])
def test_senseless_runs_are_refused(changes):
    with pytest.raises(ConfigError, match=r"needs data|must be positive"):
        config(**changes)


def test_unknown_dataset_and_empty_split(data, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean fluid-h"):
        train(config(dataset="fluid_h"), tmp_path, root=data)
    empty = config().train[0].__class__("hydrides", "train", 10, structures=0)
    with pytest.raises(ElfzooError, match="expected at least one structure"):
        draw_points(empty, 0, data)


def test_structures_by_their_names_are_as_if_there_were_no_others(tmp_path):
    """A release trained on a split that has grown since is repeated to the point."""
    whole = Hydrides(split="train")
    name = whole.raw_file_names[-1].split("_")[0]
    chosen = [file for file in whole.raw_file_names if file.startswith(f"{name}_")]
    assert 1 < len(chosen) < len(whole)
    part = DataConfig("hydrides", "train", points=10, match=f"^{name}_")
    sets, digest = draw_points(part, 0)
    assert digest == whole.subset(whole.raw_file_names.index(file) for file in chosen).data_hash
    alone = draw_points(DataConfig("mine", "train", 10, files=tuple(str(whole.raw_dir / file) for file in chosen)), 0)
    for a, b in zip(sets, alone[0], strict=True):  # nor do the points depend on the others
        np.testing.assert_array_equal(a.points, b.points)
    assert choose(replace(part, structures=1))[1].raw_file_names == chosen[:1]
    (tmp_path / "some" / "below").mkdir(parents=True)
    for file, place in zip(chosen, ("some", "some/below"), strict=False):
        shutil.copy(whole.raw_dir / file, tmp_path / place)
    folders = DataConfig("mine", "train", 10, files=(str(tmp_path / "some"),))
    pair = DataConfig(
        "mine", "train", 10, files=tuple(str(path) for path in sorted((tmp_path / "some").rglob("*.npz")))
    )
    assert draw_points(folders, 0)[1] == draw_points(pair, 0)[1] and choose(folders)[0] == [0, 1]
    by_folder = replace(part, files=tuple(str(whole.raw_dir / file) for file in chosen), match="hydrides")
    with pytest.raises(ElfzooError, match="no file name has 'hydrides' in it"):
        choose(by_folder)  # names of folders are not looked at


def test_names_that_match_nothing_and_no_expression():
    with pytest.raises(ElfzooError, match="no file name has 'ghost' in it; the first of"):
        choose(DataConfig("hydrides", "train", match="ghost"))
    with pytest.raises(ConfigError, match="match is a regular expression; got '\\('"):
        parse(DataConfig, {"dataset": "hydrides", "split": "train", "match": "("})
