"""Stage `compare`: from study reports to reports/ranking.json, and by one look at the test split to reports/final.json."""

from __future__ import annotations

import sys
from functools import partial

from tracker.loading import run_to_its_end
from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Ranks, scores the chosen trial (or repeats the last result where looks are spent), and prints the outcome."""
    run_stage("compare", sys.argv[1:])


if __name__ == "__main__":
    run_to_its_end(partial(run_command, main))
