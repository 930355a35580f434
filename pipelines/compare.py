"""Stage `compare`: from study reports to reports/ranking.json, and by one look at the test split to reports/final.json."""

from __future__ import annotations

import os
import sys
import time

from pipelines import run
from tracker.config import load_config
from tracker.evaluation.compare import compare
from tracker.evaluation.final import summarize
from tracker.paths import project_paths


def main() -> None:
    """Ranks, scores the chosen trial (or repeats the last result where looks are spent), and prints the outcome."""
    paths = project_paths()
    config = load_config(paths.params)
    ranking = compare(paths, config.compare, clock=time.time, user=os.environ.get("USER"), studies=config.studies)
    final = ranking.test(or_stale=True)
    sys.stdout.writelines(f"{line}\n" for line in summarize(final))


if __name__ == "__main__":
    run(main)
