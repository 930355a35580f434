"""A retuning struck at a few of its system calls ends as an undisturbed one; `benchmarks/retune_points.py` takes every call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import retunings, syscalls
from tests.faults.lives import Tally
from tests.faults.nursery import Nursery

REASON = syscalls.reason_without_strace()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.mark.slow
def test_no_fault_moves_the_alias_twice_or_to_half_a_model(tmp_path: Path) -> None:
    """Killed when the store has the decision and the file has not, and while MLflow gets it: one decision, one move."""
    with Nursery(*retunings.MODULES) as nursery:
        grown, total = retunings.make_grown(tmp_path, nursery), Tally()
        assert len(grown.calls) > 500
        filed = next(one for one in grown.calls if one.name == "rename" and "retunes.jsonl" in one.line)
        for moment in (filed, [one for one in grown.calls if "/mlflow.db" in one.line][-40]):
            total += retunings.strike(nursery, grown, moment, "kill")
    assert total.sound, str(total)
    assert total.kills == 2
