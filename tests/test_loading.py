"""How libraries load and a process ends: garbage waits meanwhile, and is still collected."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from tests.studies.project import SmallProject, command
from tracker import api
from tracker.loading import loading
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


def test_a_process_that_ends_quickly_collects_its_garbage(tmp_path: Path) -> None:
    """What garbage does when it goes, it still does at the end of a process."""
    done = command(tmp_path, "-c", ENDING)
    assert (0, "collected\n", "") == (done.returncode, done.stdout, done.stderr)


def test_where_nothing_waits_mlflow_is_not_asked(fresh: SmallProject) -> None:
    """A comparison that recorded nothing ends without delivery: it makes no database, and nobody is waited for."""
    uri = f"sqlite:///{fresh.paths.root / 'mlflow.db'}"
    project = api.Project(fresh.paths, uri, 1, "tests")
    with api.delivering(fresh.config, project) as finish:
        assert Delivered(0, 0) == finish()
    assert not (fresh.paths.root / "mlflow.db").exists()
