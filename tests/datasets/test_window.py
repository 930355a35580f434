"""`split.window`: old rows leave every split, and nothing else moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.datasets.place import Place, make_table
from tracker.config import Split
from tracker.config.parts import Window
from tracker.errors import ConfigError, DataError

DAY = pd.Timestamp("2025-01-01")
PARTS = ("train", "validation", "test")


@pytest.fixture
def place(tmp_path: Any) -> Place:
    return Place(tmp_path)


@pytest.fixture
def dated() -> pd.DataFrame:
    """240 rows, one a day, in no order of time."""
    table, days = make_table(), np.random.default_rng(4).permutation(240)
    return table.assign(when=[(DAY + pd.Timedelta(days=int(day))).date().isoformat() for day in days])


def window(**begin: Any) -> Split:
    return Split(window=Window(column="when", **begin))


def test_old_rows_leave_and_the_others_stay_where_they_were(place: Place, dated: pd.DataFrame) -> None:
    """Of 240 days the last 100 stay (the newest and 99 before it), by age and by date alike, each in the split it had."""
    place.split(dated, id="customer")
    before, salts = place.where(), place.salts.read_bytes()
    report = place.split(dated, window(days=99), id="customer")
    young, files, tables = place.where(), place.files(), place.tables()
    assert young == {name: before[name] for name in dated["customer"][dated["when"] >= "2025-05-21"]}
    assert (100, salts) == (len(young), place.salts.read_bytes())
    assert set(young.values()) == set(PARTS)
    assert "window: 140 of 240 rows are forgotten, their 'when' is before 2025-05-21" in report.lines()
    told = json.loads(files["data/splits/manifest.json"])["window"]
    assert told == {"column": "when", "since": "2025-05-21", "forgotten": 140}
    again = place.split(dated, window(since="2025-05-21"), id="customer")
    assert tables == place.tables()
    assert {name for name, part in young.items() if part == "train"} == set(dated["customer"].iloc[again.train])


def test_a_class_that_becomes_rare_in_a_split_is_told(place: Place, dated: pd.DataFrame) -> None:
    """Of a class that nearly ended, the splits in which few rows are left are named with what they had; wider ones are not."""
    young = dated["when"] >= "2025-05-21"
    place.split(dated, id="customer")
    where, kept = pd.Series(place.where()), set()
    for part in PARTS:  # two old ones of the class stay young in each split
        mine = young & (dated["churn"] == "yes") & (dated["customer"].map(where) == part)
        kept |= set(dated["customer"][mine][:2])
    fading = dated.assign(
        when=dated["when"].where(~young | (dated["churn"] == "no") | dated["customer"].isin(kept), "2025-01-02")
    )
    report = place.split(fading, window(since="2025-05-21"), id="customer")
    for part in PARTS:
        assert any(f"split.window leaves 2 rows of class 'yes' in {part}, of " in line for line in report.warnings)
    assert not any("leaves" in line for line in place.split(fading, window(since="2025-01-01"), id="customer").warnings)


def test_without_a_window_no_byte_is_another(place: Place, dated: pd.DataFrame) -> None:
    """No entry is written that was not written before."""
    report = place.split(dated, id="customer")
    assert "window" not in json.loads((place.splits / "manifest.json").read_text())
    assert report.window is None


def test_an_equal_of_a_forgotten_test_row_never_gets_into_train(place: Place, dated: pd.DataFrame) -> None:
    """New rows equal old ones and stand in test because of them; when the old ones are forgotten, they stay in test."""
    dated = dated.sort_values("when").reset_index(drop=True)
    place.split(dated, id="customer")
    where = place.where()
    tested = dated[dated["customer"].map(where) == "test"].iloc[:20]
    again = tested.assign(customer="z" + tested["customer"], when="2026-01-01")
    grown = pd.concat([dated, again], ignore_index=True)
    place.split(grown, window(since="2025-06-01"), id="customer")
    now = place.where()
    assert {"test"} == {now[name] for name in again["customer"]}
    assert not set(tested["customer"]) & set(now)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"column": "wehn", "days": 9}, DataError, "split.window.column.*'wehn'.*when"),
        ({"column": "age", "days": 9}, DataError, "column 'age' \\(time\\).*expected a date"),
        ({"column": "when", "since": "soon"}, ConfigError, "split.window.since: expected a date"),
        (
            {"column": "when", "since": "2030-01-01"},
            DataError,
            "no row of class 'no', 'yes' is left .window: 240 of 240",
        ),
    ],
)
def test_what_is_no_window_is_said(
    place: Place, dated: pd.DataFrame, settings: Mapping[str, Any], kind: type[Exception], message: str
) -> None:
    """A column that is not there or holds no dates, a begin that is none, and a window with no row in it."""
    with pytest.raises(kind, match=message):
        place.split(dated, Split(window=Window(**settings)), id="customer")


@pytest.mark.parametrize("begin", [{}, {"since": "2025-01-01", "days": 3}])
def test_a_window_begins_once(begin: Mapping[str, Any]) -> None:
    """Either a date or an age, not both, not neither."""
    with pytest.raises(ValueError, match="give either since"):
        Window(column="when", **begin)
