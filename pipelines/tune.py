"""Stage `tune`: from the splits to a tuned study, its report and its best model: `python -m pipelines.tune NAME`."""

from __future__ import annotations

import sys
from functools import partial

from tracker.loading import run_to_its_end
from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Runs, resumes or replays the study named on the command line."""
    run_stage("tune", sys.argv[1:])


if __name__ == "__main__":
    run_to_its_end(partial(run_command, main))
