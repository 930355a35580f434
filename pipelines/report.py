"""Stage `report`: from reports and records to one page with pictures, reports/index.html, and reports/index.md."""

from __future__ import annotations

import sys
from functools import partial

from tracker.loading import run_to_its_end
from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Writes both pages and prints where they are."""
    run_stage("report", sys.argv[1:])


if __name__ == "__main__":
    run_to_its_end(partial(run_command, main))
