"""The rows that a run was scored on, with their labels: those of validation, or those of its fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.aggregation import resampling_words
from tracker.datasets.storage import read_document
from tracker.datasets.training_data import read_ranking, read_split
from tracker.remedies import run_again

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """Raw columns, the label name of every row, and which rows stay together, a number per row (None: each stands alone)."""

    frame: pd.DataFrame
    actual: list[str]
    clusters: tuple[int, ...] | None


def read_labelled(splits: Path, name: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows of `train` or `validation`: raw columns, and the label name of every row. Raises DataError."""
    frame = read_split(splits, name)
    return frame, labels_of(frame, splits)


def read_scored(splits: Path, rows: Mapping[str, Any] | None) -> ScoredRows:
    """The rows that ranked a run whose data say `rows`: with `split.selection` a part of validation. Raises DataError."""
    if rows is None:
        frame, clusters = read_ranking(splits)
        return ScoredRows(frame, labels_of(frame, splits), clusters)
    from tracker.datasets.resampling import clusters_of, pick_frames

    schema = read_document(splits / "schema.json", "schema", run_again(splits))
    _, frame = pick_frames([read_split(splits, name) for name in ("train", "validation")], schema, rows)
    return ScoredRows(frame, labels_of(frame, splits), clusters_of(frame, schema))


def chosen_where(rows: Mapping[str, Any] | None, ranking: tuple[int, int] | None) -> tuple[str, str]:
    """In words, the rows that chose the epoch and those that ranked a trial whose first run has `rows`.

    `ranking` are how many validation rows only rank and how many there are (None: all do everything).
    """
    if rows is None and ranking is not None:
        only, all_ = ranking
        return f"{all_ - only} rows of validation", f"the other {only} rows of validation"
    if rows is None:
        return "validation", "validation"
    told = (
        "a part of train and validation, another one for each trial"
        if "reshuffle" in rows
        else "folds of train and validation"
    )
    return told, told


def labels_of(frame: pd.DataFrame, splits: Path) -> list[str]:
    """The label name of every row."""
    target = read_document(splits / "schema.json", "schema", run_again(splits))["target"]
    return [str(label) for label in frame[target]]


def scored_on(reports: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """On which rows the trials of studies are scored, in words, with the names of the studies."""
    found: dict[str, list[str]] = {}
    for report in reports:
        found.setdefault(resampling_words(report.get("runs") or {}), []).append(str(report["study"]))
    return found
