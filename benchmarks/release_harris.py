"""Write the releases ``harris.h-v1`` and ``harris_pw.solids-v1``, which have no weights: a configuration is all.

python benchmarks/release_harris.py
"""

from __future__ import annotations

from pathlib import Path

import elfzoo
from elfzoo.hub.release import save_release

CARDS = Path(__file__).parents[1] / "model_cards"
ELEMENTS = {"harris.h-v1": ("H",), "harris_pw.solids-v1": ()}  # any that GPAW has


def main() -> None:
    for name, elements in ELEMENTS.items():
        card = save_release(elfzoo.create_model(name.partition(".")[0]), CARDS / name, name, elements=elements)
        print(f"wrote {name}: {card.weights_sha256[:12]}…")


if __name__ == "__main__":
    main()
