"""MLflow's own database file: whole or absent, whenever its making is killed, however many make it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import OperationalError

from tests.tracking.runs_in_mlflow import all_runs, statuses
from tests.tracking.studies import EXPERIMENT, begin, run_trials
from tracker.errors import TrackingError
from tracker.paths import Paths, sqlite_address
from tracker.tracking.delivery import Delivery
from tracker.tracking.fetch import Experiment
from tracker.tracking.mlflow_database import SETTLED_S, database_path, make_database, put_aside_half_made
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.report import Delivered
from tracker.tracking.verdicts import fetch_run

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
COMPLETE = {("study", "RUNNING"): 1, ("trial", "FINISHED"): 2}

KILLER = """
import os, random, signal, sqlite3, sys, time
from pathlib import Path
sys.path.insert(0, '.')
from tracker.tracking.mlflow_settings import settle
settle(os.environ)
from tests.tracking.studies import EXPERIMENT
from tracker.tracking.mlflow_recorder import MlflowRecorder
import mlflow.store.tracking.sqlalchemy_store, mlflow.tracking._tracking_service.utils, alembic.command

path = Path(sys.argv[1])
recorder = MlflowRecorder(f'sqlite:///{path}', EXPERIMENT)
draw = random.Random(5)
killed, bad = 0, []
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        recorder.connect()
        os._exit(0)
    time.sleep(draw.uniform(0.0, 0.9))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == signal.SIGKILL:
        killed += 1
    if path.exists():
        link = sqlite3.connect(path)
        names = {name for (name,) in link.execute("SELECT name FROM sqlite_master")}
        bad += [] if {'runs', 'mcp_servers', 'experiments'} <= names else [sorted(names)]
        link.close()
        path.unlink()
print(killed, len(bad))
"""


def kill_while_made(path: Path, rounds: int) -> tuple[int, int]:
    """Kills processes that make the database; how many were killed, how many databases were there half."""
    words = [sys.executable, "-c", KILLER, str(path), str(rounds)]
    killed, half = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return int(killed), int(half)


def deliver(folder: Path, path: Path) -> Delivered:
    store, key = begin(folder)
    with store, Delivery(store, MlflowRecorder(f"sqlite:///{path}", EXPERIMENT), "none") as delivery:
        run_trials(store, key, range(2))
        return delivery.deliver()


def test_a_kill_while_the_database_is_made_leaves_none(tmp_path: Path) -> None:
    """SIGKILL at many moments: the file is whole or not there, the next delivery takes all, and nothing is left beside."""
    path = tmp_path / "place" / "mlflow.db"
    killed, half = kill_while_made(path, 16)
    assert killed > 5
    assert 0 == half
    assert Delivered(3, 0) == deliver(tmp_path / ".tracker", path)
    assert statuses(f"sqlite:///{path}") == COMPLETE
    assert [path] == [one for one in path.parent.iterdir() if one.is_file()]


def test_a_database_that_a_kill_left_half_made_is_replaced(tmp_path: Path) -> None:
    """What an older release left half made, and MLflow refuses, steps aside when nothing of anybody's is in it."""
    path = tmp_path / "mlflow.db"
    half_made(path)
    os.utime(path, (time.time() - 2 * SETTLED_S,) * 2)
    with pytest.raises(OperationalError, match=r"already exists|duplicate column"):
        MlflowClient(f"sqlite:///{path}").search_experiments()
    assert Delivered(3, 0) == deliver(tmp_path / ".tracker", path)
    assert statuses(f"sqlite:///{path}") == COMPLETE
    assert (tmp_path / "mlflow.db.half-made-1").is_file()


def half_made(path: Path) -> None:
    """As a kill leaves it: a migration has made some of its tables, and its version is not written."""
    make_database(path)
    with contextlib.closing(sqlite3.connect(path)) as link:
        newest = [name for (name,) in link.execute("SELECT name FROM sqlite_master WHERE type = 'table'")][-1]
        link.execute(f'DROP TABLE "{newest}"')
        link.execute("DELETE FROM alembic_version")
        link.commit()


