"""Which of the rows of train and validation a run trains on, and which it is scored on. No test row is among them.

A run says so in the entry `rows` of its data. Rows follow from both tables and that entry alone, never from where a row
stands. Without the entry a run trains on train and is scored on validation. With it, it is scored on a `fold` of `folds`; or
both are divided anew, in the same shares, by the number `reshuffle`. `outer` of `outers` is a fold that takes no part in
either, so that a whole study can be scored on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker.aggregation import RULE
from tracker.config import Preprocessing
from tracker.datasets.assign import Clusters, Codes, cluster
from tracker.datasets.declared import read_moments
from tracker.datasets.keys import Keys, content_keys, text_keys, uniform
from tracker.datasets.schema import Column, as_text
from tracker.datasets.storage import read_document
from tracker.datasets.training_data import TrainingData, label_codes, make_arrays, read_split
from tracker.errors import DataError
from tracker.remedies import run_again
from tracker.seeds import derive_seed

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


Places = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Places of rows in train and validation, one below the other: those to train on, those to score."""

    train: Codes
    scored: Codes


class Resampling:
    """The rows of train and validation together, and the arrays of each choice among them."""

    def __init__(self, splits: Path, settings: Preprocessing, digests: dict[str, Any]) -> None:
        self._splits, self._settings, self._digests = splits, settings, digests
        self.schema = read_document(splits / "schema.json", "schema", run_again(splits, "split"))
        self._parts = [read_split(splits, name) for name in ("train", "validation")]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows of train and of validation, one below the other."""
        return join_parts(self._parts)

    @classmethod
    def of(cls, data: TrainingData) -> Resampling:
        """The rows that the arrays of a data set were made of. Raises DataError where a file has changed."""
        settings = Preprocessing.model_validate(data.digests["preprocessing"])
        return cls(data.splits, settings, data.digests)

    def frames(self, rows: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The raw rows to train on and those to score, of an entry `rows`. Raises DataError."""
        return pick_frames(self._parts, self.schema, rows)

    def load(self, rows: Mapping[str, Any]) -> TrainingData:
        """The arrays of an entry `rows`, preprocessing fitted on the rows to train on alone. Raises DataError."""
        digests = {**self._digests, "rows": dict(rows)}
        return make_arrays(*self.frames(rows), self.schema, self._settings, digests, self._splits)


