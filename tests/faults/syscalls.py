"""Kills a driver at one of its write-type system calls, or lets that call fail, by strace; then runs the command again.

Every call of the driver counts: those on the store, on weights, reports and models, and the few others. Lives make the
same calls in the same order, so the first, second ... `pwrite64`, `fsync` ... are all moments at which the disk changes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.lives import Ending, Tally, clear, copy, finish
from tests.faults.nursery import Nursery
from tests.studies.project import SmallProject

CALLS = (
    "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,"
    "truncate,ftruncate,fallocate,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,copy_file_range,sendfile"
)
ATTACH_S = 30.0


def reason_without_strace() -> str | None:
    """Why system calls cannot be tampered with here; None where they can."""
    if sys.platform != "linux":
        return "strace is for Linux"
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    probe = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {probe.stderr.strip()}" if probe.returncode else None


def live_under_strace(nursery: Nursery, root: Path, study: str, *options: str, **call: Any) -> tuple[int, str]:
    """A driver under strace; its exit code and what strace wrote. `call` is for the driver, here and below."""
    log, trace = root.with_suffix(".log"), root.with_suffix(".trace")
    driver = nursery.start(root, log, held=True, **{"do": "tune", "study": study, **call})
    # The driver has no threads that write; what it starts (git) is not followed.
    strace = subprocess.Popen(["strace", "-qq", "-y", "-o", trace, *options, "-p", str(driver.pid)])
    try:
        wait_for_tracer(driver.pid)
        os.kill(driver.pid, signal.SIGCONT)
        code = driver.wait()
    finally:
        driver.kill()
        strace.wait()
    text = trace.read_text(errors="replace")
    trace.unlink()
    return code, text


def wait_for_tracer(pid: int) -> None:
    give_up = time.monotonic() + ATTACH_S
    while not re.search(r"^TracerPid:\t[1-9]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
        assert time.monotonic() < give_up, "strace does not attach"
        time.sleep(0.002)


class Moment(NamedTuple):
    """The system call `name` for the `count`-th time (strace counts each call for itself), as it was in an undisturbed life."""

    name: str
    count: int
    line: str

    def __str__(self) -> str:
        return f"{self.name} {self.count}: {self.line[:160]}"


def list_calls(
    nursery: Nursery, origin: SmallProject, root: Path, study: str, *, keep: bool = False, **call: Any
) -> list[Moment]:
    """The write-type system calls of a whole life, in order; with `keep` what it left stays."""
    copy(origin, root)
    code, text = live_under_strace(nursery, root, study, "-e", f"trace={CALLS}", **call)
    assert code == 0, root.with_suffix(".log").read_text()
    if not keep:
        clear(root, root.with_suffix(".log"))
    seen: Counter[str] = Counter()
    moments = []
    for line in filter(re.compile(r"\w+\(").match, text.splitlines()):
        name = line.partition("(")[0]
        seen[name] += 1
        moments.append(Moment(name, seen[name], line))
    return moments


def crash_at(
    nursery: Nursery, origin: SmallProject, root: Path, study: str, expected: Ending, moment: Moment, **call: Any
) -> Tally:
    """Killed at a call, before it does anything, then run again to the end."""
    project = copy(origin, root)
    code, _ = live_under_strace(nursery, root, study, *inject(moment, "signal=SIGKILL"), **call)
    tally = Tally(lives=1, kills=int(code == -signal.SIGKILL))
    if code != -signal.SIGKILL:
        tally.notes.append(f"{moment}: was never made; left with {code}")
    tally += finish(nursery, project, root.with_suffix(".log"), study, expected)
    clear(root, root.with_suffix(".log"))
    return tally


def fail_at(
    nursery: Nursery,
    origin: SmallProject,
    root: Path,
    study: str,
    expected: Ending,
    moment: Moment,
    error: str,
    **call: Any,
) -> tuple[Tally, str]:
    """A call fails once; the command must say what failed and what to do, and go on when it is run again."""
    project, log = copy(origin, root), root.with_suffix(".log")
    code, text = live_under_strace(nursery, root, study, *inject(moment, f"error={error}"), **call)
    tally, said = Tally(lives=1), "\n".join(line for line in log.read_text().splitlines() if "acknowledged" not in line)
    if "INJECTED" not in text:
        tally.notes.append(f"{moment}: was never made")
    if fault := judge(code, said):
        tally.notes.append(fault)
    tally += finish(nursery, project, log, study, expected)
    clear(root, log)
    return tally, said


def inject(moment: Moment, what: str) -> tuple[str, ...]:
    return "-e", f"trace={moment.name}", "-e", f"inject={moment.name}:{what}:when={moment.count}"


def judge(code: int, said: str) -> str | None:
    """What is wrong with how a command ended whose disk failed; None where nothing is."""
    if "Traceback" in said:
        return f"left with a traceback: {said[-1500:]}"
    if code == 0:
        return None  # a call that may fail: the next life is compared as a whole
    if code != 4:
        return f"left with {code}: {said}"
    names_a_file, says_what_to_do = re.search(r"/\S+: ", said), re.search(r"free|writable|sound|run the same", said)
    return None if names_a_file and says_what_to_do else f"the message says too little: {said}"
