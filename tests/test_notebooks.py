"""The notebooks of the documentation run, and their stored outputs are those that they give now.

``ELFZOO_NOTEBOOKS=1`` stores the outputs anew.
"""

from __future__ import annotations

import base64
import io
import os
import re
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from elfzoo.analysis import percolation

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
MISSING = [name for name in ("nbformat", "nbclient", "ipykernel") if util.find_spec(name) is None]
NUMBER = r"-?\d+(?:\.\d+)?"
WIDTH, COLOURS, LARGEST = 640, 64, 60_000  # pixels and colours of a stored picture, bytes of it

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"needs pip install {' '.join(MISSING)}"),
    pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built"),
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_is_stored(path: Path, tmp_path: Path) -> None:
    import nbformat

    stored = nbformat.read(path, as_version=4)
    done = run(nbformat.read(path, as_version=4), tmp_path)
    if os.environ.get("ELFZOO_NOTEBOOKS"):
        keep_small(done)
        nbformat.write(done, path)
        return
    for kept, now in zip(stored.cells, done.cells, strict=True):
        require_same(text_of(kept), text_of(now))
        assert [len(picture) <= LARGEST for picture in pictures_of(kept)] == [True] * len(pictures_of(now))


def run(notebook: Any, folder: Path) -> Any:
    """Executed in a folder of its own, in a process of its own."""
    from nbclient import NotebookClient

    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=300, startup_timeout=300, record_timing=False, coalesce_streams=True, resources=place
    )
    return client.execute()


def text_of(cell: Any) -> str:
    """What a cell printed; warnings of other packages are on standard error."""
    return "".join(output.get("text", "") for output in cell.get("outputs", []) if output.get("name") == "stdout")


def pictures_of(cell: Any) -> list[bytes]:
    found = [output.data.get("image/png") for output in cell.get("outputs", []) if "data" in output]
    return [base64.b64decode(picture) for picture in found if picture is not None]


def require_same(kept: str, now: str) -> None:
    """The same words; numbers may differ in the last digit shown, or by a hundredth of themselves."""
    assert re.split(NUMBER, kept) == re.split(NUMBER, now)
    for old, new in zip(re.findall(NUMBER, kept), re.findall(NUMBER, now), strict=True):
        last = 10.0 ** -len(old.partition(".")[2])
        assert float(new) == pytest.approx(float(old), rel=0.01, abs=1.01 * last)


def keep_small(notebook: Any) -> None:
    """Leave out what changes from run to run, and make the pictures small."""
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        kept = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        for output in kept:
            if "image/png" in output.get("data", {}):
                output.data = {"image/png": shrunk(output.data["image/png"]), "text/plain": "picture"}
        if "outputs" in cell:
            cell.outputs = kept


def shrunk(picture: str) -> str:
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
