"""Stage `split`: from data/prepared/ to data/splits/ and the sealed test split."""

from __future__ import annotations

import sys

from pipelines import run
from tracker.config import load_config
from tracker.datasets.split import split
from tracker.paths import project_paths


def main() -> None:
    """Splits the prepared table and prints rows per split and class."""
    paths = project_paths()
    config = load_config(paths.params)
    report = split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts)
    sys.stdout.writelines(f"{line}\n" for line in report.lines())


if __name__ == "__main__":
    run(main)
