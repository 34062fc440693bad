"""``python -m elfzoo`` is the command ``elfzoo``."""

from elfzoo.cli import main

if __name__ == "__main__":
    main()
