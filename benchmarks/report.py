"""Bytes and seconds of the report of a study of 1,000 trials: python -m benchmarks.report [--trials N] [--keep FOLDER]

A table of 500 rows, short trainings over nine hyperparameters, ranked and scored as in any project. Seconds are of the
processor, so that a busy machine gives the same; `--keep` leaves the page, to be looked at.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.studies.project import SmallProject, make_table
from tracker.evaluation.compare import compare
from tracker.reporting.page import write_page

PARAMS = """
seed: 7
data: {{source: table.csv, target: kind, id: who}}
training: {{epochs: 6, early_stopping: {{monitor: val_loss, patience: 3}}}}
hyperparameters: {{hidden_layers: 1, units: 8, learning_rate: 1e-2, batch_size: 32}}
search_space:
  hidden_layers: {{low: 0, high: 3}}
  units: [8, 12, 16]
  activation: [relu, tanh, sigmoid]
  optimizer: [sgd, adamw]
  momentum: {{low: 0.0, high: 0.95}}
  dropout: {{low: 0.0, high: 0.5}}
  learning_rate: {{low: 1e-3, high: 1e-1, log: true}}
  weight_decay: {{low: 1e-6, high: 1e-2, log: true}}
  batch_size: [16, 32, 64]
studies:
  manual: {{sampler: manual, configurations: [{{}}]}}
  random: {{sampler: random, trials: {trials}}}
tracking: {{experiment: report}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (asked.keep or Path(scratch)) / "project"
        project = SmallProject.made(root, make_table(500), PARAMS.format(trials=asked.trials))
        for name in project.config.studies:
            project.report(project.run(project.plan(name)))
        compare(project.paths, project.config.compare, clock=lambda: 0.0, studies=project.config.studies).test(
            anyway=True
        )
        wall, cpu = time.monotonic(), time.process_time()
        pages = write_page(project.paths, project.config)
        spent = f"{time.process_time() - cpu:.1f} s of the processor, {time.monotonic() - wall:.1f} s in all"
        sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.2f} MB" for path in pages)
        print(f"report of {asked.trials + 1} trials: {sizes}; {spent}")


if __name__ == "__main__":
    main()
