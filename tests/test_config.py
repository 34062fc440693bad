import pytest

from elfzoo.config import parse, read_yaml, to_dict
from elfzoo.errors import ConfigError
from elfzoo.models import GridMLPConfig
from elfzoo.training import TrainConfig

MINIMAL = {
    "name": "x",
    "architecture": "grid_mlp",
    "train": [{"dataset": "fluid-h", "split": "train"}],
    "validate": [{"dataset": "fluid-h", "split": "val"}],
}


def test_round_trip():
    config = parse(GridMLPConfig, {"descriptor": {"l_max": 3, "smooth": True}, "hidden": [7, 9], "clamp": 4})
    assert config.hidden == (7, 9)
    assert config.descriptor.l_max == 3
    assert parse(GridMLPConfig, to_dict(config)) == config


def test_frozen():
    with pytest.raises(AttributeError):
        GridMLPConfig().clamp = 2.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hiden": [1]}, "did you mean 'hidden'"),
        ({"descriptor": {"lmax": 3}}, "did you mean 'l_max'"),
        ({"hidden": "many"}, "hidden.*got 'many'"),
        ({"clamp": float("nan")}, "clamp"),
        ({"clamp": True}, r"clamp: expected a number or text \(got True\)"),
        ({"hidden": [8, True]}, r"hidden\.1: expected"),
        ({"descriptor": {"l_max": False}}, r"descriptor\.l_max: expected"),
    ],
)
def test_errors_name_the_key_and_the_nearest_one(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(GridMLPConfig, values)


def test_training_on_the_test_split_is_refused():
    with pytest.raises(ConfigError, match="split"):
        parse(TrainConfig, MINIMAL | {"train": [{"dataset": "fluid-h", "split": "test"}]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1", "expected a mapping"),
        ("clamp: 3\nhidden: [4]\nclamp: 4\n", "(?s)the key 'clamp' twice.*line 3"),
        ("descriptor:\n  l_max: 3\n  l_max: 4\n", "the key 'l_max' twice"),
    ],
)
def test_broken_files(text, message, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(GridMLPConfig, path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration"):
        read_yaml(GridMLPConfig, tmp_path / "c.yaml")


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration file .*: Is a directory"):
        read_yaml(GridMLPConfig, tmp_path)
