"""A look that is killed at a system call is on record, or nothing was seen; `benchmarks/look_points.py` takes every call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import looks, syscalls
from tests.faults.nursery import Nursery

REASON = syscalls.reason_without_strace()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def test_no_kill_leaves_an_unrecorded_look(tmp_path: Path) -> None:
    """Killed at a sample of all calls that change the disk: no test row was read, or the look is on record; it goes on."""
    seen = looks.Watched()
    with Nursery(*looks.MODULES) as nursery:
        origin = looks.make_project(tmp_path / "origin", nursery)
        expected = looks.whole_look(nursery, origin, tmp_path / "whole")
        calls = looks.calls_of(nursery, origin, tmp_path / "traced")
        assert len(calls) > 50
        for number, moment in enumerate(calls[7 :: len(calls) // 6]):
            looks.kill_at(nursery, origin, tmp_path / f"{number}", moment, expected, seen)
    assert not seen.notes, str(seen)
    assert seen.kills > 5
    assert seen.before > 0 < seen.read
