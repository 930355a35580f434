"""Recording from a process of its own: tuning never waits, nothing is lost when anything dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.runs_in_mlflow import artifact, points, run_named, statuses
from tests.tracking.studies import EXPERIMENT, begin, end_study, run_trials
from tracker.store.store import Store
from tracker.tracking.outbox import UNHEARD, Outbox, sync, waiting
from tracker.tracking.report import Delivered

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
PIPE_ROOM = 65536  # bytes, on Linux
COMPLETE = {("study", "FINISHED"): 1, ("trial", "FINISHED"): 6}


def counts(database: Path) -> tuple[int, int]:
    """Runs and metric points in a database file, read past MLflow, which remembers deleted files."""
    with contextlib.closing(sqlite3.connect(database)) as link:
        [runs] = link.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone()
        [values] = link.execute("SELECT count(*) FROM metrics").fetchone()
    return runs, values


def pipe(outbox: Outbox) -> tuple[bool, int]:
    """Whether writing to the delivery process would wait, and how many bytes it has not read."""
    assert outbox._process is not None
    assert outbox._process.stdin is not None
    place, unread = outbox._process.stdin.fileno(), array("i", [0])
    fcntl.ioctl(place, termios.FIONREAD, unread)
    return os.get_blocking(place), unread[0]


def test_records_arrive_while_tuning_goes_on(tmp_path: Path, uri: str) -> None:
    """Notifications are written without waiting; at the end everything is in MLflow and progress was told."""
    told: list[tuple[int, int]] = []
    store, key = begin(tmp_path / ".tracker")
    with (
        store,
        Outbox(tmp_path / ".tracker", uri, EXPERIMENT, "all", [key], lambda *numbers: told.append(numbers)) as outbox,
    ):
        assert pipe(outbox)[0] is False
        for start in (0, 2, 4):
            run_trials(store, key, range(start, start + 2))
            outbox.notify()
        end_study(store, key, 6)
        assert outbox.finish(60) == Delivered(8, 0)
    assert told[-1] == (8, 0)
    assert statuses(uri) == COMPLETE
    assert waiting(tmp_path / ".tracker", uri, EXPERIMENT) == 0


def test_sync_fills_an_emptied_database(tmp_path: Path, uri: str) -> None:
    """After mlflow.db was deleted, sync brings every run back with the same points."""
    folder, database = tmp_path / ".tracker", tmp_path / "mlflow.db"
    store, key = begin(folder)
    with store:
        run_trials(store, key, range(3))
        end_study(store, key, 3)
    assert sync(folder, uri, EXPERIMENT, "none") == Delivered(5, 0)
    before = counts(database)
    database.unlink()
    assert sync(folder, uri, EXPERIMENT, "none") == Delivered(5, 0)
    assert counts(database) == before


def test_a_delivery_that_dies_is_a_report(tmp_path: Path, uri: str) -> None:
    """A killed delivery process disturbs nobody; sync delivers what it left."""
    store, key = begin(tmp_path / ".tracker")
    with store, Outbox(tmp_path / ".tracker", uri, EXPERIMENT) as outbox:
        assert outbox._process is not None
        outbox._process.kill()
        outbox._process.wait()
        run_trials(store, key, range(6))
        end_study(store, key, 6)
        outbox.notify()
        report = outbox.finish(60)
        assert (report.delivered, report.waiting) == (0, 8)
        assert report.problem is not None
        assert "ended early" in report.problem
    assert sync(tmp_path / ".tracker", uri, EXPERIMENT) == Delivered(8, 0)
    assert statuses(uri) == COMPLETE


def test_a_stopped_delivery_does_not_stop_tuning(tmp_path: Path, uri: str) -> None:
    """Of ten thousand notifications to a process that is stopped, a pipe has room for what is sent, and for `finish`.

    No write waits for the process; finish keeps its time limit.
    """
    store, key = begin(tmp_path / ".tracker")
    with store, Outbox(tmp_path / ".tracker", uri, EXPERIMENT) as outbox:
        assert outbox._process is not None
        os.kill(outbox._process.pid, signal.SIGSTOP)
        run_trials(store, key, [0])
        for _ in range(10_000):
            outbox.notify()
        blocking, unread = pipe(outbox)
        assert blocking is False
        assert UNHEARD * len("notify\n") <= unread <= PIPE_ROOM - len("finish\n")
        report = outbox.finish(0.2)
        assert report.waiting == 2
        assert report.problem is not None
        assert "said nothing for 0.2 s" in report.problem


def test_a_delivery_may_take_long_as_long_as_it_speaks(tmp_path: Path) -> None:
    """What is waited for is its next word: a store of many records takes longer than any limit on the whole."""
    outbox = Outbox(tmp_path / ".tracker", "sqlite:///nowhere", EXPERIMENT)
    spoken = json.dumps({"delivered": 1, "waiting": 9, "problem": None, "done": False}).encode()
    words = threading.Thread(target=outbox._read_reports, args=(slowly([spoken] * 15),))
    words.start()
    assert outbox._wait(1.0)
    words.join()
    assert 1 == outbox._last["delivered"]


def slowly(lines: list[bytes]) -> Iterator[bytes]:
    """A line every 0.1 s; then the stream ends."""
    for line in lines:
        time.sleep(0.1)
        yield line


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, '.')
from tests.tracking.studies import EXPERIMENT, begin, run_trials
from tracker.tracking.outbox import Outbox
store, key = begin(Path(sys.argv[1]))
with Outbox(Path(sys.argv[1]), sys.argv[2], EXPERIMENT, 'all') as outbox:
    run_trials(store, key, range(6))
    print(outbox._process.pid, flush=True)
    outbox.notify()
    while True:
        sys.stdin.read()
"""


