"""Stage `prepare`: from data.source to data/prepared/."""

from __future__ import annotations

import sys
from functools import partial

from tracker.loading import run_to_its_end
from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Prepares the table of params.yaml and prints what will be done with each column."""
    run_stage("prepare", sys.argv[1:])


if __name__ == "__main__":
    run_to_its_end(partial(run_command, main))
