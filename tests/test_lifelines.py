"""A process notices that the one it works for has ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

CHILD = """
import time
from tracker.lifelines import when_orphaned

when_orphaned(every_s=0.01)
print(flush=True)
time.sleep(600)
"""
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {CHILD!r}]); time.sleep(600)"


def test_it_ends_when_its_parent_is_killed() -> None:
    """The pipe that only the orphan still holds closes, because the orphan has left."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert b"\n" == os.read(parent.stdout.fileno(), 1)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert select.select([parent.stdout], [], [], 60)[0]
        assert b"" == os.read(parent.stdout.fileno(), 1)


def test_it_stays_while_its_parent_lives() -> None:
    """Nothing happens to a process whose parent is the one that was expected."""
    code = CHILD.replace("time.sleep(600)", "time.sleep(0.2); print('here')")
    assert b"\nhere\n" == subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