def join_parts(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of train and of validation, one below the other."""
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def pick_frames(
    parts: Sequence[pd.DataFrame], schema: Mapping[str, Any], rows: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The raw rows to train on and those to score, of an entry `rows`, from those of train and validation.

    What trains on all is scored on validation, which it has seen: that tells whether it is the recorded one, no more. Raises
    DataError.
    """
    frame = join_parts(parts)
    if rows.get("all"):
        _require_rule(rows)
        return frame, parts[1]
    chosen = choose_rows(frame, schema, rows, len(parts[1]) / len(frame))
    return frame.iloc[chosen.train].reset_index(drop=True), frame.iloc[chosen.scored].reset_index(drop=True)


def held_out(parts: Sequence[pd.DataFrame], schema: Mapping[str, Any], rows: Mapping[str, Any]) -> pd.DataFrame:
    """The raw rows of the outer fold that an entry `rows` names. Raises DataError."""
    _require_rule(rows)
    frame = join_parts(parts)
    return frame.iloc[_outer(frame, schema, rows)].reset_index(drop=True)


def choose_rows(frame: pd.DataFrame, schema: Mapping[str, Any], rows: Mapping[str, Any], share: float = 0.2) -> Chosen:
    """The rows that an entry `rows` names, of train and validation, one below the other.

    `share` is how many of them are scored where they are no folds. Raises DataError.
    """
    _require_rule(rows)
    if "outer" in rows:
        inside = np.setdiff1d(np.arange(len(frame)), _outer(frame, schema, rows))
        own = {name: value for name, value in rows.items() if name not in {"outer", "outers"}}
        chosen = choose_rows(frame.iloc[inside].reset_index(drop=True), schema, own, share)
        return Chosen(inside[chosen.train], inside[chosen.scored])
    time = _time_of(schema)
    if "fold" not in rows:
        if time is not None:
            raise DataError(f"rows {dict(rows)}: in time, what is scored comes last; such rows cannot be divided anew")
        before, of = _places(frame, schema, derive_seed(0, "reshuffle", rows.get("reshuffle", 0)))
        scored = before < share * of
        chosen = Chosen(np.flatnonzero(~scored), np.flatnonzero(scored))
    elif time is None:
        places = deal_folds(frame, schema, rows["folds"], rows["repeat"])
        chosen = Chosen(np.flatnonzero(places != rows["fold"]), np.flatnonzero(places == rows["fold"]))
    else:
        contents = _contents(frame, [Column(**entry) for entry in schema["columns"]])
        chosen = _before(_blocks(frame, time, rows["folds"]), contents, rows["fold"])
    if faults := list(_absent(schema["labels"], label_codes(frame, schema), chosen, rows)):
        raise DataError(faults)
    return chosen


def _outer(frame: pd.DataFrame, schema: Mapping[str, Any], rows: Mapping[str, Any]) -> Codes:
    """The places of the rows of an outer fold; they are dealt out otherwise than those of a study's own folds."""
    if _time_of(schema) is not None:
        raise DataError("nested cross-validation would choose by rows that come later than those it scores; take folds")
    placed = _fold_of(_places(frame, schema, derive_seed(0, "outer")), rows["outers"])
    return np.flatnonzero(placed == rows["outer"])


def _time_of(schema: Mapping[str, Any]) -> Column | None:
    return next((column for column in (Column(**entry) for entry in schema["columns"]) if column.role == "time"), None)


def _require_rule(rows: Mapping[str, Any]) -> None:
    if rows.get("rule") != RULE:
        raise DataError(f"rows {dict(rows)}: chosen by a rule that this release does not know; upgrade repro-tracker")


def deal_folds(frame: pd.DataFrame, schema: Mapping[str, Any], folds: int, repeat: int = 1) -> Codes:
    """The fold of every row, from 1: each class is dealt out evenly, in the order of the hashes of what names its rows.

    Rows of one group stay together; where there are none, rows of one id and rows of equal features. A row that joins the
    table moves those few others whose hash lies beside the border of two folds.
    """
    return _fold_of(_places(frame, schema, derive_seed(0, "folds", repeat)), folds)


def _fold_of(places: Places, folds: int) -> Codes:
    before, of = places
    placed: Codes = np.floor(folds * before / of).astype(np.int64) + 1  # in this order: another one rounds otherwise
    return placed


def _places(frame: pd.DataFrame, schema: Mapping[str, Any], seed: int) -> Places:
    """Of every row, how many rows of its class stand before it in the order of hashes, and of how many.

    Rows of a cluster share a place, which is their middle.
    """
    columns = [Column(**entry) for entry in schema["columns"]]
    clusters = _clusters(frame, columns)
    lowest = np.full(int(clusters.of_name.max()) + 1, 2.0)
    np.minimum.at(lowest, clusters.of_name, uniform(clusters.names, seed))
    counts = np.zeros((len(lowest), len(schema["labels"])), dtype=np.int64)
    np.add.at(counts, (clusters.of_row, label_codes(frame, schema)), 1)
    sizes, before, of = counts.sum(axis=1), np.zeros(len(lowest)), np.ones(len(lowest))
    for label in range(counts.shape[1]):
        members = np.flatnonzero(counts.argmax(axis=1) == label)  # of rows of several classes: the most frequent one
        ordered = members[np.argsort(lowest[members], kind="stable")]
        before[ordered] = np.cumsum(sizes[ordered]) - sizes[ordered] / 2
        of[ordered] = max(1, sizes[ordered].sum())
    return before[clusters.of_row], of[clusters.of_row]


def clusters_of(frame: pd.DataFrame, schema: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Which rows stay together, a number per row; None where each stands alone."""
    columns = [Column(**entry) for entry in schema["columns"]]
    of_row = _clusters(frame, columns).of_row
    return None if len(np.unique(of_row)) == len(of_row) else tuple(of_row.tolist())


def _clusters(frame: pd.DataFrame, columns: list[Column]) -> Clusters:
    contents = _contents(frame, columns)
    grouped = any(column.role == "group" for column in columns)  # of which a split, too, keeps nothing else together
    return cluster(_names(frame, columns, contents), None if grouped else contents)


def _blocks(frame: pd.DataFrame, time: Column, folds: int) -> Codes:
    """The block of every row in time, from 0 to `folds`, as even as rows of one moment allow, which stay together."""
    _, moment = np.unique(np.array(read_moments(frame[time.name], time)), return_inverse=True)
    sizes = np.bincount(moment)
    middle = np.cumsum(sizes) - sizes / 2
    blocks: Codes = np.floor((folds + 1) * middle / len(frame)).astype(np.int64)[moment]
    return blocks


def _before(blocks: Codes, contents: Keys, fold: int) -> Chosen:
    """Scored is a block; trained are those before it, without rows that have the features of a scored one."""
    scored = blocks == fold
    train = (blocks < fold) & ~np.isin(contents, contents[scored])
    return Chosen(np.flatnonzero(train), np.flatnonzero(scored))


def _absent(labels: list[str], codes: Codes, chosen: Chosen, rows: Mapping[str, Any]) -> Iterator[str]:
    for part, places in (("trained", chosen.train), ("scored", chosen.scored)):
        counts = np.bincount(codes[places], minlength=len(labels))
        for label in (label for label, count in zip(labels, counts, strict=True) if count == 0):
            absent = f"no row of class {label!r} among those that are {part}"
            if "fold" not in rows:
                yield f"rows {dict(rows)}: {absent}; have more rows of that class, or a larger split.validation"
                continue
            yield (
                f"fold {rows['fold']} of {rows['folds']}: {absent}; take fewer folds: studies.NAME.cross_validation.folds"
            )


def _names(frame: pd.DataFrame, columns: list[Column], contents: Keys) -> Keys:
    """What names a row: its group, else its id, else its features."""
    by_role = {column.role: column.name for column in columns}
    name = by_role.get("group", by_role.get("id"))
    return contents if name is None else text_keys(as_text(frame[name]), "name")


def _contents(frame: pd.DataFrame, columns: list[Column]) -> Keys:
    return content_keys(frame, {column.name: column.kind for column in columns if column.role == "feature"})
