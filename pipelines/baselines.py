"""Stage `baselines`: from data/splits to reports/baselines.json, what simple models give on the validation rows."""

from __future__ import annotations

import sys
from functools import partial

from tracker.loading import run_to_its_end
from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Fits the baselines and prints what they give."""
    run_stage("baselines", sys.argv[1:])


if __name__ == "__main__":
    run_to_its_end(partial(run_command, main))
