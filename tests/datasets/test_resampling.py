"""Folds: every row is scored once, classes are dealt out evenly, what belongs together stays together, time runs forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tracker.canonical import digest
from tracker.datasets.resampling import choose_rows, deal_folds, held_out, pick_frames
from tracker.errors import DataError

FOLDS = 5


def table(rows: int = 200, seed: int = 3) -> pd.DataFrame:
    """Ids, two numbers and a label; a third of the rows is `b`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)).round(6)
    label = np.where(np.arange(rows) % 3 == 0, "b", "a")
    return pd.DataFrame({"who": [f"w{row}" for row in range(rows)], "x": x[:, 0], "z": x[:, 1], "kind": label})


def schema(*extra: tuple[str, str, str]) -> dict[str, Any]:
    """What a split writes of the table; `extra` columns are (name, role, kind)."""
    columns = [("who", "id", "text"), ("x", "feature", "numeric"), ("z", "feature", "numeric"), *extra]
    return {
        "target": "kind",
        "labels": ["a", "b"],
        "columns": [{"name": name, "role": role, "kind": kind} for name, role, kind in columns],
    }


def entry(fold: int, folds: int = FOLDS, repeat: int = 1) -> dict[str, int]:
    """What the data of a run says."""
    return {"fold": fold, "folds": folds, "repeat": repeat, "rule": 1}


def test_every_row_is_scored_once_and_classes_are_dealt_out_evenly() -> None:
    """The folds divide the rows; a fold has each class to within one row, and is left out of its own training rows."""
    frame = table()
    scored = []
    for fold in range(1, FOLDS + 1):
        chosen = choose_rows(frame, schema(), entry(fold))
        assert list(range(200)) == sorted([*chosen.train.tolist(), *chosen.scored.tolist()])
        scored += chosen.scored.tolist()
        counts = frame["kind"].iloc[chosen.scored].value_counts()
        assert abs(counts["a"] - 133 / FOLDS) < 1
        assert abs(counts["b"] - 67 / FOLDS) < 1
    assert list(range(200)) == sorted(scored)


def test_folds_follow_from_what_a_row_is_not_from_where_it_stands() -> None:
    """Shuffled rows keep their folds; another repeat deals them anew; the rule is pinned, because keys name it."""
    frame = table()
    folds = deal_folds(frame, schema(), FOLDS)
    order = np.random.default_rng(0).permutation(len(frame))
    assert folds[order].tolist() == deal_folds(frame.iloc[order], schema(), FOLDS).tolist()
    again = deal_folds(frame, schema(), FOLDS, 2)
    assert 0.7 < (folds != again).mean() < 0.9  # 4 of 5 rows
    assert "d9bcdc8b" == digest("folds", folds.tolist())[:8]


def test_few_rows_change_their_fold_when_the_table_grows() -> None:
    """A tenth more rows: at most one in twelve of those that were there moves; dealt anew, four in five would."""
    frame = table(550)
    before, after = deal_folds(frame.iloc[:500], schema(), FOLDS), deal_folds(frame, schema(), FOLDS)[:500]
    assert (before != after).mean() < 1 / 12


def test_rows_that_belong_together_share_a_fold() -> None:
    """Rows of one id, and rows of equal features under other ids; with groups these alone."""
    frame = pd.concat(
        [table(120), table(60), table(60).assign(who=[f"v{row}" for row in range(60)])], ignore_index=True
    )
    folds = pd.Series(deal_folds(frame, schema(), FOLDS))
    assert 1 == folds.groupby(frame["who"]).nunique().max()
    assert 1 == folds.groupby([frame["x"], frame["z"]]).nunique().max()
    grouped = table(300).assign(ward=[f"g{row % 37}" for row in range(300)])
    folds = pd.Series(deal_folds(grouped, schema(("ward", "group", "text")), FOLDS))
    assert 1 == folds.groupby(grouped["ward"]).nunique().max()
    assert set(range(1, FOLDS + 1)) == set(folds)
    assert folds.value_counts().max() - folds.value_counts().min() <= 2 * 9  # a group has 8 or 9 rows


