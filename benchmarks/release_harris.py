"""Write the release ``harris.h-v1``, which has no weights to train: its configuration is all there is.

python benchmarks/release_harris.py
"""

from __future__ import annotations

from pathlib import Path

import elfzoo
from elfzoo.hub.release import save_release

FOLDER = Path(__file__).parents[1] / "model_cards" / "harris.h-v1"


def main() -> None:
    card = save_release(elfzoo.create_model("harris"), FOLDER, "harris.h-v1", elements=("H",))
    print(f"wrote {FOLDER.name}: {card.weights_sha256[:12]}…")


if __name__ == "__main__":
    main()
