"""The raw table becomes a checked, typed one with a schema: `table.parquet` and `schema.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.canonical import digest_bytes, digest_table
from tracker.columns import align
from tracker.config import Data, Preprocessing
from tracker.config.parts import Steps
from tracker.datasets.appearance import in_order
from tracker.datasets.check import find_faults, find_warnings, limit
from tracker.datasets.check_writing import rows_of
from tracker.datasets.keys import content_keys
from tracker.datasets.load import read_rows
from tracker.datasets.load_arrays import MASK, SHAPE
from tracker.datasets.made_with import FILE, MADE_WITH, ROWS, data_settings, table_file
from tracker.datasets.schema import Column, as_text, convert, decide_columns, name_codes
from tracker.datasets.shaped import indicator_faults, written
from tracker.datasets.storage import folders_replaced, locked, read_document, read_frame, write_document, write_frame
from tracker.errors import DataError
from tracker.remedies import run_again
from tracker.shown import counted, one_line

FORMAT = 1
TABLE = "table.parquet"
SCHEMA = "schema.json"


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """One column as a reader sees it; `action` says what will be done with it."""

    column: str
    role: str
    kind: str
    gaps: int
    action: str


@dataclass(frozen=True, slots=True)
class DataReport:
    """What `prepare` found: rows, columns, rows per label, the class that binary metrics speak about, warnings."""

    rows: int
    columns: tuple[ColumnReport, ...]
    labels: Mapping[str, int]
    positive: str | None
    warnings: tuple[str, ...]
    shape: tuple[int, ...] | None = None
    mask: bool = False
    padding: int = 0  # cells behind the end of sequences, which are no gaps

    def table(self) -> list[tuple[str, ...]]:
        """A header and a row per column, as text; the columns that make up an image or a sequence have one row."""
        head = ("column", "role", "type", "gaps", "what will be done")
        one_row = [] if self.shape is None else [c for c in self.columns if c.role == "feature"]
        rest = [c for c in self.columns if not (one_row and c.role == "feature")]
        rows = [(c.column, c.role, c.kind, str(c.gaps), c.action) for c in rest]
        return [head, *self._in_one_row(one_row), *rows]

    def _in_one_row(self, columns: list[ColumnReport]) -> list[tuple[str, ...]]:
        if not columns:
            return []
        names = f"{columns[0].column} ... {columns[-1].column}"
        gaps = sum(column.gaps for column in columns) - self.padding
        shown = next(column for column in columns if column.gaps) if gaps else columns[0]
        mask = "; the last channel says which steps are there" if self.mask else ""
        kinds = " ".join(sorted({column.kind for column in columns}))
        action = f"{len(columns)} columns are {written(self.shape or ())}, by channel: {shown.action}{mask}"
        return [(names, "feature", kinds, str(gaps), action)]

    def lines(self) -> list[str]:
        """The report as lines of plain text."""
        counts = ", ".join(f"{one_line(label)} {self.labels[label]}" for label in in_order(self.labels))
        about = f"; metrics speak about {self.positive!r}" if self.positive is not None else ""
        warnings = [f"warning: {warning}" for warning in self.warnings]
        return [*align(self.table()), f"{counted(self.rows, 'row')}; labels: {counts}{about}", *warnings]


def prepare(data: Data, preprocessing: Preprocessing, root: Path, out: Path) -> DataReport:
    """Reads, checks and types the table of `data`, and writes it with its schema into `out`, whole or not at all.

    Raises DataError with every fault (file, column, row; rows count from 1 below the header).
    """
    made = {
        MADE_WITH: data_settings(data),
        FILE: table_file(data, root),
    }  # a file that changes meanwhile is told later
    frame, columns, report = inspect_data(data, preprocessing, root)
    with locked(out.parent), folders_replaced(out) as (folder,):
        write_frame(folder / TABLE, frame)
        write_document(folder / SCHEMA, "prepared", {**_schema(frame, columns, data, report), **made})
    return report


def inspect_data(data: Data, preprocessing: Preprocessing, root: Path) -> tuple[Any, list[Column], DataReport]:
    """What `prepare` would write: the typed table, its columns and the report; writes nothing. Raises DataError."""
    literal = [name for name in (data.target, data.id) if name is not None]
    frame = read_rows(data, root, literal)
    mask = bool(frame.attrs.get(MASK)) and data.shape in {None, frame.attrs.get(SHAPE)}
    data = _with_shape(data, frame)
    frame, left = _labelled(frame, data)
    data = name_codes(frame, data)
    columns = decide_columns(frame, data)
    faults = list(find_faults(frame, columns, data, preprocessing))
    faults += [] if data.shape is None else indicator_faults(preprocessing)
    if faults:
        raise DataError(f"{data.source}: {fault}" for fault in limit(faults))
    counts = as_text(frame[data.target]).value_counts()
    labels = {label: int(counts[label]) for label in sorted(counts.index)}
    report = DataReport(
        rows=len(frame),
        columns=tuple(_report(column, preprocessing) for column in columns),
        labels=labels,
        positive=data.positive or (max(labels) if len(labels) == 2 else None),
        warnings=(*left, *find_warnings(frame, columns, data, preprocessing)),
        shape=data.shape,
        mask=mask,
        padding=_padding(frame, columns, data.shape) if mask else 0,
    )
    return convert(frame, columns).reset_index(drop=True), columns, report


def _padding(frame: Any, columns: list[Column], shape: Sequence[int] | None) -> int:
    """How many cells lie behind the end of sequences of that shape, whose last channel is the mask."""
    channels = (shape or (1,))[-1]
    masks = [column.name for column in columns if column.role == "feature"][channels - 1 :: channels]
    return (channels - 1) * int((frame[masks] == 0).to_numpy().sum())


def _with_shape(data: Data, frame: Any) -> Data:
    """The settings with the shape that arrays have, unless one is declared, and with the id of sequences."""
    found = frame.attrs.get(SHAPE)
    update: dict[str, Any] = {} if found is None or data.shape is not None else {"shape": found}
    if isinstance(data.sequences, Steps) and data.id is None:
        update["id"] = data.sequences.by
    return data.model_copy(update=update)


def _labelled(frame: Any, data: Data) -> tuple[Any, list[str]]:
    """The rows that have a label, where `data.unlabelled` is drop, and what is to be said; rows keep their numbers."""
    if data.unlabelled == "error" or data.target not in frame:
        return frame, []
    gaps = frame[data.target].isna()
    told = f"{rows_of(gaps)} of the table left out: no label (data.unlabelled: drop)"
    return (frame[~gaps], [told]) if gaps.any() else (frame, [])


def read_prepared(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The table and the schema that `prepare` wrote. Raises DataError where they differ from what was written."""
    again = run_again(folder, "prepare")
    schema = read_document(folder / SCHEMA, "prepared", again)
    frame = read_frame(folder / TABLE, again)
    if digest_table(frame) != schema["table"]:
        raise DataError(f"{folder / TABLE}: differs from its digest in {SCHEMA}; {again}")
    return frame, schema