def test_what_is_scored_comes_after_what_is_trained() -> None:
    """With a column of dates each fold is a block of time; the rows before it train, but for those that equal one of its."""
    frame = table(120)
    days = pd.Series(pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d"))
    frame["day"] = np.random.default_rng(1).permutation(np.tile(days, 2))
    frame.loc[frame["day"].idxmax(), ["x", "z"]] = frame.loc[frame["day"].idxmin(), ["x", "z"]].to_numpy()
    blocks = []
    for fold in range(1, 5):
        train, scored = pick_frames([frame.iloc[:70], frame.iloc[70:]], schema(("day", "time", "text")), entry(fold, 4))
        assert train["day"].max() < scored["day"].min()
        assert not set(zip(train["x"], train["z"], strict=True)) & set(zip(scored["x"], scored["z"], strict=True))
        blocks.append((len(train), len(scored)))
    assert [(24, 24), (48, 24), (72, 24), (95, 24)] == blocks


def test_what_cannot_be_dealt_is_refused() -> None:
    """A class with fewer rows than folds, and a rule of another release, each in words with what to do."""
    frame = table(40)
    frame.loc[frame["kind"] == "b", "kind"] = "a"
    frame.loc[:2, "kind"] = "b"
    faults = []
    for fold in range(1, FOLDS + 1):
        try:
            choose_rows(frame, schema(), entry(fold))
        except DataError as error:
            faults += error.faults
    assert len(faults) == FOLDS - 3
    assert all("no row of class 'b' among those that are scored; take fewer folds" in fault for fault in faults)
    with pytest.raises(DataError, match="does not know; upgrade repro-tracker"):
        choose_rows(frame, schema(), {**entry(1), "rule": 2})


def test_rows_divided_anew_keep_shares_and_belong_together() -> None:
    """A quarter of each class is scored, rows of one id together; another number divides otherwise; the rule is pinned."""
    frame = pd.concat([table(200), table(40)], ignore_index=True)
    first, second = (choose_rows(frame, schema(), {"reshuffle": number, "rule": 1}, 0.25) for number in (7, 8))
    counts = frame["kind"].iloc[first.scored].value_counts()
    assert np.allclose([160 / 4, 80 / 4], [counts["a"], counts["b"]], atol=2)
    assert not {*frame["who"].iloc[first.scored]} & {*frame["who"].iloc[first.train]}
    assert 0.1 < np.isin(first.scored, second.scored).mean() < 0.5
    assert "51a4052d" == digest("folds", first.scored.tolist())[:8]
    with pytest.raises(DataError, match="in time"):
        choose_rows(table(80).assign(day="2024-01-01"), schema(("day", "time", "text")), {"reshuffle": 7, "rule": 1})


def test_an_outer_fold_takes_no_part() -> None:
    """Outer folds divide the rows; inside each, folds and reshuffled rows are those of the table without it."""
    frame, seen = table(), []
    for outer in (1, 2, 3):
        rows = {"outer": outer, "outers": 3, "rule": 1}
        out = held_out([frame.iloc[:150], frame.iloc[150:]], schema(), rows)
        seen += [*out["who"]]
        rest = frame[~frame["who"].isin(out["who"])].reset_index(drop=True)
        for own in ({}, {"fold": 2, "folds": 4, "repeat": 1}, {"reshuffle": 5}):
            chosen, alone = choose_rows(frame, schema(), rows | own), choose_rows(rest, schema(), {**own, "rule": 1})
            assert [*rest["who"].iloc[alone.scored]] == [*frame["who"].iloc[chosen.scored]]
            assert [*rest["who"].iloc[alone.train]] == [*frame["who"].iloc[chosen.train]]
    assert sorted(frame["who"]) == sorted(seen)
