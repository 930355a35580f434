"""Tells a machine without enough memory from a trial that went wrong."""

from __future__ import annotations

from tracker.errors import TrackerError
from tracker.records import TrialSpec

ALLOCATOR = "can't allocate memory"  # how torch's says it, in a RuntimeError


def refuse_without_memory(error: BaseException, spec: TrialSpec) -> None:
    """Raises TrackerError where memory ran out: another machine would go on, so that is no outcome of the trial."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and ALLOCATOR in str(error)):
        raise TrackerError(
            f"not enough memory for a trial: seed {spec.seed}, {dict(spec.params)}; what is finished is kept, and the same "
            "command tries again: use fewer workers, or leave such configurations out of the search space"
        ) from error
