"""`python -m tracker.cli`, and the program `tracker`: a command in a process that does nothing else."""

from __future__ import annotations

from tracker.cli import main
from tracker.loading import run_to_its_end


def program() -> None:
    """Runs the command of this process and ends the process."""
    run_to_its_end(main)


if __name__ == "__main__":
    program()
