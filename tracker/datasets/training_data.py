"""Train and validation splits on disk as checked arrays for training; the test split is out of its sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest_table
from tracker.config import Preprocessing
from tracker.datasets.storage import read_document, read_frame
from tracker.errors import DataError
from tracker.remedies import has_dvc, run_again, stage_command

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PARENTS = "parents"  # the folder beside the splits that holds the weights that networks begin with


@dataclass(frozen=True, slots=True)
class DataIdentity:
    """What a study says of its data without reading a table: digests, label names in order, the positive class."""

    digests: Mapping[str, Any]
    labels: tuple[str, ...]
    positive: str | None
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Arrays for training: `x` float32 (rows, features), `y` int64 (rows) as places in `labels`.

    `positive` is the class of binary metrics, None for macro averages; `preprocessing` is the fitted state that
    `tracker.standalone.transform` applies; `digests` has `train`, `validation`, `schema`, and
    the settings of `preprocessing`. `splits` is the folder that they came from. With `split.selection` the validation rows that
    rank are in `x_selection` and `y_selection`, those that stop in `x_validation` and `y_validation`.
    """

    x_train: np.ndarray[Any, np.dtype[np.float32]]
    y_train: np.ndarray[Any, np.dtype[np.int64]]
    x_validation: np.ndarray[Any, np.dtype[np.float32]]
    y_validation: np.ndarray[Any, np.dtype[np.int64]]
    labels: tuple[str, ...]
    positive: str | None
    schema: dict[str, Any]
    preprocessing: dict[str, Any]
    digests: dict[str, Any]
    splits: Path
    x_selection: np.ndarray[Any, np.dtype[np.float32]] | None = None
    y_selection: np.ndarray[Any, np.dtype[np.int64]] | None = None

    @property
    def ranking(self) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.int64]]]:
        """The rows that rank trials, and their labels: those for selection, or all of validation."""
        if self.x_selection is None or self.y_selection is None:
            return self.x_validation, self.y_validation
        return self.x_selection, self.y_selection

    @property
    def parents(self) -> Path:
        """The folder of the weights that networks may begin with."""
        return self.splits.parent / PARENTS

    @property
    def shape(self) -> tuple[int, ...]:
        """What the features of a row are, such as (1, 8, 8); empty for a row of a table."""
        return tuple(self.preprocessing.get("shape", ()))

    @property
    def mask(self) -> bool:
        """Whether the last channel says which steps of a sequence are there."""
        return bool(self.preprocessing.get("mask"))


def identify_data(splits: Path, settings: Preprocessing) -> DataIdentity:
    """Digests, labels and positive class from the JSON files alone; quick, imports neither torch nor scikit-learn."""
    manifest, schema = _read_documents(splits)
    shape = tuple(schema.get("shape", ()))
    return DataIdentity(_digests(manifest, settings), tuple(schema["labels"]), schema["positive"], shape)


def load_training_data(splits: Path, settings: Preprocessing) -> TrainingData:
    """The arrays of both splits, preprocessing fitted on train alone. Raises DataError where a file has changed."""
    manifest, schema = _read_documents(splits)
    train = _read_split(splits, "train", manifest)
    validation = _read_split(splits, "validation", manifest)
    data = make_arrays(train, validation, schema, settings, _digests(manifest, settings), splits)
    rows = _selection(manifest)
    if rows is None:
        return data
    import numpy as np

    x, y, chosen = data.x_validation, data.y_validation, np.isin(np.arange(len(data.y_validation)), rows)
    return replace(data, x_validation=x[~chosen], y_validation=y[~chosen], x_selection=x[chosen], y_selection=y[chosen])


def make_arrays(
    train: pd.DataFrame,
    scored: pd.DataFrame,
    schema: dict[str, Any],
    settings: Preprocessing,
    digests: dict[str, Any],
    splits: Path,
) -> TrainingData:
    """The arrays of rows to train on and of rows to score, raw columns both; preprocessing is fitted on the first alone.

    Raises DataError where rows cannot be read so.
    """
    from tracker.datasets.preprocess import fit_preprocessing

    state = fit_preprocessing(train, schema, settings)
    return TrainingData(
        x_train=_transform(state, train, "train"),
        y_train=label_codes(train, schema),
        x_validation=_transform(state, scored, "validation"),
        y_validation=label_codes(scored, schema),
        labels=tuple(schema["labels"]),
        positive=schema["positive"],
        schema=schema,
        preprocessing=state,
        digests=digests,
        splits=splits,
    )


