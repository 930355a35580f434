"""Tables that `dvc plots` draws: how each study's best value grew, and the curve of each study's best trial."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from tracker.evaluation.files import write_durably
from tracker.paths import Paths
from tracker.reporting.facts import Facts
from tracker.reporting.words import is_number


def write_plots(facts: Facts, paths: Paths) -> list[Path]:
    """Writes `reports/plots/history.csv` and `curves.csv`, equal bytes for equal facts. Raises StoreError."""
    tables = {
        "history.csv": ("study,trial,best", _history(facts)),
        "curves.csv": ("study,epoch,val_loss", _curves(facts)),
    }
    written = []
    for name, (head, lines) in tables.items():
        path = paths.reports / "plots" / name
        write_durably(path, "".join(f"{line}\n" for line in [head, *lines]).encode())
        written.append(path)
    return written


def _history(facts: Facts) -> Iterator[str]:
    """The best value of a study after each trial that has one, in the order of trials."""
    choose = max if facts.direction == "maximize" else min
    for study in facts.studies:
        found = sorted((row.number, row.value) for row in facts.ranked if row.study == study and row.value is not None)
        so_far = accumulate((value for _, value in found), choose)
        yield from (f"{study},{number},{best!r}" for (number, _), best in zip(found, so_far, strict=True))


def _curves(facts: Facts) -> Iterator[str]:
    """Validation loss by epoch of each study's best trial, where it has one run and a record."""
    for study in facts.studies:
        first = next((row for row in facts.ranked if row.study == study), None)
        record = None if first is None else facts.record(first)
        for entry in () if record is None or len(record.outcomes) > 1 else record.outcome.history:
            if is_number(entry.get("val_loss")):
                yield f"{study},{entry['epoch']},{entry['val_loss']!r}"
