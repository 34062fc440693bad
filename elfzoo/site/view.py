"""One page, alone in its file, with the isosurface of a field, or of two that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elfzoo.analysis import Comparison
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.site.facts import Facts, structure_facts
from elfzoo.site.rendering import render
from elfzoo.site.scene import Canvas, Shown
from elfzoo.site.text import number
from elfzoo.site.topology import Lines, networking_lines, point_lines, single_lines

__all__ = ["view_page"]

ROWS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R² (identity)",
    "r2_correlated": "R² (correlated)",
    "max_error": "largest |error|",
    "bias": "bias",
}


def view_page(
    field: Field,
    other: Field | None = None,
    comparison: Comparison | None = None,
    networking: Mapping[str, Any] | None = None,
    isovalue: float | None = None,
    names: tuple[str, str] = ("reference", "prediction"),
) -> str:
    """HTML with everything in it that it needs.

    Args:
        field: what is shown; with ``other`` it counts as the reference.
        other: a field of the same structure and quantity, shown beside it with the residual, other - field.
        comparison: of both, for its table.
        networking: values of ``field`` (:meth:`elfzoo.analysis.networking.Networking.to_dict`), where they are known.
        isovalue: at the start; by default the networking value where it is known.
        names: of both fields, for their captions.

    Raises:
        ElfzooError: an isovalue outside of the values of the field.
    """
    fields = [field] if other is None else [field, other]
    canvas = Canvas.of(*fields)
    if isovalue is not None and not canvas.span[0] <= isovalue <= canvas.span[1]:
        raise ElfzooError(f"an isovalue of {isovalue:g}; expected one from {canvas.span[0]:g} to {canvas.span[1]:g}")
    shown = [Shown(key, name) for key, name in zip(("reference", "prediction"), names, strict=True)][: len(fields)]
    topology = None if comparison is None or comparison.topology is None else comparison.topology.to_dict()
    values = topology["reference"] if topology else networking
    level = None if comparison is None else 2 * comparison.all_voxels.rmse
    return render(
        "view.html",
        title=" and ".join(names[: len(fields)]),
        facts=_facts(field),
        scene=canvas.scene(shown, None if values is None else values["phi_3d"], level, isovalue),
        packed={one.key: canvas.packed(part) for one, part in zip(shown, fields, strict=True)},
        labels={"reference": names[0], "prediction": names[1], "residual": "Residual"},
        errors=None if comparison is None else _errors(comparison),
        printed=[] if comparison is None else comparison.table(),
        networking=_networking(topology, values, names[1]),
        points=None if topology is None else point_lines(topology),
    )


def _facts(field: Field) -> Facts:
    row = {
        "formula": field.structure.composition.formula,
        "atoms": len(field.structure),
        "grid": list(field.grid.shape),
    }
    return structure_facts(row, field)


def _errors(comparison: Comparison) -> Lines:
    """All voxels alike, and where they are given, all intervals of the reference's values alike."""
    parts = {"all voxels": comparison.all_voxels, "ELF-stratified": comparison.elf_stratified}
    known = {name: part for name, part in parts.items() if part is not None}
    rows = [(title, *(number(getattr(part, key), 5) for part in known.values())) for key, title in ROWS.items()]
    return [("error", *known), *rows]


def _networking(topology: Mapping[str, Any] | None, values: Mapping[str, Any] | None, name: str) -> Lines | None:
    if topology is not None:
        return networking_lines({name: topology})
    return None if values is None else single_lines(values)
