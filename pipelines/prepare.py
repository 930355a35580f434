"""Stage `prepare`: from data.source to data/prepared/."""

from __future__ import annotations

import sys

from pipelines import run
from tracker.config import load_config
from tracker.datasets.prepare import prepare
from tracker.paths import project_paths


def main() -> None:
    """Prepares the table of params.yaml and prints what will be done with each column."""
    paths = project_paths()
    config = load_config(paths.params)
    report = prepare(config.data, config.preprocessing, paths.root, paths.prepared)
    sys.stdout.writelines(f"{line}\n" for line in report.lines())


if __name__ == "__main__":
    run(main)
