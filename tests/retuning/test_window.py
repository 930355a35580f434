"""A retuning whose window slides says what it forgets, and lets no old test row into train."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.retuning.year import PARAMS, Year, month
from tracker.datasets.training_data import read_split
from tracker.retuning.history import peek
from tracker.retuning.retune import retune


def dated(*months: int) -> pd.DataFrame:
    """Several months, each with its first day as the date of its rows."""
    return pd.concat([month(number).assign(when=f"2025-{number:02d}-01") for number in months], ignore_index=True)


def test_a_window_slides_with_the_newest_row(tmp_path: Path) -> None:
    """With month 4 the first one leaves; the decision says so; the pipeline holds train against all test rows so far."""
    text = PARAMS.replace("promotion: 0.6}", "promotion: 0.6, window: {column: when, days: 80}}").replace("4}", "2}")
    year = Year(tmp_path, text)
    year.write(dated(1, 2, 3))
    assert not [
        reason for reason in retune(year.job()).reasons if "forgotten" in reason and not reason.startswith("0 ")
    ]
    year.write(dated(1, 2, 3, 4))
    assert "120 rows are forgotten, their 'when' is before 2025-01-11" in retune(year.job()).reasons
    last = list(peek(year.paths.retunes).told.values())[-1]
    assert last["data"]["window"] == {"column": "when", "since": "2025-01-11", "forgotten": 120}
    for part in ("train", "validation", "promotion"):
        assert {"m02", "m03", "m04"} == {name[:3] for name in read_split(year.paths.splits, part)["who"]}
    assert any(name.startswith("m01") for name in year.tested)
