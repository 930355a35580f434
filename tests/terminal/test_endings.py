"""How commands end when what started them is gone."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

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
