"""Makes the MLflow database of a SQLite address, whole or not at all, whenever its making is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from tracker.durable import lock_folder, sync_file, sync_folder
from tracker.errors import TrackingError
from tracker.paths import sqlite_address

SCHEME = "sqlite:///"
RUNS = "/mlruns/experiment-"  # between the folder of a database and the rest of a place of files
MAKING_S = 120.0  # how long somebody else may take to make the database
SETTLED_S = 5.0  # a file that changed since then may be in the making by somebody else
LITTLE_ROOM = 2**20  # bytes; a new database takes about as much
_OWN_ROWS = {"alembic_version", "experiments", "workspaces"}  # an empty database has rows in these


def database_path(tracking_uri: str) -> Path | None:
    """The file of a SQLite address, absolute; None for every other address. `%20` is a space, as SQLAlchemy reads it."""
    name = tracking_uri.removeprefix(SCHEME).split("?")[0]
    if not tracking_uri.startswith(SCHEME) or name in {"", ":memory:"} or name.startswith("file:"):
        return None
    return Path(unquote(name)).absolute()


def require_opens(path: Path) -> None:
    """Opens a SQLite file once. Raises TrackingError where that fails: MLflow itself would try again for minutes."""
    try:
        with contextlib.closing(sqlite3.connect(_file_address(path), uri=True)) as link:
            link.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return  # somebody writes; MLflow waits for that
        raise TrackingError(
            f"could not open {path} as a SQLite database ({error}); is MLFLOW_TRACKING_URI right, and may you write there?"
        ) from None


def full_disk(path: Path | None) -> str:
    """That there is next to no room left for a SQLite file, and what to do; empty where there is, or nobody can tell."""
    try:
        left = LITTLE_ROOM if path is None else shutil.disk_usage(path.parent).free
    except OSError:
        return ""
    return f"the disk is full ({left >> 10} KB are left); free some space" if left < LITTLE_ROOM else ""


@contextlib.contextmanager
def no_stray_folder(tracking_uri: str) -> Iterator[None]:
    """Removes the folder that MLflow makes where an address is quoted, because it takes the address as a path."""
    literal = Path(tracking_uri.removeprefix(SCHEME)).parent
    stray = database_path(tracking_uri) is not None and "%" in tracking_uri and not literal.exists()
    try:
        yield
    finally:
        if stray:
            with contextlib.suppress(OSError):
                os.removedirs(literal)


def beside(location: str, path: Path) -> str:
    """The place of files of ours beside a database, where their recorded place is that of a copied or moved one."""
    root, there, rest = location.partition(RUNS)
    if not there or not root.startswith("file:"):
        return location
    recorded, present = Path(unquote(root.removeprefix("file://"))) / "mlruns", path.parent / "mlruns"
    if recorded.exists() and present.exists() and recorded.samefile(present):
        return location
    return path.parent.as_uri() + there + rest


def move_locations(path: Path, experiment_id: str, location: str) -> None:
    """Writes into a copied or moved database that the files of an experiment, its runs and its models are beside it."""
    present = beside(location, path)
    if present == location:
        return
    values = {
        "location": location,
        "present": present,
        "length": len(location) + 1,
        "experiment": int(experiment_id),
    }
    with contextlib.closing(sqlite3.connect(_file_address(path), uri=True)) as link, link:
        link.execute(
            "UPDATE runs SET artifact_uri = :present || substr(artifact_uri, :length) "
            "WHERE experiment_id = :experiment AND substr(artifact_uri, 1, :length) = :location || '/'",
            values,
        )
        link.execute(
            "UPDATE logged_models SET artifact_location = :present || substr(artifact_location, :length) "
            "WHERE experiment_id = :experiment AND substr(artifact_location, 1, :length) = :location || '/'",
            values,
        )
        link.execute("UPDATE experiments SET artifact_location = :present WHERE experiment_id = :experiment", values)


def make_database(path: Path) -> None:
    """Makes a missing database: MLflow fills a file beside it, which is renamed when it is whole.

    Raises what MLflow and the file system raise.
    """
    if not _is_missing(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        if _is_missing(path):
            _make(path)


def put_aside_half_made(path: Path) -> bool:
    """Renames a database that MLflow refuses, if it holds nothing of anybody's and nobody is at it; whether it did.

    Releases of this project, and MLflow itself, make the file in place: killed meanwhile, they leave one that MLflow can
    neither use nor complete. What it holds is MLflow's own, so that nothing is lost.
    """
    with contextlib.suppress(OSError), _alone(path.parent):
        if _is_settled(path) and _is_empty(path):
            path.rename(_free_name(path))
            return True
    return False


def close_old(tracking_uri: str) -> None:
    """Closes the files that MLflow keeps open in this process under an address whose file was renamed."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore._get_or_create_engine(tracking_uri).dispose()  # noqa: SLF001  there is no public way


def _is_missing(path: Path) -> bool:
    """No file, or one without a byte, which a kill at the very beginning leaves."""
    return not path.exists() or (path.stat().st_size == 0 and _is_settled(path))


def _is_settled(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > SETTLED_S


def _make(path: Path) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = path.with_name(f".{path.name}.new")
    for leftover in (aside, aside.with_name(f"{aside.name}-journal")):
        leftover.unlink(missing_ok=True)
    try:
        address = sqlite_address(aside)
        with no_stray_folder(address):
            store = SqlAlchemyStore(address, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
        store.engine.dispose()
        sync_file(aside)
        aside.rename(path)
        sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _is_empty(path: Path) -> bool:
    """Whether it is an MLflow database in which nobody has stored anything; False where that cannot be told."""
    try:
        link = sqlite3.connect(_file_address(path), uri=True, isolation_level=None, timeout=0)
        with contextlib.closing(link):
            link.execute("BEGIN EXCLUSIVE")  # fails where somebody reads or writes
            names = {name for (name,) in link.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found = {name for name in names if link.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()}  # noqa: S608
            named = (
                "experiments" in found and link.execute("SELECT 1 FROM experiments WHERE name != 'Default'").fetchone()
            )
            link.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return "experiments" in names and not named and found <= _OWN_ROWS


def _file_address(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=rw"  # never makes a file


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.half-made-{number}") for number in range(1, 1_000_000))
    return next(name for name in names if not name.exists())


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock on the folder itself: two stores may deliver to one database, and no lock file stays beside it."""
    with lock_folder(folder, MAKING_S):
        yield
