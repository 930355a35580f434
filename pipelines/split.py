"""Stage `split`: from data/prepared/ to data/splits/ and the sealed test split."""

from __future__ import annotations

import sys
from functools import partial

from tracker.loading import run_to_its_end
from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Splits the prepared table and prints rows per split and class."""
    run_stage("split", sys.argv[1:])


if __name__ == "__main__":
    run_to_its_end(partial(run_command, main))