def test_a_refused_database_with_somebodys_runs_stays(tmp_path: Path) -> None:
    """One that holds experiments, or is being written, is left as it is, and the message says what is wrong."""
    path = tmp_path / "mlflow.db"
    deliver(tmp_path / ".other", tmp_path / "first.db")
    (tmp_path / "first.db").rename(path)
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute("UPDATE alembic_version SET version_num = 'b7e4c1a90d23'")
        link.commit()
    os.utime(path, (time.time() - 2 * SETTLED_S,) * 2)
    before = path.read_bytes()
    report = deliver(tmp_path / ".tracker", path)
    assert (0, 3) == (report.delivered, report.waiting)
    assert report.problem is not None
    assert before == path.read_bytes()
    half_made(tmp_path / "new.db")
    assert not put_aside_half_made(tmp_path / "new.db")


def test_two_stores_make_one_database(tmp_path: Path) -> None:
    """Two processes that deliver two stores into a database that is not there: it is made once, and has both."""
    path = tmp_path / "mlflow.db"
    script = (
        "import sys; sys.path.insert(0, '.'); from pathlib import Path\n"
        "from tests.tracking.studies import EXPERIMENT, begin, run_trials\n"
        "from tracker.tracking.outbox import sync\n"
        "store, key = begin(Path(sys.argv[1]), sys.argv[3])\n"
        "run_trials(store, key, range(2), sys.argv[3]); store.close()\n"
        "report = sync(Path(sys.argv[1]), f'sqlite:///{sys.argv[2]}', EXPERIMENT, 'none')\n"
        "assert (report.delivered, report.waiting) == (3, 0), report\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / name), str(path), name], stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for process in both:
        _, complaint = process.communicate()
        assert 0 == process.returncode, complaint.decode()
    assert statuses(f"sqlite:///{path}") == {("study", "RUNNING"): 2, ("trial", "FINISHED"): 4}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite:///mlflow.db?timeout=3", Path.cwd() / "mlflow.db"),
        ("sqlite:////sp%20dir/p%2520x/mlflow.db", Path("/sp dir/p%20x/mlflow.db")),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://127.0.0.1/mlflow.db", None),
    ],
)
def test_only_files_of_sqlite_are_made(uri: str, expected: Path | None) -> None:
    """Every other address is the business of MLflow."""
    assert expected == database_path(uri)


def recorded(root: Path, numbers: range) -> Delivered:
    """Runs trials of the study in a folder and brings what waits to the database beside its store."""
    store, key = begin(root / ".tracker")
    with store:
        run_trials(store, key, numbers)
        with Delivery(store, MlflowRecorder(sqlite_address(root / "mlflow.db"), EXPERIMENT), "none") as delivery:
            return delivery.deliver(None)


def place(root: Path, empty_database: Path) -> None:
    """A folder with a database that MLflow has made already, which takes it a second."""
    root.mkdir(exist_ok=True)
    shutil.copy(empty_database, root / "mlflow.db")


def files_below(root: Path) -> set[str]:
    """The files of runs in a folder."""
    return {str(path.relative_to(root)) for path in (root / "mlruns").rglob("*") if path.is_file()}


def test_a_copied_project_writes_beside_its_own_database(tmp_path: Path, empty_database: Path) -> None:
    """The copy's runs, old and new, have their files in the copy; the first folder stays as it was."""
    first, copy = tmp_path / "first", tmp_path / "copy"
    place(first, empty_database)
    assert Delivered(3, 0) == recorded(first, range(2))
    before = files_below(first)
    shutil.copytree(first, copy)
    assert Delivered(1, 0) == recorded(copy, range(2, 3))
    assert before == files_below(first)
    assert len(before) + 1 == len(files_below(copy))
    runs = all_runs(sqlite_address(copy / "mlflow.db"))
    assert {True} == {run.info.artifact_uri.startswith(f"{copy.as_uri()}/mlruns/") for run in runs}
    assert {first.as_uri()} == {
        run.info.artifact_uri.partition("/mlruns")[0] for run in all_runs(sqlite_address(first / "mlflow.db"))
    }


