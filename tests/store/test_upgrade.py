"""A store of an older release is taken to this version where it lies: once, whole, and nothing of it is lost.

`tests/golden/store-1.db` was written by the last release with stores of version 1: a study of three trials (one failed)
that ended, a look, a final result, a self-test.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import SmallProject, surroundings
from tracker.errors import NotFoundError, StoreError
from tracker.evaluation.ledger import join_looks
from tracker.store import database
from tracker.store.store import FILE, Store

GOLDEN = Path(__file__).parents[1] / "golden"
STUDY = "d2e26b6343cfb958245d4ac2f23b9c1d3758b9c7cdf690bf32845896176c6da6"
MOVED = (
    "studies",
    "proposals",
    "outcomes",
    "attempts",
    "provenances",
    "serving",
    "finishes",
    "finals",
    "outbox",
)  # looks and self-tests go on under their names
OPENING = """
import sys
from pathlib import Path
from tracker.store.database import Database
from tracker.store.store import Store

upgrade = Database._upgrade
def told(database):
    print("upgrading", flush=True)
    upgrade(database)

Database._upgrade = told
with Store.open(Path(sys.argv[1])) as store:
    print(len(store.looks()), store.check(), flush=True)
"""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The folder of a store of version 1."""
    return place(tmp_path / ".tracker")


def place(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(GOLDEN / "store-1.db", folder / FILE)
    return folder


def rows(folder: Path, prefix: str = "") -> dict[str, list[Any]]:
    """Every row of the tables that began with version 1, with its tally."""
    with closing(sqlite3.connect(folder / FILE)) as link:
        return {
            table: [
                *link.execute(f"SELECT * FROM {prefix}{table} ORDER BY id"),
                *link.execute("SELECT rows, total FROM tallies WHERE name = ?", (prefix + table,)),
            ]
            for table in MOVED
        }


def version(folder: Path) -> str:
    with closing(sqlite3.connect(folder / FILE)) as link:
        [(found,)] = link.execute("SELECT value FROM meta WHERE name = 'version'")
    return str(found)


def test_opening_upgrades_it(older: Path) -> None:
    """It is this version then, sound, and opening it again changes nothing."""
    assert "1" == version(older)
    with Store.open(older) as store:
        assert 2 == store.check()  # the look and the self-test
    assert str(database.VERSION) == version(older)
    before = (older / FILE).read_bytes()
    with Store.open(older) as store:
        assert 2 == store.check()
    assert before == (older / FILE).read_bytes()


def test_the_looks_are_there(older: Path) -> None:
    """What was looked at with the older release counts, and the self-test need not be run again."""
    [golden] = (GOLDEN / "looks").glob("*.json")
    with Store.open(older) as store:
        ledger = join_looks(older.parent / "looks", store.looks())
        assert store.selftest("e" * 64, "mlp") is True
    assert {golden.stem: golden.read_bytes()} == {name: look.content for name, look in ledger.looks.items()}
    [look] = ledger.looks.values()
    assert 1 == ledger.count(look.rows)


def test_the_old_tables_are_kept(older: Path) -> None:
    """Records of the older format stay byte for byte under another name; their keys mean nothing to this release."""
    before = rows(older)
    assert all(len(before[table]) > 1 for table in MOVED)
    with Store.open(older) as store:
        assert [] == store.studies() == store.finals() == store.items()
        with pytest.raises(NotFoundError, match="tracker tune"):
            store.study(STUDY)
    assert before == rows(older, "format_1_")


def test_a_new_study_runs_in_it(fresh: SmallProject) -> None:
    """As in a new store, and beside what was there before."""
    before = rows(place(fresh.paths.store))
    result = fresh.run(fresh.plan("manual"))
    assert 3 == len(result.trials)
    with Store.open(fresh.paths.store) as store:
        assert [result.spec.key] == [key for key, _ in store.studies()]
        assert result.trials[1].outcome == store.trial(result.spec.key, 1).outcomes[0]
        assert 1 == len(store.looks())
        store.check()
    assert result.digest == fresh.run(fresh.plan("manual")).digest
    assert before == rows(fresh.paths.store, "format_1_")


def test_commands_that_open_it_at_once_upgrade_it_once(older: Path) -> None:
    """All have found version 1 when they begin: one does it, the others wait for it; all of them see the whole store."""
    before = rows(older)
    with ExitStack() as stack:
        writer = stack.enter_context(closing(sqlite3.connect(older / FILE, isolation_level=None)))
        writer.execute("BEGIN IMMEDIATE")  # nobody else can write as long
        commands = [stack.enter_context(opening(older)) for _ in range(3)]
        for command in commands:
            assert command.stdout is not None
            assert "upgrading\n" == command.stdout.readline()
        writer.execute("ROLLBACK")
        ends = [command.communicate(timeout=60) for command in commands]
    assert [("1 2\n", "")] * 3 == ends
    assert [0] * 3 == [command.returncode for command in commands]
    assert before == rows(older, "format_1_")


def opening(folder: Path) -> subprocess.Popen[str]:
    """A process that opens the store and says when it goes to upgrade it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", OPENING, str(folder)],
        env=surroundings(folder.parent, {}),
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def test_an_upgrade_that_fails_leaves_the_older_store(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps happen, or none: the same file, version 1, which the next command upgrades."""
    before, step = rows(older), database.UPGRADES[1]

    def failing(link: sqlite3.Connection) -> None:
        step(link)
        raise sqlite3.OperationalError("no more")

    with monkeypatch.context() as patched:
        patched.setitem(database.UPGRADES, 1, failing)
        with pytest.raises(StoreError, match="no more"):
            Store.open(older)
    assert ("1", before) == (version(older), rows(older))
    Store.open(older).close()
    assert (str(database.VERSION), before) == (version(older), rows(older, "format_1_"))


def test_every_older_version_has_a_step() -> None:
    """Whoever raises VERSION writes how a store gets there."""
    assert set(range(1, database.VERSION)) == set(database.UPGRADES)


def test_a_store_of_the_next_release_is_refused(older: Path) -> None:
    """Nothing is changed in it, and the message names both versions and what to do."""
    with closing(sqlite3.connect(older / FILE)) as link:
        link.execute("UPDATE meta SET value = ? WHERE name = 'version'", (str(database.VERSION + 1),))
        link.commit()
    before = (older / FILE).read_bytes()
    newer = f"has version {database.VERSION + 1}, written by a newer release; this one knows up to {database.VERSION}: upgrade"
    with pytest.raises(StoreError, match=newer):
        Store.open(older)
    assert before == (older / FILE).read_bytes()
