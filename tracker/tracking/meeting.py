"""Lets the stages of a `dvc repro` or `tracker run` share a delivery process: it waits between two, and the next one finds it.

MLflow takes longer to load than most stages take to train. The process waits at an abstract Unix socket (Linux alone has them;
no file stays behind) for as long as the process lives that runs the stages, and for `PATIENCE_S` at most. The next stage hands
it the ends of three pipes, which become its standard streams: from there on it is like a process of that stage's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tracker.lifelines import began, life_of

PATIENCE_S = 30.0  # how long it waits for the next stage, while the same dvc lives
ANSWER_S = 2.0  # how long a stage waits for an answer before it starts a process of its own
STAGE = "DVC_STAGE"
HELLO = b"!"
_host: ContextVar[int | None] = ContextVar("host", default=None)
_more: ContextVar[bool] = ContextVar("more", default=False)
CREDENTIALS = struct.Struct("3i")  # process, user, group: what Linux says of the other end


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where stages of one run meet: the `name` of a socket, and the process that all of them are started by.

    `more` says that this stage is not the last one that delivers: what may wait is left to the next.
    """

    name: str
    host: int
    host_began: str
    more: bool = False

    @property
    def address(self) -> bytes:
        """The socket's address, in Linux's abstract name space."""
        return b"\0tracker-" + self.name.encode()

    @classmethod
    def read(cls, words: Mapping[str, Any] | None) -> Meeting | None:
        """What `asdict` of a meeting made."""
        return None if words is None else cls(**words)


def meeting_of_stage(store: Path) -> Meeting | None:
    """Where a stage meets the others of the same `dvc`, or of the same `tracker run`; None where there are no others.

    The name follows from all that decides what a delivery does: the store, the folder, the program, the user, and the
    environment as dvc gave it, in which only the stage's own name differs. Stages that differ in more do not meet.
    """
    if sys.platform != "linux":
        return None
    environ = Path("/proc/self/environ").read_bytes().split(b"\0")
    here = [word for word in environ if not word.startswith(STAGE.encode() + b"=")]
    host = _host.get() or (os.getppid() if len(here) < len(environ) else None)
    if host is None or (since := began(host)) is None:
        return None
    where = [str(store.absolute()), str(Path.cwd()), sys.executable, str(os.getuid()), str(host), since]
    name = hashlib.sha256(b"\0".join([*map(str.encode, where), *sorted(here)])).hexdigest()
    return Meeting(name, host, since, _more.get())


@contextlib.contextmanager
def stages_of_this_process(*, more: bool = False) -> Iterator[None]:
    """In the block this process runs stages one after the other, as a dvc would; `more` of them follow the block."""
    before, after = _host.set(os.getpid()), _more.set(more)
    try:
        yield
    finally:
        _host.reset(before)
        _more.reset(after)


class Joined:
    """A delivery process that another stage started, used as `subprocess.Popen` is."""

    def __init__(self, process: int, life: int, streams: tuple[IO[bytes], IO[bytes], IO[bytes]]) -> None:
        self.pid = process
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None  # only a parent is told
        self._life = life

    def wait(self, timeout: float | None = None) -> None:
        """Waits for its end. Raises subprocess.TimeoutExpired."""
        if self._life >= 0 and not select.select([self._life], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("delivery", timeout or 0.0)
        self.let_go()

    def kill(self) -> None:
        """Kills it; another process that got its number since is never meant."""
        if self._life >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._life, signal.SIGKILL)

    def let_go(self) -> None:
        """Forgets it, whether it lives or not."""
        life, self._life = self._life, -1
        if life >= 0:
            os.close(life)


def join(meeting: Meeting) -> Joined | None:
    """The delivery process that waits there, with fresh pipes; None where none answers."""
    ours: list[int] = []
    with contextlib.ExitStack() as theirs, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(meeting.address)
            process = _other_end(line)
            life = None if process is None else life_of(process)
        except OSError:
            return None
        if process is None or life is None:
            return None
        try:
            (read_in, write_in), (read_out, write_out), (read_err, write_err) = (os.pipe() for _ in range(3))
            ours = [write_in, read_out, read_err]
            for end in (read_in, write_out, write_err):
                theirs.callback(os.close, end)
            socket.send_fds(line, [HELLO], [read_in, write_out, write_err])
            answered = line.recv(1) == HELLO
        except OSError:
            answered = False
    if not answered:
        for end in (*ours, life):
            os.close(end)
        return None
    return Joined(process, life, (open(write_in, "wb", 0), open(read_out, "rb", 0), open(read_err, "rb", 0)))  # noqa: PTH123


def await_next_stage(meeting: Meeting, patience_s: float = PATIENCE_S) -> int | None:
    """Waits for the next stage; its pipes are then the standard streams of this process, and its life is returned.

    None where none came, or the dvc has ended. A life is a file descriptor that is readable once its process has ended.
    """
    _take_streams([os.open(os.devnull, os.O_RDWR) for _ in range(3)])  # the last stage must not wait for these
    host = life_of(meeting.host, meeting.host_began)
    if host is None:
        return None
    with contextlib.closing(os.fdopen(host, "rb", 0)), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(meeting.address)
            listener.listen(1)
        except OSError:  # another one waits there already
            return None
        ready = select.select([listener.fileno(), host], [], [], patience_s)[0]
        return None if host in ready or not ready else _accept(listener)


def _accept(listener: socket.socket) -> int | None:
    line, _ = listener.accept()
    listener.close()  # who comes from now on finds nobody, and starts its own
    with contextlib.suppress(OSError), line:
        line.settimeout(ANSWER_S)
        process = _other_end(line)
        life = None if process is None else life_of(process)
        if life is None:
            return None
        word, streams, _, _ = socket.recv_fds(line, 1, 3)
        if word != HELLO or len(streams) != 3:
            return None
        _take_streams(streams)
        line.sendall(HELLO)
        return life
    return None


def _take_streams(streams: list[int]) -> None:
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)


def _other_end(line: socket.socket) -> int | None:
    """The process at the other end of a socket; None where another user runs it."""
    process, user, _ = CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return int(process) if user == os.getuid() else None
