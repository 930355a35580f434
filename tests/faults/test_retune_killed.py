"""A retuning that is killed ends as an undisturbed one; `benchmarks/retune_points.py` takes every call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import retunings, syscalls
from tests.faults.nursery import Nursery

REASON = syscalls.reason_without_strace()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.mark.slow
def test_no_kill_moves_the_alias_twice_or_to_half_a_model(tmp_path: Path) -> None:
    """Killed when the store has the decision and the file has not: one decision, one run, one version, one move."""
    with Nursery(*retunings.MODULES) as nursery:
        grown = retunings.make_grown(tmp_path, nursery)
        assert len(grown.calls) > 500
        filed = next(one for one in grown.calls if one.name == "rename" and "retunes.jsonl" in one.line)
        tally = retunings.strike(nursery, grown, filed, "kill")
    assert tally.sound, str(tally)
    assert tally.kills == 1
