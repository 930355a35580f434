"""What a new table is beside the one that was tuned on: counted right; refused where it is broken; else left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.studies.project import make_table
from tracker.config import Data, Preprocessing
from tracker.config.parts import Retune
from tracker.datasets.prepare import prepare, read_prepared
from tracker.retuning import profile as profiles
from tracker.retuning.changes import Changes, find_changes, why_refused, why_relevant
from tracker.retuning.profile import profile, read_profile, write_profile

SETTINGS = Retune()


def made(folder: Path, table: pd.DataFrame, **data: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table as `prepare` leaves it, with its schema."""
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "table.csv", index=False)
    settings = Data.model_validate({"source": "table.csv", "target": "kind", "id": "who", **data})
    prepare(settings, Preprocessing(), folder, folder / "prepared")
    return read_prepared(folder / "prepared")


def compared(folder: Path, old: pd.DataFrame, new: pd.DataFrame, **data: Any) -> tuple[Changes, dict[str, Any]]:
    """What differs between two tables, one of which was written to a file and read again."""
    write_profile(folder / "profile.json", profile(*made(folder, old, **data), "old"))
    frame, schema = made(folder, new, **data)
    return find_changes(read_profile(folder / "profile.json"), frame, schema, "new"), schema


def test_the_same_table_is_no_change(tmp_path: Path) -> None:
    """Rows in another order, and a cell written otherwise, are the same table; nothing counts, nothing moves."""
    table = make_table()
    changes, schema = compared(tmp_path, table, table.iloc[::-1])
    assert (changes.added, changes.removed, changes.changed, changes.relabelled, changes.known) == (0, 0, 0, 0, 160)
    assert not [*why_refused(changes, SETTINGS.refuse, schema), *why_relevant(changes, SETTINGS)]


def test_rows_are_counted_by_what_names_them(tmp_path: Path) -> None:
    """20 added, 10 removed, 3 with another feature, 2 with another label, by id; without ids a mended row is another one."""
    table, new = make_table(), make_table(180).iloc[10:]
    new.iloc[:150] = table.iloc[10:].to_numpy()
    new = new.reset_index(drop=True)
    new.loc[:2, "a"] = 9.5
    new.loc[10:11, "kind"] = np.where(new.loc[10:11, "kind"] == "ham", "spam", "ham")
    changes, _ = compared(tmp_path, table, new)
    assert (changes.added, changes.removed, changes.changed, changes.relabelled, changes.known) == (20, 10, 3, 2, 150)
    assert [reason[:13] for reason in why_relevant(changes, SETTINGS)] == ["20 rows added"]
    unnamed, _ = compared(tmp_path, table, new, id=None, drop=["who"])
    assert (unnamed.added, unnamed.removed, unnamed.changed, unnamed.relabelled) == (23, 13, 0, 2)


def test_rows_of_large_tables_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2,400 rows 1,000 are marked: what was added and removed is told to a tenth of the table."""
    monkeypatch.setattr(profiles, "MARKS", 1000)
    whole = make_table(2400)
    changes, _ = compared(tmp_path, whole.iloc[:2000], whole.iloc[400:])
    assert abs(changes.added - 400) < 120
    assert abs(changes.removed - 400) < 120
    assert changes.relabelled == changes.changed == 0


def test_a_column_that_moves_is_named(tmp_path: Path) -> None:
    """New rows with another mean of `a`, or another share of a city; rows of the same kind move nothing."""
    table, fresh = make_table(600), make_table(700, seed=6).iloc[600:]
    same, _ = compared(tmp_path, table, pd.concat([table, fresh]))
    assert same.of_added
    assert [reason for reason in why_relevant(same, SETTINGS) if "PSI" in reason] == []
    moved = fresh.assign(a=fresh["a"] + 1.5, city="Ulm")
    changes, schema = compared(tmp_path, table, pd.concat([table, moved]))
    told = [reason for reason in why_relevant(changes, SETTINGS) if "PSI" in reason]
    assert [reason.split()[1] for reason in told] == ["'a'", "'city'"]
    assert not list(why_refused(changes, SETTINGS.refuse, schema))


def flip(table: pd.DataFrame) -> pd.DataFrame:
    """Every fourth row has the other label."""
    flipped = table["kind"].map({"ham": "spam", "spam": "ham"})
    return table.assign(kind=np.where(np.arange(len(table)) % 4 == 0, flipped, table["kind"]))


def flood(table: pd.DataFrame) -> pd.DataFrame:
    """A tenth of the rows, ten times more, under other names."""
    copies = pd.concat([table.iloc[:16]] * 10)
    return pd.concat([table, copies.assign(who=[f"x{place}" for place in range(len(copies))])])


BROKEN: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a column is gone": (lambda t: t.drop(columns="b"), "column 'b' is gone"),
    "a column is new": (lambda t: t.assign(z=np.arange(len(t)) % 7), "column 'z' is new"),
    "a column became text": (lambda t: t.assign(a=np.where(t.index % 9 == 0, "low", "high")), "column 'a' was numeric"),
    "a column is constant": (lambda t: t.assign(b=1.0), "column 'b' is no feature any more: "),
    "a column is empty": (lambda t: t.assign(b=np.nan), "column 'b' is no feature any more: "),
    "a class is new": (lambda t: t.assign(kind=np.where(t.index % 16 == 0, "eggs", t["kind"])), "class 'eggs' is new"),
    "half of it": (
        lambda t: t.iloc[:70],
        "90 of 160 rows are gone, more than 50% (retune.refuse.lost): is the file cut",
    ),
    "labels flipped": (flip, "40 of 160 rows that were there before have another label"),
    "a flood of copies": (flood, "160 of 320 rows have an equal before them (0 of 160 before)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_refused(tmp_path: Path, name: str) -> None:
    """Each of these is refused with what is wrong, and for that reason alone."""
    broken, expected = BROKEN[name]
    changes, schema = compared(tmp_path, make_table(), broken(make_table()))
    faults = list(why_refused(changes, SETTINGS.refuse, schema))
    assert len(faults) == 1, faults
    assert faults[0].startswith(expected)


def test_a_class_that_has_gone_is_refused(tmp_path: Path) -> None:
    """Of three classes one has no row any more."""
    table = make_table()
    three = table.assign(kind=np.where(table.index % 8 == 0, "eggs", table["kind"]))
    changes, schema = compared(tmp_path, three, three[three["kind"] != "eggs"])
    assert list(why_refused(changes, SETTINGS.refuse, schema)) == ["class 'eggs' has gone (20 rows before)"]