def test_a_delivery_dies_with_its_driver(tmp_path: Path, uri: str) -> None:
    """A driver killed by SIGKILL leaves no delivery behind, and what was on its way arrives once, by sync."""
    folder = tmp_path / ".tracker"
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER,
         str(folder), uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert driver.stdout is not None
    assert driver.stdin is not None
    delivery = int(driver.stdout.readline())
    time.sleep(2.0)
    driver.kill()
    driver.wait()
    gone_by = time.monotonic() + 5
    while _alive(delivery) and time.monotonic() < gone_by:
        time.sleep(0.02)
    assert not _alive(delivery)
    driver.stdin.close()
    driver.stdout.close()
    with Store.open(folder) as store:
        [(key, _)] = store.studies()
        end_study(store, key, 6)
    assert sync(folder, uri, EXPERIMENT).problem is None
    assert statuses(uri) == COMPLETE
    assert [step for step, _, _ in points(uri, run_named(uri, "tpe/3"), "val_loss")] == [1, 2, 3]


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """A real MLflow server on this machine."""
    uri, words = f"http://127.0.0.1:{port}", [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    words += ["--artifacts-destination", str(folder / "served")]
    environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(words, stdout=log, stderr=log, env=environ, start_new_session=True)
    try:
        _await(f"{uri}/health", process)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start")


@pytest.mark.slow
def test_after_an_outage_each_record_arrives_exactly_once(tmp_path: Path, empty_database: Path) -> None:
    """A server that is away costs tuning nothing; when it is back, runs, points and models arrive once, over HTTP."""
    folder = tmp_path / ".tracker"
    (tmp_path / "server.db").write_bytes(empty_database.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    store, key = begin(folder)
    with store, Outbox(folder, uri, EXPERIMENT) as outbox:
        run_trials(store, key, range(6))
        outbox.notify()
        end_study(store, key, 6)
        report = outbox.finish(60)
        assert (report.delivered, report.waiting) == (0, 8)
        assert report.problem is not None
        assert "MLFLOW_TRACKING_URI" in report.problem
    with server(tmp_path, port):
        assert sync(folder, uri, EXPERIMENT) == Delivered(8, 0)
        assert sync(folder, uri, EXPERIMENT) == Delivered(0, 0)
        assert statuses(uri) == COMPLETE
        run = run_named(uri, "tpe/5")
        assert [step for step, _, _ in points(uri, run, "train_loss")] == [1, 2, 3]
        assert artifact(uri, run, "model/MLmodel", tmp_path / "down").is_file()


def test_a_tuner_never_imports_mlflow() -> None:
    """Store, outbox and provenance load neither mlflow nor torch, which take seconds."""
    script = (
        "import sys, tracker.tracking.outbox, tracker.store.store, tracker.surroundings.provenance\n"
        "import tracker.store.model_folder\n"
        "print({'mlflow', 'torch', 'pandas', 'optuna'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
