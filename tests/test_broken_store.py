"""A store that cannot be used: a message that names it and what to do, the exit code of its kind, no traceback, soon."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.studies.project import PARAMS, REPOSITORY, command
from tracker.errors import StoreError
from tracker.store.store import Store

SOON_S = 2.0


def whole(store: Path) -> Path:
    Store.open(store).close()
    return store / "store.db"


def newer(store: Path) -> None:
    with closing(sqlite3.connect(whole(store))) as link:
        link.execute("UPDATE meta SET value = '99'")
        link.commit()


def half(store: Path) -> None:
    path = whole(store)
    path.write_bytes(path.read_bytes()[:10_000])


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "garbage": (lambda store: whole(store).write_bytes(b"garbage" * 1000), "store.db", "restore it from a copy"),
    "empty": (lambda store: whole(store).write_bytes(b""), "store.db", "restore it from a copy"),
    "half": (half, "store.db", "restore it from a copy"),
    "foreign": (lambda store: whole(store).write_text("<html></html>"), "store.db", "restore it from a copy"),
    "newer": (newer, "store.db", "upgrade repro-tracker"),
    "a folder for a file": (lambda store: (store / "store.db").mkdir(parents=True), "store.db", "make the file"),
    "a file for the folder": (lambda store: store.write_text("x"), ".tracker", "unprotect the place"),
    "a symlink loop": (lambda store: store.symlink_to(store), ".tracker", "unprotect the place"),
    "a dangling symlink": (lambda store: store.symlink_to(store.parent / "gone" / "x"), ".tracker", "unprotect"),
    "a lock that is no file": (lambda store: (store / "locks" / "create").mkdir(parents=True), "create", "writable"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_store_that_cannot_be_used_is_told_by_the_command(tmp_path: Path, name: str) -> None:
    """`tracker sync`: one line with the path and the remedy, exit code 4, nothing changed."""
    breaking, path, remedy = CASES[name]
    (tmp_path / "params.yaml").write_text(PARAMS)
    breaking(tmp_path / ".tracker")
    before = contents(tmp_path)
    done = command(tmp_path, "-m", "tracker.cli", "sync")
    assert (4, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines())), done.stderr
    assert str(tmp_path) in done.stderr
    assert path in done.stderr
    assert remedy in done.stderr
    assert before == {place: content for place, content in contents(tmp_path).items() if "locks" not in place.parts}


@pytest.mark.parametrize("words", [["tune", "manual"], ["pull"]], ids=" ".join)
def test_every_command_that_needs_the_store_tells(tmp_path: Path, words: list[str]) -> None:
    """`tune` and `pull` say the same, before they read data or ask MLflow."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    CASES["garbage"][0](tmp_path / ".tracker")
    done = command(tmp_path, "-m", "tracker.cli", *words)
    assert (4, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines())), done.stderr
    assert "store.db: not a readable store" in done.stderr


def contents(folder: Path) -> dict[Path, bytes | None]:
    places = sorted(path for path in folder.rglob("*") if "locks" not in path.parts)
    return {path: path.read_bytes() if path.is_file() else None for path in places}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_soon(tmp_path: Path, name: str) -> None:
    """Opening fails within two seconds; nothing is waited for that cannot get better."""
    CASES[name][0](tmp_path / ".tracker")
    began = time.monotonic()
    with pytest.raises(StoreError), Store.open(tmp_path / ".tracker") as store:
        store.check()
    assert time.monotonic() - began < SOON_S


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are for one user alone."""
    with tempfile.TemporaryDirectory(prefix="tracker-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tracker.errors import StoreError
from tracker.store.store import Store
if os.geteuid() == 0:  # for whom permissions do not count
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    Store.open(Path(sys.argv[2]) / '.tracker')
except StoreError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("existing", [True, False], ids=["a store of somebody else's", "no store yet"])
def test_a_place_without_the_right_to_write_is_told(public: Path, existing: bool) -> None:
    """For a user who may read the project but not write there: path, remedy, code 4, nothing created."""
    (public / "params.yaml").write_text(PARAMS)
    if existing:
        whole(public / ".tracker")
    before = sorted(public.rglob("*"))
    public.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(REPOSITORY), str(public)], capture_output=True, text=True, check=False
    )
    public.chmod(0o755)
    if existing and os.geteuid() != 0:
        return  # one's own store in a folder that is read-only can be read
    assert (4, "") == (done.returncode, done.stderr)
    assert str(public / ".tracker") in done.stdout
    assert "writable for this user" in done.stdout or "unprotect the place" in done.stdout
    assert before == sorted(public.rglob("*"))
