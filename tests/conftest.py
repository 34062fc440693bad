"""Array shapes and types of every public function are checked while the tests run."""

# ruff: noqa: E402  (the type-checking hook must be installed before the package is imported)

import os
import signal
import socket

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started this in the background
os.environ.setdefault("MPLBACKEND", "Agg")

# huggingface_hub reads its endpoint when it is imported: no test can reach the real Hub; see tests/hub
with socket.socket() as _free:
    _free.bind(("127.0.0.1", 0))
    HUB_PORT = _free.getsockname()[1]
os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{HUB_PORT}", "HF_HUB_DISABLE_XET": "1"}
os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  (the hook looks it up by name)

install_import_hook("elfzoo", "tests.typecheck.checker")

import numpy as np
import pytest
import torch
from hypothesis import settings
from pymatgen.core import Lattice, Structure

settings.register_profile("elfzoo", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("elfzoo")
torch.set_num_threads(2)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The figures that would have been written."""
    import elfzoo.isosurface as pictures
    from elfzoo import plot

    figures: list = []

    def keep(figure, path):
        figures.append(figure)
        return path

    for module in (plot, pictures):
        monkeypatch.setattr(module, "save_figure", keep)
    return figures


@pytest.fixture
def skewed_hydride() -> Structure:
    """Triclinic, two species, cell much smaller than the cutoff."""
    lattice = [[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]]
    return Structure(lattice, ["H", "Ca", "H"], [[0.05, 0.1, 0.2], [0.55, 0.35, 0.8], [0.9, 0.7, 0.45]])


@pytest.fixture
def diamond() -> Structure:
    """Non-symmorphic: screw axes and glide planes with translations of a quarter."""
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])