def _schema(frame: Any, columns: list[Column], data: Data, report: DataReport) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "rows": report.rows,
        "target": data.target,
        "id": next((column.name for column in columns if column.role == "id"), data.id),
        "labels": list(report.labels),
        "positive": report.positive,
        **({} if report.shape is None else {"shape": list(report.shape)}),
        **({"mask": True} if report.mask else {}),
        "columns": [column.described("name", "role", "kind", "gaps", "reason") for column in columns],
        "warnings": list(report.warnings),
        "table": digest_table(frame),
        ROWS: _content(frame, columns),
    }


def _content(frame: Any, columns: list[Column]) -> str:
    """A digest of the rows that `split` would divide, whatever their order."""
    keys = content_keys(frame, {column.name: column.kind for column in columns if column.role != "dropped"})
    keys.sort()
    return digest_bytes(keys.astype("<u8").tobytes())


def _report(column: Column, preprocessing: Preprocessing) -> ColumnReport:
    return ColumnReport(column.name, column.role, column.kind, column.gaps, _action(column, preprocessing))


def _action(column: Column, preprocessing: Preprocessing) -> str:
    if column.role == "target":
        return "predicted"
    if column.role == "id":
        return "names the row"
    if column.role == "dropped":
        return f"dropped: {column.reason}"
    numeric, categorical = preprocessing.numeric, preprocessing.categorical
    fill = numeric.impute if column.kind in {"numeric", "date"} else categorical.impute
    steps = [f"gaps filled: {fill}"] if column.gaps else []
    steps += ["a feature says where"] if column.gaps and column.kind == "numeric" and numeric.indicator else []
    if column.kind == "date":
        steps.append("year, month, weekday, hour, days since the first")
    if column.kind in {"numeric", "date"}:
        steps.append("used as it is" if numeric.scale == "none" else f"scaled: {numeric.scale}")
    else:
        steps.append("0 or 1" if column.kind == "boolean" else "one-hot")
    return ", ".join(steps)
