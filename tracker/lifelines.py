"""A process that works for another one must not outlive it: what whoever waits for it was killed for stays undone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

WATCH_S = 0.5


def leave() -> None:
    """Ends this process at once, with exit code 1."""
    os._exit(1)


def when_orphaned(act: Callable[[], None] = leave, parent: int | None = None, every_s: float = WATCH_S) -> None:
    """Calls `act` in a thread of its own as soon as the parent of this process is another one than `parent` (or than now)."""
    expected = os.getppid() if parent is None else parent

    def watch() -> None:
        while not is_orphaned(expected):
            time.sleep(every_s)
        act()

    threading.Thread(target=watch, daemon=True).start()


def is_orphaned(parent: int) -> bool:
    """Whether the process `parent`, which started this one, has ended."""
    return os.getppid() != parent


def began(process: int) -> str | None:
    """When a process began, in ticks since this machine did (Linux); with its number, that is its name. None: it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def life_of(process: int, since: str | None = None) -> int | None:
    """A file descriptor that is readable once the process has ended (Linux); None where it has, or began not at `since`."""
    try:
        life = os.pidfd_open(process)
    except OSError:
        return None
    if since is not None and began(process) != since:
        os.close(life)
        return None
    return life
