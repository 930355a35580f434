"""Stage `compare`: from study reports to reports/ranking.json, and by one look at the test split to reports/final.json."""

from __future__ import annotations

import sys

from pipelines import run
from tracker.paths import project_paths


def main() -> None:
    """Ranks, scores the chosen trial (or repeats the last result where looks are spent), and prints the outcome."""
    from tracker import api
    from tracker.evaluation.final import summarize
    from tracker.terminal.leaderboard import environment_notes
    from tracker.terminal.show import say_delivered

    config = api.load_config(project_paths().params)
    ranking = api.compare(config)
    final = ranking.test(or_stale=True)
    notes = environment_notes(ranking.environments, ranking.mixed)
    sys.stdout.writelines(f"{line}\n" for line in [*summarize(final), *notes])
    say_delivered(api.sync(config, everything=False))


if __name__ == "__main__":
    run(main)
