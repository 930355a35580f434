"""How a command ends: an error of ours, Ctrl-C or SIGTERM becomes a message on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from tracker.errors import StoreError, TrackerError
from tracker.lifelines import when_orphaned
from tracker.loading import end_quickly
from tracker.shown import shown

STOPPED = "stopped; what is finished is kept: the same command goes on"
DISK_FULL = "the disk is full; what is finished is kept: free some space and run the same command again"
NOTHING_KEPT = "stopped; nothing was changed: the same command starts anew"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
WATCH_S = 0.2
LAST_S = 10.0  # for ending what was started


def run_command(body: Callable[[], object], stopped: str = STOPPED) -> None:
    """Runs a command to its end. Leaves with SystemExit where it fails or is stopped; never with a traceback for these.

    `stopped` is said where it is stopped.

    Ctrl-C and SIGTERM unwind alike, so that workers and the delivery process are ended and locks are free.
    """
    end_quickly()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal or file in latin1 gets a mark for what it cannot show
        sys.stdout.reconfigure(errors="replace")
    caught: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    _on_signals(stop)
    try:
        try:
            body()
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        if caught and end.code == 128 + signal.SIGINT:  # what typer makes of a KeyboardInterrupt
            _leave(stopped, 128 + caught[0])
        raise
    except BaseException as error:
        if caught:  # whatever a library made of the interruption
            _leave(stopped, 128 + caught[0])
        if isinstance(error, TrackerError):
            _leave(str(error), error.exit_code)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _close_stdout()
            _leave(DISK_FULL, StoreError.exit_code)
        raise


def _on_signals(stop: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` and a shell's `&` want it
            signal.signal(number, stop)


def _leave(message: str, code: int) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # an impatient second Ctrl-C must not end in a traceback
    with contextlib.suppress(OSError):  # whoever read it may be gone
        sys.stderr.write(f"{shown(message)}\n")
        sys.stderr.flush()
    raise SystemExit(code) from None


def _close_stdout() -> None:
    """What is left of the output has no place; Python would try once more at the end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_with_parent(parent: int) -> None:
    """Stops this process like SIGTERM would when `parent` is no longer its parent: what waited for it was killed.

    Where that is ignored, or something hangs, it is killed.
    """

    def end() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_S)
        os.kill(os.getpid(), signal.SIGKILL)

    when_orphaned(end, parent, WATCH_S)
