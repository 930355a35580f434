"""`python -m tracker.cli`: what the program `tracker` runs."""

from __future__ import annotations

from tracker.cli import main

if __name__ == "__main__":
    main()
