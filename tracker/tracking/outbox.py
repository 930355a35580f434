"""Recording that tuning never waits for: a process of its own takes records to MLflow."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tracker.store.store import Store
from tracker.tracking.addresses import hide_secrets
from tracker.tracking.delivered import DeliveredItems, destination
from tracker.tracking.meeting import Joined, Meeting, join
from tracker.tracking.report import Delivered, Policy, policy_text

Progress = Callable[[int, int], None]
LEAVE_S = 2.0
UNHEARD = 1000  # notifications that a delivery may leave unanswered: they, and `finish`, fit into a pipe


class Outbox:
    """Delivers while a study runs: `notify` after each generation, `finish` at the end.

    `compare` names the studies (by key; None: all) that are first compared with what MLflow really has; of others only what
    was never delivered is delivered. `progress` is told, from a thread, how many were delivered and how many wait. `files`
    says where the project's files are (`ProjectFiles.words`). Where there is a `meeting`, the process that waits there is used,
    and waits there again afterwards. No server can make it raise or block: what could not be delivered waits in the store.
    """

    def __init__(
        self,
        store_folder: Path,
        tracking_uri: str,
        experiment: str,
        policy: Policy = "all",
        compare: Sequence[str] | None = (),
        progress: Progress | None = None,
        files: Mapping[str, str] | None = None,
        meeting: Meeting | None = None,
    ) -> None:
        self._folder, self._uri, self._experiment = store_folder, tracking_uri, experiment
        self._settings = {
            "store": str(store_folder.absolute()),
            "tracking_uri": tracking_uri,
            "experiment": experiment,
            "policy": policy_text(policy),
            "compare": None if compare is None else list(compare),
            "files": None if files is None else dict(files),
            "meeting": None if meeting is None else asdict(meeting),
        }
        self._meeting = meeting
        self._progress = progress
        self._unheard, self._heard = 0, 0.0  # words since it last answered, and when that was
        self._process: subprocess.Popen[bytes] | Joined | None = None
        self._last: dict[str, Any] = {"delivered": 0, "waiting": -1, "problem": None, "done": False}
        self._over = threading.Event()  # it has said that it is done, or is gone
        self._complaints: list[bytes] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Outbox:
        self._process = process = (self._meeting and join(self._meeting)) or subprocess.Popen(
            [sys.executable, "-m", "tracker.tracking.deliver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._listen(self._read_reports, process.stdout)
        self._listen(self._read_complaints, process.stderr)
        self._tell(json.dumps(self._settings))
        os.set_blocking(process.stdin.fileno(), False)  # a stopped delivery must not stop tuning
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def compare(self, study_key: str) -> None:
        """Asks that a study be compared with what MLflow really has; returns at once."""
        self._tell(f"compare {study_key}")

    def notify(self) -> None:
        """Says that something new waits; returns at once."""
        if self._unheard < UNHEARD:
            self._unheard += 1
            self._tell("notify")

    def finish(self, timeout_s: float | None = None) -> Delivered:
        """Waits until all is delivered, the server has been given up, or nothing came for that long; what came of it."""
        process = self._process
        if process is None:
            return self._report(None)
        self._tell("finish")
        in_time = self._wait(timeout_s)
        self._close()
        if not in_time:
            return self._report(f"delivery to MLflow said nothing for {timeout_s:g} s")
        problem = self._last["problem"]
        return self._report(problem if self._last["done"] else self._crash(process.returncode))

    def _wait(self, silence_s: float | None) -> bool:
        """Whether it has ended, however long it takes as long as it goes on; False where nothing was heard for so long."""
        self._heard = time.monotonic()
        while silence_s is not None:
            if self._over.wait(max(0.0, self._heard + silence_s - time.monotonic())):
                return True
            if time.monotonic() >= self._heard + silence_s:
                return False
        return self._over.wait()

    def _report(self, problem: str | None) -> Delivered:
        waits, recorded = _standing(self._folder, self._uri, self._experiment)
        return Delivered(self._last["delivered"], waits, problem, empty=not recorded)

    def _crash(self, code: int | None) -> str:
        lines = b"".join(self._complaints[-50:]).decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {code}"
        return f"the delivery process ended early ({hide_secrets(reason, self._uri)})"

    def _listen(self, read: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
        thread = threading.Thread(target=read, args=(stream,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read_reports(self, stream: IO[bytes]) -> None:
        for line in stream:
            with contextlib.suppress(ValueError):
                self._last, self._unheard, self._heard = json.loads(line), 0, time.monotonic()
                if self._progress is not None and not self._last["done"]:
                    self._progress(self._last["delivered"], self._last["waiting"])
            if self._last["done"]:
                self._over.set()
        self._over.set()

    def _read_complaints(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._complaints[:] = [*self._complaints[-49:], line]

    def _tell(self, word: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it has died, or its input is full of notifications
                self._process.stdin.write(f"{word}\n".encode())

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]  # this tells it to leave
        if self._meeting is not None and self._last["done"]:
            _let_go(process)
        else:
            _end(process)
        for thread, stream in zip(self._threads, (process.stdout, process.stderr), strict=True):
            thread.join(LEAVE_S)
            if stream is not None and not thread.is_alive():
                stream.close()


def _end(process: subprocess.Popen[bytes] | Joined) -> None:
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _let_go(process: subprocess.Popen[bytes] | Joined) -> None:
    """It waits for the next stage, or leaves with dvc."""
    if isinstance(process, Joined):
        process.let_go()
    else:
        process.returncode = 0  # else Popen complains of a child that outlives it


def sync(
    store_folder: Path,
    tracking_uri: str,
    experiment: str,
    policy: Policy = "all",
    progress: Progress | None = None,
    timeout_s: float | None = None,
) -> Delivered:
    """Compares all that the store holds with what MLflow has, and delivers what is missing there."""
    with Outbox(store_folder, tracking_uri, experiment, policy, None, progress) as outbox:
        return outbox.finish(timeout_s)


def waiting(store_folder: Path, tracking_uri: str, experiment: str) -> int:
    """How many records have not been delivered to a destination, as far as is known here."""
    return _standing(store_folder, tracking_uri, experiment)[0]


def _standing(store_folder: Path, tracking_uri: str, experiment: str) -> tuple[int, int]:
    """How many records wait, and how many there are."""
    delivered = DeliveredItems(store_folder, destination(tracking_uri, experiment))
    delivered.refresh()
    with Store.open(store_folder) as store:
        names = [item.name for item in store.items()]
    return sum(name not in delivered.names for name in names), len(names)
