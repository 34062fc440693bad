"""Cards on the Hub have no link that leads nowhere there."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

import elfzoo
from elfzoo.card import read_card, shipped_releases
from elfzoo.hub.links import without_dead_links
from elfzoo.hub.push import model_card, push_dataset
from tests.hub.server import Hub

FILES = {"README.md", "config.json", "model.safetensors", "LICENSE", "log.csv"}  # of every release on the Hub
DATA = Path(elfzoo.__file__).parents[1] / "benchmarks" / "data"


def relative(markdown: str) -> set[str]:
    """Targets of links and pictures that are no addresses, as a Markdown reader finds them."""
    spans = [child for token in MarkdownIt("commonmark").parse(markdown) for child in token.children or ()]
    targets = [str(span.attrGet("href") or span.attrGet("src") or "#") for span in spans]
    return {target for target in targets if not target.startswith(("https://", "http://", "mailto:", "#"))}


@pytest.mark.parametrize(
    ("written", "on_the_hub"),
    [
        ("see [fluid-h](../../benchmarks/data/fluid-h/README.md).", "see `fluid-h`."),
        ("([a-h](../a/README.md),\n[b-h](../b/README.md))", "(`a-h`,\n`b-h`)"),
        ("the [data\ncard](../x.md 'its title')", "the data\ncard"),
        ("![temperature, energy](../../figures/t.png)", "temperature, energy"),
        ("[`config`](../config.yaml) of it", "`config` of it"),
        ("[log](log.csv), [top](./README.md#results)", "[log](log.csv), [top](./README.md#results)"),
        ("[paper](https://doi.org/10.1/x), [below](#limits)", "[paper](https://doi.org/10.1/x), [below](#limits)"),
        ("`[a](../b)` and ``[a](../b)``", "`[a](../b)` and ``[a](../b)``"),
        ("```python\nx[0](../b)\n```\n[a](../b)", "```python\nx[0](../b)\n```\n`a`"),
        ("a stray ` tick\n\n[a](../b) and `code`", "a stray ` tick\n\n`a` and `code`"),
        ("an array[0] (of it), a call[i](j)", "an array[0] (of it), a call`i`"),
    ],
)
def test_what_becomes_of_links(written: str, on_the_hub: str) -> None:
    assert without_dead_links(written, FILES) == on_the_hub
    assert without_dead_links(on_the_hub, FILES) == on_the_hub


@pytest.mark.parametrize("name", shipped_releases())
def test_shipped_cards_lead_somewhere(name: str) -> None:
    """In the checkout to files that are there, on the Hub to what lies beside the card."""
    folder = shipped_releases()[name]
    text = (folder / "README.md").read_text()
    found = relative(text)
    assert all((folder / target.partition("#")[0]).resolve().is_file() for target in found)
    pushed = model_card(read_card(folder), text, [], FILES)
    assert relative(ModelCard(pushed).text) == found & FILES


def test_a_pushed_card_leads_somewhere(hub: Hub, release: Path) -> None:
    text = "# Tiny\n\n[fluid-h](../../benchmarks/data/fluid-h/README.md), [the weights](model.safetensors)\n"
    (release / "README.md").write_text(text)
    done = elfzoo.push_to_hub(release, "lab/tiny")
    card = ModelCard(hub.repo("lab/tiny").commits[done.commit]["README.md"].decode())
    assert card.text.strip() == "# Tiny\n\n`fluid-h`, [the weights](model.safetensors)"
    assert (release / "README.md").read_text() == text


def test_a_pushed_data_set_leads_somewhere(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "fluid-h"
    folder.mkdir()
    text = (DATA / "fluid-h" / "README.md").read_text()
    (folder / "README.md").write_text(text)
    first = min((DATA / "fluid-h").glob("*.npz"))
    (folder / first.name).write_bytes(first.read_bytes())
    done = push_dataset(folder, "lab/fluid-h")
    pushed = hub.repo("lab/fluid-h", "dataset").commits[done.commit]["README.md"].decode()
    assert relative(text) and not relative(ModelCard(pushed).text)
