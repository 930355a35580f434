"""How commands end when what started them is gone, or what they write to is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tracker.terminal.endings import DISK_FULL

CHILD = """
import os, signal, sys, time
from tracker.terminal import endings

if sys.argv[1] == "ignored":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
endings.LAST_S = 0.5
endings.end_with_parent(os.getppid())
print(os.getpid(), flush=True)
time.sleep(100)
"""
PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); time.sleep(100)"


@pytest.mark.parametrize("sigterm", ["heard", "ignored"])
def test_a_process_ends_with_its_parent(sigterm: str) -> None:
    """Its parent is killed outright: it stops itself, and where it ignores that, as in the background of a script, it dies."""
    command = [sys.executable, "-c", PARENT, CHILD, sigterm]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert [] == alive


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_below_stdout_is_a_line_and_code_4() -> None:
    """Whatever was to be said had no place: no traceback, neither from the command nor from Python as it ends."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tracker.cli", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (4, f"{DISK_FULL}\n") == (done.returncode, done.stderr)
