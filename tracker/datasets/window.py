"""Which rows are young enough: `split.window` lets old ones leave every split, after all rows got theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker.config.parts import Window
from tracker.datasets.check import unknown_column
from tracker.datasets.declared import read_moments
from tracker.datasets.schema import Column, parse_date
from tracker.errors import ConfigError, DataError
from tracker.shown import agree, counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Which rows of a table stay (`kept`, one bool per row) and from when on they are; `column` holds the dates."""

    kept: NDArray[np.bool_]
    since: datetime
    column: str

    @property
    def forgotten(self) -> int:
        """How many rows are older."""
        return int((~self.kept).sum())

    def described(self) -> dict[str, Any]:
        """What the manifest of the splits says of it."""
        return {"column": self.column, "since": self._since(), "forgotten": self.forgotten}

    def line(self) -> str:
        """It as a line of plain text."""
        rows = f"{self.forgotten} of {counted(len(self.kept), 'row')} {agree(self.forgotten, 'is', 'are')} forgotten"
        return f"window: {rows}, {agree(self.forgotten, 'its', 'their')} {self.column!r} is before {self._since()}"

    def _since(self) -> str:
        return self.since.isoformat(sep=" ").removesuffix("+00:00").removesuffix(" 00:00:00")


def forget(window: Window, frame: pd.DataFrame, columns: Sequence[Mapping[str, Any]]) -> Forgetting:
    """The rows inside the window; `columns` are those of the prepared table's schema.

    Raises DataError where a row has no date, ConfigError where `since` is none.
    """
    found = {entry["name"]: Column(**entry) for entry in columns}
    if window.column not in found or window.column not in frame:
        raise DataError(unknown_column("params.yaml: split.window.column", window.column, frame.columns))
    moments = read_moments(frame[window.column], found[window.column])
    since = max(moments) - timedelta(days=window.days) if window.days is not None else parse_date(window.since or "")
    if since is None:
        raise ConfigError(f"split.window.since: expected a date such as '2024-03-01', found {window.since!r}")
    return Forgetting(np.array([moment >= since for moment in moments]), since, window.column)
