"""A process that works for another one must not outlive it: what whoever waits for it was killed for stays undone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

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
