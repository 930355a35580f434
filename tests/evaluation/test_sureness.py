"""How sure a choice is: the sentences that `compare`, `runs`, `show` and the end of `make repro` share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.studies.project import SmallProject, make_config
from tracker.config import Compare
from tracker.evaluation.compare import compare
from tracker.evaluation.ranking import ranking_json
from tracker.evaluation.sureness import Defaults, Sureness, read_sureness
from tracker.reporting.words import confirmed
from tracker.terminal.leaderboard import describe_trial, notes_of, read_trial

F1 = {"metric": "val_f1", "direction": "maximize"}


def rows(*values: float, study: str = "tpe") -> list[dict[str, Any]]:
    """Rows of a ranking, the first with other params than the defaults."""
    return [
        {"rank": n + 1, "study": study, "trial": n, "key": str(n), "value": value, "params": {"units": n}}
        for n, value in enumerate(values)
    ]


def ranking(*values: float, interval: list[float] | None = None) -> dict[str, Any]:
    """The content of a ranking; with an interval, the trials inside it are its ties."""
    found = rows(*values)
    low, high = interval or (0.0, 0.0)
    inside = [{"study": "tpe", "trial": row["trial"]} for row in found[1:] if low <= row["value"] <= high]
    alike = None if interval is None else {"interval": interval, "trials": inside}
    return {"objective": F1, "rows": found, "indistinguishable": alike}


def test_lead_ties_and_defaults_are_said() -> None:
    """The lead over the second, how many are ties and inside what, where the defaults stand."""
    content = ranking(0.9756, 0.975, 0.93, 0.8, interval=[0.91, 0.99])
    sure = Sureness.of(content, Defaults({"units": 2}, ("tpe",)))
    assert [
        "how sure: tpe/0 has val_f1 0.9756, the best of 4; lead over the second, tpe/1: 0.0006",
        "          2 of the 3 others are ties: inside its 95 % interval, 0.9100 to 0.9900",
        "          the defaults, tpe/2: 0.9300, place 3, a tie",
    ] == sure.lines()
    assert "tpe/0 leads by 0.0006; 2 of 3 others are ties; the defaults, tpe/2: 0.9300, place 3, a tie" == sure.line()
    assert sure.line() == sure.about("tpe", 0)
    assert "3 of 4, a tie of the first, tpe/0" == sure.about("tpe", 2)
    assert "4 of 4, no tie of the first, tpe/0" == sure.about("tpe", 3)
    assert sure.about("tpe", 9) is None


def test_one_other_and_one_tie_are_told_as_one() -> None:
    """Of two trials, and of one tie among several."""
    told = {
        ties: Sureness.of(ranking(0.9, second, interval=[0.8, 0.95]), None) for ties, second in ((1, 0.85), (0, 0.7))
    }
    assert "the only other one is a tie: inside its 95 % interval, 0.8000 to 0.9500" == told[1].lines()[1].strip()
    assert "the only other one is no tie: outside of its 95 % interval, 0.8000 to 0.9500" == told[0].lines()[1].strip()
    assert "tpe/0 leads by 0.0500; the only other one is a tie" == told[1].line()
    several = Sureness.of(ranking(0.9, 0.85, 0.7, interval=[0.8, 0.95]), None)
    assert several.lines()[1].strip().startswith("1 of the 2 others is a tie: inside")


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    """Without an interval no tie is known; the defaults may be the first, or not among the trials; one trial leads none."""
    sure = Sureness.of(ranking(0.9, 0.9), Defaults({"units": 0}, ("tpe",)))
    assert "the second, tpe/1, has the same value" in sure.lines()[0]
    assert "ties are not known: val_f1 of tpe/0 has no interval here" == sure.lines()[1].strip()
    assert "tpe/0 has the defaults, unchanged" == sure.lines()[2].strip()
    assert Sureness.of(ranking(0.9), Defaults({"units": 7}, ("tpe",))).defaults is None
    alone = Sureness.of(ranking(0.9), None)
    assert ["how sure: tpe/0 has val_f1 0.9000, the best of 1"] == alone.lines()
    assert "tpe/0 is the only trial with a value" == alone.line()


def confirmation(probability: float, best: tuple[str, int]) -> dict[str, Any]:
    """Of the choice tpe/1 and the defaults manual/0."""
    choice, defaults = (
        {"study": study, "trial": trial, "mean": mean, "sd": 0.01}
        for study, trial, mean in (("tpe", 1, 0.93), ("manual", 0, 0.95))
    )
    contender = {"study": best[0], "trial": best[1], "found": 0.96, "mean": 0.96}
    measured = {"choice": choice, "defaults": defaults, "probability": probability}
    return {"seeds": 20, "contenders": [contender], "measured": measured, "served": {"seed": 3, "value": 0.93}}


RULED = {
    "rule": "simplest",
    "least": "parameters",
    "alike": 2,
    "row": {"study": "tpe", "trial": 1, "key": "1", "value": 0.96, "parameters": 10},
    "best": {"study": "manual", "trial": 0, "key": "0", "value": 0.97, "parameters": 20},
}


@pytest.mark.parametrize(
    ("preferred", "best", "why"),
    [
        (RULED, ("manual", 0), "compare.prefer: simplest took it; compare.prefer: best takes manual/0, the best mean"),
        (None, ("tpe", 1), "its lead was the luck of the seeds that chose it"),
    ],
)
def test_a_choice_that_is_worse_than_the_defaults_is_warned_of(
    preferred: dict[str, Any] | None, best: tuple[str, int], why: str
) -> None:
    """Where the choice is announced, on the page and below a table: in one line, with what to do; else there is none."""
    content = ranking(0.97, 0.96, interval=[0.9, 0.99]) | {"preferred": preferred}
    worse = f"tpe/1 is worse than the defaults, manual/0, with probability 80.0 %: {why}"
    told = confirmation(0.2, best)
    sure = Sureness.of(content | {"confirmation": told}, None)
    assert 1 == sure.lines().count(f"           warning: {worse}")
    assert sure.line().endswith(f"over 20 more seeds; {worse}")
    assert f"Warning: {worse}." == confirmed(told, preferred)[-1]
    fine = Sureness.of(content | {"confirmation": confirmation(0.5, best)}, None)
    assert not [line for line in [*fine.lines(), fine.line()] if "worse" in line]


def test_each_mean_says_of_which_seeds_it_is() -> None:
    """Those that choose, and those that chose nothing: the same trial has another mean with each."""
    lines = Sureness.of(ranking(0.97, 0.96) | {"confirmation": confirmation(0.9, ("manual", 0))}, None).lines()
    (chosen,) = [line for line in lines if line.startswith("confirmed: manual/0 has the best mean")]
    assert chosen.endswith("of 1 configuration over the 20 seeds that choose: 0.9600; as found 0.9600")
    measured = "tpe/1 0.9300 ± 0.0100, the defaults manual/0 0.9500 ± 0.0100 (mean ± sd)"
    assert f"           over 20 more seeds, that chose nothing: {measured}" in lines


def test_the_defaults_are_the_manual_trial_and_not_the_luckiest_of_equals() -> None:
    """Of several trials with the fixed hyperparameters the first of a manual study counts; other trainings do not."""
    config = make_config(studies__grid__training={"epochs": 2})
    defaults = Defaults.of(config)
    assert ("manual", "random", "tpe") == defaults.studies
    assert 8 == defaults.params["units"]
    own = [{"study": study, "trial": 3, "params": dict(defaults.params)} for study in ("grid", "random", "manual")]
    assert own[2] is defaults.find(own)
    assert own[1] is defaults.find(own[:2])
    assert defaults.find(own[:1]) is None


@pytest.fixture
def ranked(fresh: SmallProject) -> SmallProject:
    """A project with two studies and their ranking."""
    for name in ("manual", "random"):
        fresh.report(fresh.run(fresh.plan(name)))
    compare(fresh.paths, Compare(), clock=lambda: 0.0)
    return fresh


def test_the_same_words_stand_under_runs_and_show(ranked: SmallProject) -> None:
    """`runs` has one line below its table, `show` the place of its trial; both are those of the ranking."""
    content = json.loads((ranked.paths.reports / "ranking.json").read_bytes())
    sure = Sureness.of(content, Defaults.of(ranked.config))
    assert ("manual", 0) == (sure.defaults["study"], sure.defaults["trial"])
    assert [sure.line()] == notes_of(ranked.paths, None)
    shown = read_trial(ranked.paths, "manual/0")
    assert sure.about("manual", 0) == shown["place"]
    assert f"place     {shown['place']}" in describe_trial(shown)
    assert content == json.loads(json.dumps(ranking_json(compare(ranked.paths, Compare(), clock=lambda: 0.0))))


def test_an_older_ranking_says_nothing(ranked: SmallProject) -> None:
    """Where a report was written after the ranking, the ranking is not of these trials, and is left unsaid."""
    path = ranked.paths.study_reports / "random.json"
    report = json.loads(path.read_bytes())
    assert read_sureness(ranked.paths, [report]) is not None
    report["trials"][1]["value"] = 0.1
    assert read_sureness(ranked.paths, [report]) is None
    (ranked.paths.reports / "ranking.json").unlink()
    assert read_sureness(ranked.paths) is None
    assert [] == notes_of(ranked.paths, "random")
