"""Prints a ranking: its best rows, how sure the choice is, and beside it what was left out."""

from __future__ import annotations

from tracker.config import Config
from tracker.datasets.made_with import outdated, unrecorded
from tracker.evaluation.baselines_report import baseline_lines
from tracker.evaluation.ranking import Ranking
from tracker.evaluation.sureness import sureness
from tracker.paths import Paths
from tracker.studies.superseded import superseded_note
from tracker.terminal.leaderboard import environment_notes
from tracker.terminal.lists import Format, note, print_rows, say

COLUMNS = ("rank", "study", "trial", "value")
IN_TABLE = 10  # rows, where no limit is given


def say_ranking(ranking: Ranking, config: Config, paths: Paths, output: Format, limit: int | None) -> None:
    """What `tracker compare` says before any look; programs get the rows alone."""
    print_rows([{name: getattr(row, name) for name in COLUMNS} for row in ranking.rows], output, limit, IN_TABLE)
    say("\n".join(["", *choice_lines(ranking, config, paths)]) if output == Format.table else "")
    note(environment_notes(ranking.environments, ranking.mixed))
    if found := outdated(config, paths):
        note([f"{paths.splits}: {found}"])
    note([line for line in [unrecorded(paths)] if line])
    note(superseded_note(ranking.superseded, paths.root, "left out of the ranking"))


def choice_lines(ranking: Ranking, config: Config, paths: Paths) -> list[str]:
    """How sure the choice of a ranking is, and what simple models give."""
    sure = sureness(ranking, config)
    return [*sure.lines(), *baseline_lines(paths, sure)]
