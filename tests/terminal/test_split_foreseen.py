"""What `check` says of the split is what `split` will do: roles, rows, and every way in which it must fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.test_remedies import begin_dvc
from tracker.config import Config, load_config, parse_config
from tracker.datasets.prepare import prepare
from tracker.datasets.split import split
from tracker.errors import InputError
from tracker.paths import Paths
from tracker.terminal.forecast import forecast

DATES = {"method": "time", "column": "day", "validation_from": "2024-03-01", "test_from": "2024-03-21"}
Check = Callable[..., tuple[list[str], list[str]]]


@pytest.fixture
def table() -> pd.DataFrame:
    """Numbers, a category, a person with four rows, a day, and a target."""
    rng = np.random.default_rng(0)
    rows = np.arange(200)
    return pd.DataFrame(
        {
            "person": [f"p{row // 4:03d}" for row in rows],
            "number": rows // 4,
            "day": [str(day.date()) for day in pd.date_range("2024-01-01", periods=100).repeat(2)],
            "size": rng.normal(size=200).round(9),
            "kind": np.where(rng.random(200) < 0.4, "yes", "no"),
        }
    )


def config_of(settings: dict[str, Any]) -> Config:
    studies = {"one": {"sampler": "manual", "configurations": [{}]}}
    tree = {"seed": 7, "data": {"source": "t.csv", "target": "kind"}, "split": settings, "studies": studies}
    return parse_config(tree, "params.yaml")


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """`check(table, method="group", group="person")`: what is said, and the faults."""

    def run(table: pd.DataFrame, **settings: Any) -> tuple[list[str], list[str]]:
        table.to_csv(tmp_path / "t.csv", index=False)
        lines: list[str] = []
        try:
            lines.extend(forecast(config_of(settings), Paths.of(tmp_path, {})))
        except InputError as error:
            return lines, list(error.faults)
        return lines, []

    return run


@pytest.mark.parametrize(
    ("settings", "column", "role"),
    [
        ({"method": "group", "group": "person"}, "person", "group"),
        ({"method": "group", "group": "number"}, "number", "group"),
        (DATES, "day", "time"),
    ],
    ids=["group of texts", "group of numbers", "time"],
)
def test_the_column_of_the_split_is_shown_as_such(
    check: Check, table: pd.DataFrame, settings: dict[str, Any], column: str, role: str
) -> None:
    """A group is no scaled feature, a day is not dropped, and nothing is advised about either."""
    drop = {"person", "number", "day"} - {column}
    lines, faults = check(table.drop(columns=list(drop)), **settings)
    assert [] == faults
    [line] = [line for line in lines if line.startswith(column)]
    assert [role, "text"] == line.split()[1:3]
    assert line.endswith("; no feature")
    assert not any(f"column {column!r}" in line for line in lines)


def test_the_rows_of_each_split_are_those_of_the_split(tmp_path: Path, check: Check, table: pd.DataFrame) -> None:
    """What is said of rows, salt and warnings is what `split` says then, word for word; checking writes nothing."""
    settings = {"method": "group", "group": "person"}
    lines, _ = check(table, **settings)
    assert ["t.csv"] == [path.name for path in tmp_path.iterdir()]
    config, paths = config_of(settings), Paths.of(tmp_path, {})
    prepare(config.data, config.preprocessing, paths.root, paths.prepared)
    told = split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts).lines()
    at = lines.index(told[0])
    assert told == lines[at : at + len(told)]


def slashes(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(day=table["day"].str.replace("-", "/"))


def years(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(day=[2012, 2013] * 100)


def twins(table: pd.DataFrame) -> pd.DataFrame:
    return table[["day", "size", "kind"]].assign(size=table["size"].where(table.index % 150 != 0, 1.5))


def rare(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(kind=table["kind"].where(table.index > 1, "maybe"))


def two_people(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(person=["a", "b"] * 100)


@pytest.mark.parametrize(
    ("change", "settings", "fault"),
    [
        (
            years,
            DATES,
            "column 'day' (time), rows 1, 2, 3 and 197 more: expected a date such as 2024-03-01, found 2012",
        ),
        (
            twins,
            DATES,
            "split: 2 rows have equals in another split, first row 1 (train) and row 151 (validation); remove",
        ),
        (rare, {}, "split: class 'maybe' (2 rows in all) is absent from "),
        (
            two_people,
            {"method": "group", "group": "person"},
            "split: 2 groups cannot fill train, validation, test; give at",
        ),
    ],
    ids=["years", "equal rows", "rare class", "too few groups"],
)
def test_a_split_that_must_fail_is_red(
    check: Check, table: pd.DataFrame, change: Callable[..., pd.DataFrame], settings: dict[str, Any], fault: str
) -> None:
    """Each fault of the split is one of `check`: place, what was found, remedy, once; the columns are shown before."""
    lines, faults = check(change(table), **settings)
    assert [True] == [found.startswith(fault) for found in faults if "'maybe'" not in fault or found.startswith(fault)]
    assert all("; " in found for found in faults)
    assert lines[0].startswith("column")
    assert not any("too few to be in train" in line for line in lines)
    assert not any("trials" in line for line in lines)


def test_dates_with_slashes_divide_as_those_of_iso(check: Check, table: pd.DataFrame) -> None:
    """`check` foresees the same split of days in another writing, and advises nothing about them."""
    expected, _ = check(table, **DATES)
    lines, faults = check(slashes(table), **DATES)
    assert [] == faults
    assert expected == lines


@pytest.mark.parametrize("dvc", [True, False])
def test_bare_dates_are_red_where_dvc_reads_them(tmp_path: Path, table: pd.DataFrame, dvc: bool) -> None:
    """DVC cannot read a bare date, so a project that it runs is told to quote it; others may have it."""
    table.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "params.yaml").write_text(
        "seed: 7\ndata: {source: t.csv, target: kind}\n"
        "split: {method: time, column: day, validation_from: 2024-03-01, test_from: '2024-03-21'}\n"
        "studies: {one: {sampler: manual, configurations: [{}]}}\n"
    )
    if dvc:
        begin_dvc(tmp_path)
    paths = Paths.of(tmp_path, {})
    faults: tuple[str, ...] = ()
    try:
        list(forecast(load_config(paths.params), paths))
    except InputError as error:
        faults = error.faults
    expected = (
        "params.yaml: split.validation_from: 2024-03-01 is a bare date, which DVC does not read; quote it: '2024-03-01'"
    )
    assert ((expected,) if dvc else ()) == faults


def test_classes_of_few_rows_are_warned_of_in_one_line(check: Check, table: pd.DataFrame) -> None:
    """Few validation or test rows of a class say little of it; classes of more are not named; without any, no line."""
    say_little = "warning: fewer than 5 rows of a class say little of it: "
    assert not any(line.strip().startswith(say_little) for line in check(table)[0])
    rare = table.assign(kind=np.where(np.arange(200) < 8, "rare", table["kind"]))
    [line] = [line.strip() for line in check(rare)[0] if line.strip().startswith(say_little)]
    told = line.removeprefix(say_little)
    assert "'rare' has " in told
    assert "'yes'" not in told
