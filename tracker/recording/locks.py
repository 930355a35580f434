"""Turns a name into a lock between processes that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import StoreBusy, StoreError

POLL_S = 0.02
_held: set[int] = set()


@contextlib.contextmanager
def lock_file(folder: Path, name: str, wait_s: float) -> Iterator[None]:
    """Holds the lock `name` under `folder`; waits up to `wait_s` for another holder, then raises StoreBusy.

    The file stays behind when the lock is free: unlinking it would let two holders lock two files of one name.
    """
    handle = _open(folder / _file_name(name))
    try:
        _acquire(handle, name, wait_s)
        _held.add(handle)
        try:
            yield
        finally:
            _held.discard(handle)
            fcntl.flock(handle, fcntl.LOCK_UN)  # a worker forked this moment still shares the handle
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)


def _file_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", name):
        return name
    return hashlib.sha256(name.encode()).hexdigest()


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(
            f"{path}: the lock cannot be opened ({error.strerror}); make the folder writable for this user"
        ) from None


def _acquire(handle: int, name: str, wait_s: float) -> None:
    give_up = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise StoreBusy(_busy(handle, name)) from None
        time.sleep(POLL_S)
    with contextlib.suppress(OSError):  # the process id is for messages alone; a full disk must not forbid the lock
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)


def _busy(handle: int, name: str) -> str:
    holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
    return f"{name} is held by another command (process {holder}); wait until it ends or stop it, then run this again"


def _release_in_child() -> None:
    """A forked worker would otherwise keep the lock of a driver that has died."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)
