"""The delivery process: turns lines on its input (settings, `compare KEY`, `notify`, `finish`) into deliveries to MLflow.

It lives as long as the command that it works for: when the other end of its input is gone, or that process, it leaves at
once; what it was at is found again and completed by the next delivery. In a stage of DVC it waits for the next stage when it
has finished (`tracker.tracking.meeting`), and leaves with that dvc.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import TrackerError
from tracker.lifelines import is_orphaned
from tracker.loading import collect_rarely, loading, note_absent, run_to_its_end
from tracker.tracking.meeting import Meeting, await_next_stage
from tracker.tracking.mlflow_settings import ASKED_FOR, settle
from tracker.tracking.pace import Pace
from tracker.tracking.report import Delivered, policy_from

if TYPE_CHECKING:
    from tracker.tracking.delivery import Delivery

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
FOREVER_S = 3600.0
LAST_ATTEMPTS = 2
WATCH_S = 0.5
LAST_S = 5.0  # for the command that is done to close its end
Lines = queue.SimpleQueue[str]


def main() -> int:
    """Runs until `finish` is done and no stage follows, or whoever it works for is gone; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to interpret
    settle(os.environ)
    collect_rarely()
    note_absent(*ASKED_FOR)
    is_gone: Callable[[], bool] = partial(is_orphaned, os.getppid())
    pace = Pace()
    while True:
        meeting = _work_for(is_gone, pace)
        life = None if meeting is None else await_next_stage(meeting)
        if life is None:
            return 0
        is_gone = partial(_has_ended, life)


def _work_for(is_gone: Callable[[], bool], pace: Pace) -> Meeting | None:
    """Delivers for one command, whose pipes are the standard streams; where it may wait for the next one."""
    lines: Lines = queue.SimpleQueue()
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(lines, is_gone, done), daemon=True)
    watcher.start()
    settings = json.loads(lines.get())
    meeting = Meeting.read(settings["meeting"])
    try:
        report = _serve(settings, lines, pace, more=meeting is not None and meeting.more)
    except TrackerError as error:
        report = Delivered(0, -1, str(error))
    done.set()
    _say(report, done=True)
    if meeting is not None:
        watcher.join(LAST_S)
    return None if watcher.is_alive() else meeting


def _has_ended(life: int) -> bool:
    return bool(select.select([life], [], [], 0)[0])


def _serve(settings: Mapping[str, Any], lines: Lines, pace: Pace, *, more: bool) -> Delivered:
    from tracker.store.store import Store

    with loading():
        from tracker.tracking.delivery import Delivery  # here, because it imports mlflow, which takes a second
        from tracker.tracking.mlflow_recorder import MlflowRecorder
        from tracker.tracking.project_files import ProjectFiles

    recorder = MlflowRecorder(settings["tracking_uri"], settings["experiment"])
    policy = policy_from(settings["policy"])

    def progress(delivered: int, waiting: int) -> None:
        _say(Delivered(delivered, waiting), done=False)

    with (
        contextlib.closing(recorder),
        Store.open(Path(settings["store"])) as store,
        Delivery(store, recorder, policy, progress, ProjectFiles.from_words(settings.get("files")), pace) as delivery,
    ):
        return _deliver_until_finished(delivery, settings["compare"], lines, more)


def _deliver_until_finished(delivery: Delivery, compare: Collection[str] | None, lines: Lines, more: bool) -> Delivered:
    """Delivers until `finish`; views and notes at their pace, and in the end, where no `more` stages follow."""
    failures, finishing, attempts = 0, False, 0
    wanted = None if compare is None else set(compare)
    while True:
        report = delivery.deliver(wanted, hurry=finishing and not more)
        _say(report, done=False)
        failures = failures + 1 if report.problem else 0
        wanted = wanted if report.problem else set()
        if finishing:
            attempts += 1
            if attempts >= LAST_ATTEMPTS or not report.problem:
                return report
        finishing = _next_is_finish(lines, failures, finishing, wanted)


def _next_is_finish(lines: Lines, failures: int, finishing: bool, wanted: set[str] | None) -> bool:
    """Waits for a word, or, after a failure, for the time to try again; `finish` is obeyed at once.

    `compare KEY` adds a study to those that are `wanted` in the next comparison.
    """
    pause = PAUSES_S[min(failures, len(PAUSES_S)) - 1] if failures else FOREVER_S
    until = time.monotonic() + (PAUSES_S[0] if finishing else pause)
    while (rest := until - time.monotonic()) > 0:
        with contextlib.suppress(queue.Empty):
            word, _, key = lines.get(timeout=rest).partition(" ")
            if word == "finish":
                return True
            if word == "compare" and wanted is not None:
                wanted.add(key)
            if not failures and lines.empty():  # a notification; several of them ask for one delivery
                break
    return finishing


def _watch(
    lines: Lines, is_gone: Callable[[], bool], done: threading.Event, leave: Callable[[int], None] = os._exit
) -> None:
    """Splits the input into lines; leaves when it ends or whoever it comes from is gone, or returns if all is `done`.

    A forked worker of the command may hold the other end open after the command has died, hence both signs.
    """
    rest = b""
    while not is_gone():
        if not select.select([0], [], [], WATCH_S)[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            lines.put(line.decode())
    if not done.is_set():
        leave(0)


def _say(report: Delivered, *, done: bool) -> None:
    line = {"delivered": report.delivered, "waiting": report.waiting, "problem": report.problem, "done": done}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run_to_its_end(lambda: sys.exit(main()))
