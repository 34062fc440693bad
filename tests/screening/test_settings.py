"""Settings that a folder keeps, those of earlier versions too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elfzoo.config import parse
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.screening import ScreenSettings
from elfzoo.screening.settings import keep_settings, read_settings


def test_a_folder_from_before_members_goes_on(tmp_path: Path) -> None:
    settings = ScreenSettings("grid_mlp.tiny-v0", "ab" * 32)
    keep_settings(settings, tmp_path)
    path = tmp_path / "settings.json"
    earlier = json.loads(path.read_text())
    del earlier["members"]
    path.write_text(json.dumps(earlier))
    keep_settings(settings, tmp_path)
    assert read_settings(tmp_path)["members"] == 0
    with pytest.raises(ElfzooError, match="members 0, now 4"):
        keep_settings(ScreenSettings("grid_mlp.tiny-v0", "ab" * 32, members=4), tmp_path)


@pytest.mark.parametrize("members", [1, -2])
def test_one_member_is_no_spread(members: int) -> None:
    with pytest.raises(ConfigError, match="two members or more"):
        parse(ScreenSettings, {"model": "grid_mlp.tiny-v0", "weights_sha256": "ab" * 32, "members": members})


def test_of_two_runs_that_begin_at_once_the_first_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find no settings; whoever comes second is told that the folder is another run's."""
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    keep_settings(ScreenSettings("grid_mlp.tiny-v0", "ab" * 32), tmp_path)
    with pytest.raises(ElfzooError, match="other settings"):
        keep_settings(ScreenSettings("grid_mlp.tiny-v0", "ab" * 32, spacing=0.2), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]
