"""``elfzoo models``: what can be trained, and what is trained already."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from elfzoo.card import Card

__all__ = ["card", "models", "print_table"]


def models(
    long: Annotated[bool, typer.Option("--long", help="Also size, training data and validation error.")] = False,
) -> None:
    """List architectures and the trained models that ship.

    \b
    Examples:
      elfzoo models
      elfzoo models --long

    A trained model is called architecture.data-vN; its name, or a folder of your own, goes to elfzoo predict -m.
    """
    from elfzoo import list_models
    from elfzoo.card import read_card, shipped_releases

    print_table("Architectures", ("name", "what it does"), [(name, _purpose(name)) for name in list_models()])
    cards = [read_card(folder) for folder in shipped_releases().values()]
    if not cards:
        typer.echo("Trained models: none ships with this copy of elfzoo; train one with elfzoo train")
    elif long:
        for card in cards:
            print_table(card.name, ("", ""), _facts(card).items())
    else:
        rows = [(card.name, ", ".join(card.elements) or "any", _recipe(card)) for card in cards]
        print_table("Trained models", ("name", "elements", "recipe of the training labels"), rows)


def card(
    name: Annotated[str, typer.Argument(metavar="NAME|FOLDER|ORG/NAME", help="A trained model.")],
    revision: Annotated[str | None, typer.Option(metavar="REV", help="Commit, tag or branch on the Hub.")] = None,
) -> None:
    """Show the card of a trained model: what it is for, what it was trained on, its results and limits.

    \b
    Examples:
      elfzoo card grid_mlp.smooth-h-v4
      elfzoo card my-lab/probe_graph.mine-v1
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from elfzoo.card import read_card, read_text
    from elfzoo.hub.load import locate

    folder = locate(name, revision, whole=True)[0]
    print_table((found := read_card(folder)).name, ("", ""), _facts(found).items())
    if text := read_text(folder):
        Console(width=None if sys.stdout.isatty() else 160).print(Markdown(text))


def print_table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table as wide as the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        table.add_column(column, no_wrap=column in ("", "name") and column == columns[0])
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _purpose(name: str) -> str:
    """First sentence of an architecture's docstring."""
    from elfzoo import create_model

    return (type(create_model(name)).__doc__ or "").strip().split("\n\n")[0]


def _facts(card: Card) -> dict[str, str]:
    from elfzoo import create_model
    from elfzoo.quantity import QUANTITIES

    model = create_model(card.architecture, card.config)
    size = sum(parameter.numel() for parameter in model.parameters())
    return {
        "architecture": f"{card.architecture}, {size:,} parameters",
        "elements": ", ".join(card.elements) or "any",
        "domain": str(card.domain or "not stated"),
        "predicts": QUANTITIES[card.target.given].label,
        "recipe of the labels": _recipe(card),
        "trained on": "; ".join(map(_data, _config(card).get("train", []))) or "not stated",
        "validation MAE": _validation(card),
        "license": card.license,
    }


def _recipe(card: Card) -> str:
    return ", ".join(part for part in (card.engine, card.functional, card.pseudopotential) if part) or "not stated"


def _config(card: Card) -> dict[str, Any]:
    return card.training.get("config", {})


def _data(part: dict[str, Any]) -> str:
    count = "all" if part.get("structures") is None else str(part["structures"])
    return (
        f"{part['dataset']}/{part['split']}, {count} structures, {part['points']:,} {part['sampling']} points of each"
    )


def _validation(card: Card) -> str:
    """Mean over structures of the MAE over their sampled points: all voxels alike where the sample is uniform."""
    kinds = {f"{part['dataset']}/{part['split']}": part["sampling"] for part in _config(card).get("validate", [])}
    labels = {"uniform": "all voxels, sampled", "stratified": "ELF-stratified"}
    found = card.training.get("validation_mae", {})
    return "; ".join(f"{v:.4f} {name} ({labels[kinds[name]]})" if name in kinds else f"{v:.4f} {name}"
                     for name, v in found.items()) or "not stated"  # fmt: skip
