"""Checkpoints: one safetensors file with everything that a run needs to go on, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from elfzoo.errors import ElfzooError
from elfzoo.io.files import write_bytes

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(
    path: Path, weights: dict[str, dict[str, Tensor]], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write named sets of weights, the optimizer's moments and a JSON state."""
    tensors = {f"{kind}/{name}": value for kind, group in weights.items() for name, value in group.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in moments.items()}
    data = save({k: v.detach().clone().contiguous() for k, v in tensors.items()}, metadata={"state": json.dumps(state)})
    write_bytes(path, [data])


def load_checkpoint(
    path: Path, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote; the moments go straight into ``optimizer``.

    Raises:
        ElfzooError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ElfzooError(f"{path} is damaged ({error}); delete it to start afresh") from None
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, name = key.split("/", 1)
        groups.setdefault(kind, {})[name] = value
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in groups.pop("optimizer", {}).items():
        index, name = key.split("/")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    return groups, state


def clone_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's parameters and buffers."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
