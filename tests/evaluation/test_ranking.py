"""The ranking: its order, who never ranks, and the bytes it leaves."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.evaluation.project import report, trial, write_study
from tracker.errors import InputError, NotFoundError, TrackerError
from tracker.evaluation.ranking import rank_trials, write_ranking


def places(ranking):
    return [(row.study, row.trial) for row in ranking.rows]


def test_ties_go_to_val_loss_then_study_then_number(tmp_path):
    """Equal values are ordered by lower val_loss, then the study's name, then the lower number; no loss comes last."""
    write_study(tmp_path, report("b", [trial(0, 0.9, loss=0.3), trial(1, 0.9, loss=0.2), trial(2, 0.9, loss=None)]))
    write_study(tmp_path, report("a", [trial(5, 0.9, loss=0.3), trial(3, 0.9, loss=0.3), trial(1, 0.95, loss=9.0)]))
    assert places(rank_trials(tmp_path)) == [("a", 1), ("b", 1), ("a", 3), ("a", 5), ("b", 0), ("b", 2)]


def test_minimize_turns_the_order(tmp_path):
    """With direction minimize the lowest value is chosen."""
    objective = {"metric": "val_loss", "direction": "minimize"}
    write_study(tmp_path, report("a", [trial(0, 0.4), trial(1, 0.2), trial(2, 0.3)], objective=objective))
    assert [row.trial for row in rank_trials(tmp_path).rows] == [1, 2, 0]


def test_failed_and_undefined_trials_never_rank(tmp_path):
    """Failed, pruned, NaN, infinite and undefined trials are counted, not ranked, however good their value looks."""
    bad = [trial(0, 1.0, state="failed"), trial(1, math.inf), trial(2, math.nan), trial(3, None)]
    write_study(tmp_path, report("a", [*bad, trial(4, 2.0, state="pruned"), trial(5, 0.1)]))
    ranking = rank_trials(tmp_path)
    assert places(ranking) == [("a", 5)]
    assert ranking.unranked == {"failed": 1, "pruned": 1, "undefined": 3}


def test_studies_with_other_objectives_are_named(tmp_path):
    """Values of different metrics or directions are never ranked together; the message lists each study's."""
    write_study(tmp_path, report("a", [trial(0, 0.5)]))
    other = {"metric": "val_accuracy", "direction": "maximize"}
    write_study(tmp_path, report("b", [trial(0, 0.5)], objective=other))
    with pytest.raises(InputError, match="a: maximize val_f1; b: maximize val_accuracy"):
        rank_trials(tmp_path)


def test_nothing_to_rank_is_an_error(tmp_path):
    """No report, and no complete trial, each say so."""
    with pytest.raises(NotFoundError, match="no report of a study"):
        rank_trials(tmp_path)
    write_study(tmp_path, report("a", [trial(0, 0.5, state="failed")]))
    with pytest.raises(NotFoundError, match="none of 1 trial can be chosen: no reason is recorded"):
        rank_trials(tmp_path)


OBJECTIVE = '"objective": {"metric": "val_f1", "direction": "maximize"}'
FOREIGN = ["", "[]", "{", "{}", '{"objective": 1}', "{%s}", '{%s, "trials": [1]}', '{%s, "trials": [{"number": 1}]}']


@pytest.mark.parametrize("content", FOREIGN)
def test_a_report_that_is_none_is_named(tmp_path, content):
    """A half or foreign file among the reports is an error that names it."""
    (tmp_path / "odd.json").write_text(content.replace("%s", OBJECTIVE))
    with pytest.raises(InputError, match=r"odd"):
        rank_trials(tmp_path)


def test_only_named_studies_count(tmp_path):
    """The report of a study that was taken out of params.yaml is ignored; one that is not there yet is listed."""
    write_study(tmp_path, report("a", [trial(0, 0.5)]))
    write_study(tmp_path, report("gone", [trial(0, 0.9)]))
    ranking = rank_trials(tmp_path, ["a", "later"])
    assert (places(ranking), ranking.missing) == ([("a", 0)], ("later",))


def test_the_table_has_a_line_per_trial(tmp_path):
    """Notebooks get a frame with the value, the validation metrics and every parameter in a column."""
    write_study(tmp_path, report("a", [trial(0, 0.5, params={"units": 8}), trial(1, 0.6, params={"units": 16})]))
    table = rank_trials(tmp_path).table
    assert table[["rank", "trial", "value", "params_units"]].values.tolist() == [[1, 1, 0.6, 16], [2, 0, 0.5, 8]]


def test_indistinguishable_trials_lie_inside_the_chosen_ones_interval(tmp_path):
    """Those whose score the validation rows cannot tell from the chosen one's are listed."""
    write_study(tmp_path, report("a", [trial(0, 0.95), trial(1, 0.93), trial(2, 0.80)]))
    ranking = dataclasses.replace(rank_trials(tmp_path), interval=(0.9, 0.99))
    assert [row.trial for row in ranking.indistinguishable] == [1]


def test_equal_reports_give_equal_bytes(tmp_path):
    """The ranking holds no times: written twice, it has the same bytes; an infinite loss survives."""
    write_study(tmp_path, report("a", [trial(0, 0.5, loss=math.inf), trial(1, 0.6)]))
    first, second = tmp_path / "out" / "1.json", tmp_path / "out" / "2.json"
    write_ranking(first, rank_trials(tmp_path))
    write_ranking(second, rank_trials(tmp_path))
    assert first.read_bytes() == second.read_bytes()
    assert b'"$float": "inf"' in first.read_bytes()


def test_a_ranking_made_by_hand_opens_nothing(tmp_path):
    """Only the ranking that compare() returns can take a look."""
    write_study(tmp_path, report("a", [trial(0, 0.5)]))
    with pytest.raises(TrackerError, match="not made by compare"):
        rank_trials(tmp_path).test()