def read_split(splits: Path, name: str) -> pd.DataFrame:
    """The raw columns of `train` or `validation`, verified. Raises DataError where the file has changed."""
    return _read_split(splits, name, _read_documents(splits)[0])


def read_ranking(splits: Path) -> tuple[pd.DataFrame, tuple[int, ...] | None]:
    """The validation rows that rank trials, raw columns, and which of them stay together: all rows without `split.selection`.

    Raises DataError where a file has changed.
    """
    manifest, _ = _read_documents(splits)
    frame, clusters = _read_split(splits, "validation", manifest), read_clusters(splits, "validation")
    rows = _selection(manifest)
    if rows is None:
        return frame, clusters
    return frame.iloc[rows].reset_index(drop=True), None if clusters is None else tuple(clusters[row] for row in rows)


def count_ranking(splits: Path) -> tuple[int, int] | None:
    """How many validation rows only rank, and how many there are; None where all do everything."""
    validation = _read_documents(splits)[0]["splits"]["validation"]
    rows = validation.get("selection")
    return None if rows is None else (len(rows), validation["rows"])


def _selection(manifest: Mapping[str, Any]) -> list[int] | None:
    """Which rows of validation only rank; None where all do everything."""
    rows: list[int] | None = manifest["splits"]["validation"].get("selection")
    return rows


def read_clusters(splits: Path, name: str) -> tuple[int, ...] | None:
    """Which rows of `validation` stay together (groups, equal rows), a number per row; None where each stands alone."""
    clusters = _read_documents(splits)[0]["splits"][name].get("clusters")
    return None if clusters is None else tuple(clusters)


def read_window(splits: Path) -> dict[str, Any]:
    """What `split.window` left out: `column`, `since`, how many rows are `forgotten`; empty where there is no window."""
    return dict(_read_documents(splits)[0].get("window", {}))


def label_codes(frame: pd.DataFrame, schema: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The place of every row's label in `schema["labels"]`, int64."""
    import numpy as np

    places = {label: place for place, label in enumerate(schema["labels"])}
    return np.array([places[label] for label in frame[schema["target"]]], dtype=np.int64)


def _read_documents(splits: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    again = run_again(splits, "split")
    if not splits.is_dir():
        first = "" if has_dvc(splits) else f"{run_again(splits, 'prepare')}, then "
        raise DataError(
            f"{splits}: the table is not split yet; {first}{stage_command(splits, 'split') if first else again}"
        )
    manifest = read_document(splits / "manifest.json", "splits", again)
    schema = read_document(splits / "schema.json", "schema", again)
    from tracker.canonical import digest

    if digest("schema", schema) != manifest["schema"]:
        raise DataError(f"{splits / 'schema.json'}: is not the one that manifest.json names; {again}")
    return manifest, schema


def _read_split(splits: Path, name: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
    path = splits / f"{name}.parquet"
    again = run_again(splits, "split")
    frame = read_frame(path, again)
    if digest_table(frame) != manifest["splits"][name]["digest"]:
        raise DataError(f"{path}: differs from its digest in manifest.json; {again}")
    return frame


def _digests(manifest: Mapping[str, Any], settings: Preprocessing) -> dict[str, Any]:
    return {
        "train": manifest["splits"]["train"]["digest"],
        "validation": manifest["splits"]["validation"]["digest"],
        "schema": manifest["schema"],
        "preprocessing": settings.model_dump(mode="json"),
        **_selection_digest(manifest),
    }


def _selection_digest(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What says in keys which validation rows rank: nothing where all do."""
    from tracker.canonical import digest

    rows = _selection(manifest)
    return {} if rows is None else {"selection": digest("selection", rows)}


def _transform(state: Mapping[str, Any], frame: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    from tracker.standalone.transform import transform

    try:
        return transform(state, frame)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
