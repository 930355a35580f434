"""The ground under everything that must survive: files that are whole or absent, folders, and locks between processes.

A lock is released by the kernel when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracker.errors import StoreBusy, StoreError

POLL_S = 0.02
_held: set[int] = set()


def make_folder(folder: Path) -> None:
    """Creates a folder for this user alone, and the folders above it. Raises StoreError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be created ({error.strerror}); free or unprotect the place") from None


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Makes the content of a file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replaces a file as a whole, its content on the disk (its name: `sync_folder`). Raises OSError.

    It is written aside and renamed. What a killed writer left aside is cleared away; a living one holds a lock on it.
    """
    name = path.name[:100]
    for left in path.parent.glob(f".{glob.escape(name)}.*.part"):
        clear_leftover(left)
    handle, aside = _open_aside(path.parent, name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode & ~_umask())
            file.write(content)
            file.flush()
            os.fsync(handle)
            aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _umask() -> int:
    """What the user keeps from others; it can only be asked for by setting it, so for a moment all is kept."""
    present = os.umask(0o077)
    os.umask(present)
    return present


def _open_aside(folder: Path, name: str) -> tuple[int, Path]:
    while True:
        handle, aside = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else another writer took it for a leftover before it was locked
            return handle, Path(aside)
        os.close(handle)


@contextlib.contextmanager
def folders_replaced(*folders: Path) -> Iterator[Sequence[Path]]:
    """Empty folders to write in, put in the places of `folders` when the block ends well, removed when it does not.

    One writer at a time: the folders beside have fixed names, so that the next one clears what a killed one left. Each folder
    is old, absent or whole, and what it holds is on the disk. Raises OSError.
    """
    asides = [folder.with_name(f".{folder.name}.new") for folder in folders]
    try:
        for aside in asides:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
        yield asides
        for aside, folder in zip(asides, folders, strict=True):
            _put_in_place(aside, folder)
    finally:
        for aside in asides:
            shutil.rmtree(aside, ignore_errors=True)


def _put_in_place(aside: Path, folder: Path) -> None:
    """A folder with content cannot be renamed over, so the old one steps aside first."""
    for file in sorted(aside.iterdir()):
        sync_file(file)
    sync_folder(aside)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.is_dir() and not folder.is_symlink():
        folder.rename(old)
    else:
        folder.unlink(missing_ok=True)
    aside.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def clear_leftover(left: Path) -> None:
    """Removes what a killed writer left aside; a living one holds a lock on it."""
    with contextlib.suppress(OSError):  # gone already, or its writer lives
        handle = os.open(left, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
        finally:
            os.close(handle)


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


@contextlib.contextmanager
def lock_folder(folder: Path, wait_s: float) -> Iterator[None]:
    """Holds a folder itself, and no file beside it, for one process at a time; waits as `lock_file` does.

    Raises OSError where it cannot be opened, StoreBusy.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _wait_for(handle, str(folder), wait_s)
        yield
    finally:
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
    _wait_for(handle, name, wait_s)
    with contextlib.suppress(OSError):  # the process id is for messages alone; a full disk must not forbid the lock
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)


def _wait_for(handle: int, name: str, wait_s: float) -> None:
    give_up = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise StoreBusy(_busy(handle, name)) from None
        else:
            return
        time.sleep(POLL_S)


def _busy(handle: int, name: str) -> str:
    holder = _holder(handle) or "unknown"
    return f"{name} is held by another command (process {holder}); wait until it ends or stop it, then run this again"


def _holder(handle: int) -> str:
    """The process id of the holder: as it wrote it into the file, of a folder as Linux tells it."""
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        return os.pread(handle, 20, 0).decode(errors="replace").strip()
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()  # 1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(os.fstat(handle).st_ino):
                return words[4]
    return ""


def _release_in_child() -> None:
    """A forked worker would otherwise keep the lock of a driver that has died."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)
