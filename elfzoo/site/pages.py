"""The pages of the leaderboard, from records to HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elfzoo.field import Field
from elfzoo.site.boards import STRUCTURE, Board, board_table, groups_table, rows_of, structures_table
from elfzoo.site.card_text import card_html
from elfzoo.site.chosen import RULE, Chosen
from elfzoo.site.facts import Facts, entrant_facts, measurement_facts, structure_facts
from elfzoo.site.figures import figures, speed_figure
from elfzoo.site.learning import training_figures
from elfzoo.site.rendering import render
from elfzoo.site.tables import BOARD, Head, Table, is_floor, make_table, metric_columns, without
from elfzoo.site.text import slug
from elfzoo.site.topology import networking_lines, point_lines

__all__ = ["index_page", "model_page", "structure_page"]

Record = Mapping[str, Any]


def index_page(boards: Sequence[Board]) -> str:
    """The leaderboard: every task with its table and its chart."""
    tables = [board_table(board) for board in boards]
    records = [record for board in boards for record in board.records]
    return render(
        "index.html",
        root="",
        boards=boards,
        parts=[(board, table, speed_figure(board.records)) for board, table in zip(boards, tables, strict=True)],
        columns={column.title: column for table in tables for column in table.columns if column.about}.values(),
        models=len({record["model"] for record in records if not is_floor(record)}),
        dates=sorted({record["date"] for record in records if "date" in record}),
        rule=RULE,
    )


def model_page(boards: Sequence[Board], model: str, studies: Sequence[Record] = ()) -> str:
    """Everything that is known of one entrant; ``studies`` are learning curves, of which its own are shown."""
    own = [(board, record) for board in boards for record in board.records if record["model"] == model]
    records = [record for _, record in own]
    heads = [Head(board.task.title, f"#{board.name}", competes=False) for board, _ in own]
    metrics = metric_columns(records)
    speed = [column for column in without(BOARD, metrics) if column.better]
    return render(
        "model.html",
        root="../",
        boards=boards,
        model=model,
        floor=is_floor(records[0]),
        facts=entrant_facts(records[0]),
        table=make_table("task", [*metrics, *speed], heads, records),
        training=training_figures(model, studies),
        parts=[_part(board, record) for board, record in own],
        card=card_html(model),
    )


def structure_page(
    boards: Sequence[Board], board: Board, chosen: Chosen, field: Field | None, scene: Record | None, absent: Facts
) -> str:
    """One structure: its viewer, and what every entrant says of it.

    Args:
        boards: all of them, for the navigation.
        board: that of the task.
        chosen: the structure.
        field: its reference; None where it is not there.
        scene: what the viewer draws; None without a reference.
        absent: whose field is not shown, and why.
    """
    rows = rows_of(board, chosen.file)
    topologies = {model: row["topology"] for model, row in rows.items() if "topology" in row}
    return render(
        "structure.html",
        root="../../",
        boards=boards,
        board=board,
        chosen=chosen,
        rule=RULE,
        facts=structure_facts(rows[chosen.model], field, board.task.group_by),
        scene=scene,
        absent=absent,
        table=_structure_table(board, rows),
        networking=networking_lines(topologies) if topologies else None,
        points={model: point_lines(found) for model, found in topologies.items()},
    )


def _part(board: Board, record: Record) -> dict[str, Any]:
    """One task on the page of an entrant."""
    return {
        "board": board,
        "groups": groups_table(board, record) if record.get("groups") else None,
        "figures": figures(record),
        "structures": structures_table(board, record, "../") if record.get("structures") else None,
        "metrics": [(name, f"{value:g}") for name, value in record["metrics"].items()],
        "measured": measurement_facts(record),
    }


def _structure_table(board: Board, rows: Mapping[str, Record]) -> Table:
    floors = {record["model"] for record in board.records if is_floor(record)}
    heads = [
        Head(model, f"../../models/{slug(model)}.html", ("floor",) * (model in floors), model not in floors)
        for model in rows
    ]
    columns = [column for column in STRUCTURE if any(column.read(row) is not None for row in rows.values())]
    return make_table("model", columns, heads, list(rows.values()))
