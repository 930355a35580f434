"""DVC stage: from the splits to a tuned study, its report and its best model: `python -m pipelines.tune NAME`."""

from __future__ import annotations

import sys

from pipelines import run
from tracker.errors import InputError
from tracker.paths import project_paths


def main() -> None:
    """Runs, resumes or replays the study named on the command line."""
    from tracker import api
    from tracker.terminal.show import say_delivered, study_progress, study_summary

    if len(sys.argv) != 2:
        raise InputError(f"expected one study, python -m pipelines.tune NAME, found {' '.join(sys.argv[1:]) or 'none'}")
    config = api.load_config(project_paths().params)
    with study_progress() as on_progress:
        study = api.tune(config, sys.argv[1], on_progress=on_progress, on_delivery=say_delivered)
    sys.stdout.write(study_summary(study) + "\n")


if __name__ == "__main__":
    run(main)
