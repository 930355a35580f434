"""MLflow's own database file: whole or absent, whenever its making is killed, however many make it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import OperationalError

from tests.tracking.runs_in_mlflow import statuses
from tests.tracking.studies import EXPERIMENT, begin, run_trials
from tracker.tracking.delivery import Delivery
from tracker.tracking.mlflow_database import SETTLED_S, database_path, make_database, put_aside_half_made
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.report import Delivered

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
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://127.0.0.1/mlflow.db", None),
    ],
)
def test_only_files_of_sqlite_are_made(uri: str, expected: Path | None) -> None:
    """Every other address is the business of MLflow."""
    assert expected == database_path(uri)
