"""How libraries load and a process ends: garbage waits meanwhile, and is still collected."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import weakref
from pathlib import Path

import pytest

from tests.studies.project import SmallProject, command
from tracker import api
from tracker.loading import collect_rarely, loading, note_absent
from tracker.tracking.report import Delivered

ENDING = """
from tracker.loading import end_quickly

class Knot:
    def __init__(self):
        self.me = self

    def __del__(self):
        print("collected")

end_quickly()
Knot()
"""


class Knot:
    """Garbage that only a search finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_waits_while_libraries_load(enabled: bool) -> None:
    """Inside nothing is collected; afterwards collection is on or off as before, and finds what came to be inside."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with loading():
            assert not gc.isenabled()
            knot = weakref.ref(Knot())
        assert enabled == gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()
    assert 0 == gc.get_freeze_count()
    gc.collect()
    assert knot() is None


def test_who_reads_much_looks_for_garbage_rarely() -> None:
    """Ten thousand things that are new and stay start no search; garbage is still found."""
    before = gc.get_threshold()
    try:
        collect_rarely()
        gc.collect()
        searched = [stage["collections"] for stage in gc.get_stats()]
        kept = [[number] for number in range(10_000)]
        assert searched == [stage["collections"] for stage in gc.get_stats()]
        knot = weakref.ref(Knot())
        more = [[number] for number in range(200_000)]
        assert (10_000, 200_000, None) == (len(kept), len(more), knot())
    finally:
        gc.set_threshold(*before)


def test_what_is_absent_is_found_absent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is searched for it again; what is installed loads as before."""
    monkeypatch.setitem(sys.modules, "no_such_module", None)  # this puts back what there was, nothing
    del sys.modules["no_such_module"]
    note_absent("no_such_module", "wave")
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module.part")
    monkeypatch.undo()
    assert importlib.util.find_spec("wave") is not None
    assert "no_such_module" not in sys.modules


def test_a_process_that_ends_quickly_collects_its_garbage(tmp_path: Path) -> None:
    """What garbage does when it goes, it still does at the end of a process."""
    done = command(tmp_path, "-c", ENDING)
    assert (0, "collected\n", "") == (done.returncode, done.stdout, done.stderr)


PROGRAM = """
import atexit, sys, threading, time
from tracker.loading import run_to_its_end

class Told:
    def __del__(self):
        print("taken apart")

told = Told()
atexit.register(print, "at the end")

def body():
    threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
    print("body")
    sys.exit(eval(sys.argv[1]))

run_to_its_end(body)
"""


@pytest.mark.parametrize(
    ("code", "expected", "said"), [("None", 0, ""), ("3", 3, ""), ("300", 44, ""), ("'why'", 1, "why\n")]
)
def test_a_program_ends_as_python_would_and_is_not_taken_apart(
    tmp_path: Path, code: str, expected: int, said: str
) -> None:
    """Exit code, threads, `atexit` and output are Python's; a module that is still there is not emptied first."""
    done = command(tmp_path, "-c", PROGRAM, code)
    told = "body\nthread\nat the end\n" + "taken apart\n" * (said != "")
    assert (expected, told, said) == (done.returncode, done.stdout, done.stderr)


def test_a_program_that_fails_says_where(tmp_path: Path) -> None:
    """What nobody raised on purpose is a traceback and exit code 1; output that nobody reads is Python's to complain of."""
    lines = "from tracker.loading import run_to_its_end\nrun_to_its_end(lambda: {}['gone'])\n"
    failed = command(tmp_path, "-c", lines)
    assert 1 == failed.returncode
    assert failed.stderr.endswith("KeyError: 'gone'\n")
    unread = "import os, sys\nread, write = os.pipe(); os.close(read); os.dup2(write, 1); sys.stdout = open(1, 'w')\n"
    unread += "from tracker.loading import run_to_its_end\nrun_to_its_end(lambda: sys.stdout.write('word'))\n"
    done = command(tmp_path, "-c", unread)
    assert 120 == done.returncode
    assert "BrokenPipeError" in done.stderr


def test_where_nothing_waits_mlflow_is_not_asked(fresh: SmallProject) -> None:
    """A comparison that recorded nothing ends without delivery: it makes no database, and nobody is waited for."""
    uri = f"sqlite:///{fresh.paths.root / 'mlflow.db'}"
    project = api.Project(fresh.paths, uri, 1, "tests")
    with api.delivering(fresh.config, project) as finish:
        assert Delivered(0, 0) == finish()
    assert not (fresh.paths.root / "mlflow.db").exists()
