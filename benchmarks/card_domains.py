"""What the training structures of shipped releases are like, written into their cards (``config.json``).

    python benchmarks/card_domains.py [NAME ...]

A training run writes it by itself; this is for releases from before there was so much to say. Of a teacher's fields,
which are not in the repository, it takes what the card of a release says that learned from them and from hydrogen
alone, by the hashes of the data. Where what a card says of all structures would change, it says so and leaves it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

from elfzoo.card import Card, Domain, read_card, shipped_releases
from elfzoo.config import parse, to_dict
from elfzoo.io.files import write_bytes
from elfzoo.training import TrainConfig
from elfzoo.training.domain import training_domain


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="releases; by default all that ship")
    for name in parser.parse_args(arguments).names or sorted(shipped_releases()):
        print(f"{name}: {updated(name)}", flush=True)


def updated(name: str) -> str:
    """Write the domain of a release; what was done, in words."""
    folder = shipped_releases()[name]
    card = read_card(folder)
    if card.domain is None or "config" not in card.training:
        return "says nothing of its training structures"
    config = parse(TrainConfig, card.training["config"], where=name)
    found = domain_of_all(card, config)
    if found is None:
        return "learned from files that are not in the repository"
    if replace(found, groups={}) != replace(card.domain, groups={}):
        return f"left as it is: the card says {card.domain}; the data now are {found}"
    if found == card.domain:
        return "as it was"
    path = folder / "config.json"
    stored: dict[str, Any] = json.loads(path.read_text())
    stored["domain"] = to_dict(found)
    write_bytes(path, [(json.dumps(stored, indent=2) + "\n").encode()])
    return f"{', '.join(found.groups)} apart"


def domain_of_all(card: Card, config: TrainConfig) -> Domain | None:
    """Of all structures that a release learned from; None where some of them are nowhere."""
    if not any(part.files for part in config.train):
        return training_domain(config.train)
    hashes = card.training["data_sha256"]
    for other in map(read_card, shipped_releases().values()):
        if other.name == card.name or other.elements != ("H",) or other.domain is None:
            continue
        own = {f"{part['dataset']}/{part['split']}" for part in other.training["config"]["train"]}
        theirs = other.training["data_sha256"]
        left = [part for part in config.train if f"{part.dataset}/{part.split}" not in own]
        if all(hashes.get(key) == theirs[key] for key in own) and left and not any(part.files for part in left):
            return together(other.domain, training_domain(left))
    return None


def together(hydrogen: Domain, others: Domain) -> Domain:
    """Of structures of hydrogen alone, and of others."""
    assert others.groups and "hydrogen" not in others.groups
    both: dict[Any, tuple[float, float]] = {}
    for name in ("volume_per_atom", "nearest_distance", "pressure"):
        ranges = [found for part in (hydrogen, others) if (found := getattr(part, name)) is not None]
        both[name] = (min(low for low, _ in ranges), max(high for _, high in ranges))
    own: Any = {name: getattr(hydrogen, name) for name in ("volume_per_atom", "nearest_distance")}
    groups = {"hydrogen": own, **others.groups}
    return Domain(structures=hydrogen.structures + others.structures, groups=dict(sorted(groups.items())), **both)


if __name__ == "__main__":
    main()