def test_a_moved_project_is_read_and_written_where_it_is(tmp_path: Path, empty_database: Path) -> None:
    """Its records are fetched before anything was delivered again, and the old folder is not made anew."""
    first, moved = tmp_path / "first", tmp_path / "moved"
    place(first, empty_database)
    recorded(first, range(2))
    first.rename(moved)
    uri = sqlite_address(moved / "mlflow.db")
    source = Experiment(uri, EXPERIMENT)
    [study] = map(source.study, source.studies())
    assert [0, 1] == list(study.trials)
    assert fetch_run(uri, study.trials[1].run.run_id).record is not None
    assert Delivered(1, 0) == recorded(moved, range(2, 3))
    assert ["moved"] == [path.name for path in tmp_path.iterdir()]
    assert [True] * 4 == [Path(run.info.artifact_uri.removeprefix("file://")).is_dir() for run in all_runs(uri)]


def test_a_link_to_the_folder_is_no_other_place(tmp_path: Path, empty_database: Path) -> None:
    """Reached by another name of the same folder, a database stays as it is."""
    place(tmp_path / "first", empty_database)
    recorded(tmp_path / "first", range(1))
    (tmp_path / "link").symlink_to("first")
    assert Delivered(1, 0) == recorded(tmp_path / "link", range(1, 2))
    runs = all_runs(sqlite_address(tmp_path / "link" / "mlflow.db"))
    assert [True] * 3 == [run.info.artifact_uri.startswith((tmp_path / "first").as_uri()) for run in runs]


def test_lost_files_of_runs_come_back(tmp_path: Path, empty_database: Path) -> None:
    """A run whose exact record is gone is not whole: comparing writes the record again, and nothing twice."""
    place(tmp_path, empty_database)
    recorded(tmp_path, range(2))
    before = files_below(tmp_path)
    shutil.rmtree(tmp_path / "mlruns")
    assert Delivered(3, 0) == recorded(tmp_path, range(0))
    assert (before, COMPLETE) == (files_below(tmp_path), statuses(sqlite_address(tmp_path / "mlflow.db")))


def test_any_folder_may_hold_a_database(tmp_path: Path) -> None:
    """What has a meaning in an address may be in the name of a folder; no other folder is left beside it."""
    root = tmp_path / "a" / "feature%2Fx what? #1"
    assert Delivered(3, 0) == recorded(root, range(2))
    assert (root / "mlflow.db").is_file()
    assert [root.name] == [path.name for path in root.parent.iterdir()]
    assert Paths.of(root, {}).tracking_uri({}) == sqlite_address(root / "mlflow.db")


def test_a_full_disk_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow says something of tables where a disk was full; with room left its own words are told."""
    assert recorded(tmp_path, range(1)).problem is None
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as link:
        link.execute("ALTER TABLE runs RENAME TO others")
    told = recorded(tmp_path, range(1, 2)).problem or ""
    assert "no such table" in told
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    assert "the disk is full (4 KB are left); free some space" in (recorded(tmp_path, range(1, 2)).problem or "")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_text("junk " * 1000)], ids=["folder", "junk"])
def test_what_cannot_be_opened_is_said_at_once(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """MLflow would try ten times with doubling pauses; here each way in names the file."""
    make(tmp_path / "mlflow.db")
    report = recorded(tmp_path, range(1))
    assert (0, 2) == (report.delivered, report.waiting)
    told = f"could not open {tmp_path / 'mlflow.db'} as a SQLite database"
    assert report.problem is not None
    assert report.problem.startswith(told)
    with pytest.raises(TrackingError, match=re.escape(told)):
        Experiment(sqlite_address(tmp_path / "mlflow.db"), EXPERIMENT).studies()
