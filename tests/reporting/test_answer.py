"""What the page says first of the choice, and of how far its probability holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.golden_project import unpack
from tracker.config import load_config
from tracker.paths import Paths
from tracker.reporting.facts import collect
from tracker.reporting.words import confirmed, headline


def test_that_the_defaults_were_chosen_is_said_first(tmp_path: Path) -> None:
    """In the first sentence, with what it means; a choice that was tuned has no such words."""
    paths = Paths.of(unpack(tmp_path), {})
    facts = collect(paths, load_config(paths.params))
    default = facts.defaults
    assert default is not None
    other = next(row for row in facts.ranked if row.name != default.name)
    said = "It has the defaults, unchanged: tuning found no better configuration."
    for row, is_said in ((default, True), (other, False)):
        chosen = {"study": row.study, "trial": row.number}
        first = headline(replace(facts, ranking={**facts.ranking, "chosen": chosen}))[0]
        assert first.endswith(said) is is_said


def test_a_probability_over_seeds_says_where_other_rows_are_asked() -> None:
    """Seeds say nothing of other rows: the sentence names the command that does."""
    choice = {"study": "tpe", "trial": 2, "mean": 0.9, "sd": 0.01}
    defaults = {"study": "manual", "trial": 0, "mean": 0.8, "sd": 0.01}
    told = {
        "seeds": 20,
        "contenders": [choice],
        "served": {"value": 0.9, "seed": 3},
        "measured": {"choice": choice, "defaults": defaults, "probability": 0.999},
    }
    [line] = [line for line in confirmed(told) if "probability" in line]
    assert line.endswith("over seeds, on the same rows. What other rows may say: `tracker compare tpe/2 manual/0`.")
