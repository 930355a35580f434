"""Stage `report`: from reports and records to one page with pictures, reports/index.html, and reports/index.md."""

from __future__ import annotations

import sys

from tracker.project.stage import run_stage
from tracker.terminal.endings import run_command


def main() -> None:
    """Writes both pages and prints where they are."""
    run_stage("report", sys.argv[1:])


if __name__ == "__main__":
    run_command(main)
