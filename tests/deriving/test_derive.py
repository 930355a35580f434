"""Random trials over all knobs and odd sizes come out identical: the benchmark's run, small."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "reproduce.py"


def test_random_trials_are_identical_in_shuffled_order(tmp_path: Path) -> None:
    """30 trials of two tables, trained in cohorts, derived alone in fresh processes: all identical."""
    benchmark = runpy.run_path(str(BENCHMARK))
    records, lanes = benchmark["make_records"](tmp_path, 30, seed=7)
    assert lanes > 1
    assert {"identical": 30} == Counter(found.state for found in benchmark["derive"](records, seed=7))
