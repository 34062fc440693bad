"""DFT programs behind one interface."""

from elfzoo.reference.engines.base import (
    Engine,
    EngineError,
    Label,
    Relaxation,
    RelaxSettings,
    Settings,
    k_mesh,
    label_grid,
)

__all__ = ["Engine", "EngineError", "Label", "RelaxSettings", "Relaxation", "Settings", "k_mesh", "label_grid"]
