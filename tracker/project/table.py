"""Looks at a table before there is a project: what its columns are, and which of them could be the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import Data, Preprocessing
from tracker.config.written import scalar
from tracker.errors import DataError, InputError

if TYPE_CHECKING:
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.schema import Column

MOST_CLASSES = 50  # of a column that is offered as target
MOST_OFFERED = 25
MOST_NAMED = 4
LONGEST = 24  # characters of a class that are shown


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a table: the report of its columns, what else the user may want to know, and the rows as read."""

    report: DataReport
    hints: tuple[str, ...]
    frame: Any
    columns: Sequence[Column]

    def lines(self) -> list[str]:
        """Plain text for people."""
        return [*self.report.lines(), *(f"hint: {hint}" for hint in self.hints)]


def source_of(table: str, root: Path) -> str:
    """How params.yaml names a table: from the project's folder where it lies in it, else as it was given."""
    if table.startswith("sklearn:"):
        return table
    path = Path(table)
    if path.is_absolute() and path.parent.resolve().is_relative_to(root.resolve()):
        return (path.parent.resolve() / path.name).relative_to(root.resolve()).as_posix()
    return path.as_posix()


def look(data: Data, preprocessing: Preprocessing, group: str | None, root: Path) -> Seen:
    """Reads and checks the table as `prepare` will. Raises DataError with every fault; writes nothing."""
    from tracker.datasets.check import unknown_column
    from tracker.datasets.prepare import inspect_data

    frame, columns, report = inspect_data(data, preprocessing, root)
    if group is not None and group not in frame:
        told = unknown_column("split.group", group, [column.column for column in report.columns])
        raise DataError(f"{data.source}: {told}")
    return Seen(report, tuple(_hints(report, data, group, frame)), frame, columns)


def _hints(report: DataReport, data: Data, group: str | None, frame: Any) -> Iterator[str]:
    from tracker.datasets.appearance import is_number

    if data.header is None and sum(is_number(column.column) for column in report.columns) > len(report.columns) / 3:
        yield "many names of columns are numbers: if the first line is a row, say data.header: none"
    for column in report.columns:
        if column.action.endswith("dates are no features"):
            yield (
                f"{column.column!r} holds dates; data.dates: features makes numbers of them; to test on the latest rows: "
                f"split: {{method: time, column: {scalar(column.column)}, validation_from: 'YYYY-MM-DD', "
                "test_from: 'YYYY-MM-DD'}"
            )
        elif "id-like text" in column.action and data.id is None and not column.gaps:
            yield _name_hint(column.column, twice=frame[column.column].duplicated().any())
    if group is not None:
        yield f"rows with the same {group!r} stay together in one split"


def _name_hint(name: str, *, twice: bool) -> str:
    if twice:
        return f"{name!r} is met in several rows; if these belong together, begin with --group: they stay in one split"
    return f"{name!r} may name the rows; begin with --id, so that a row keeps its split when its cells change"


def image_places(data: Data, root: Path) -> list[str]:
    """The folders of the images whose paths the table holds, as dvc.yaml names them; none where it holds no paths.

    Where many images lie beside the table it is their common folder, unless that is the project's, in which results lie too.
    """
    from tracker.datasets.load import read_table
    from tracker.datasets.load_images import places_of
    from tracker.datasets.writing import Writing

    frame = None if data.images is None else read_table(data.source, root, writing=Writing.of(data))
    if frame is None or data.images not in frame:
        return []
    folder, places = Path(data.source).parent, places_of(frame[data.images])
    if len(places) > MOST_OFFERED and folder != Path():
        return [folder.as_posix()]
    return [(folder / place).as_posix() for place in places]


def require_target(table: str, root: Path) -> InputError:
    """That no target was named, with the columns that could be it; the last column, the usual place, comes first."""
    offered = offer_targets(table, root)
    listed = [f"  {name}  ({about})" for name, about in offered[:MOST_OFFERED]] or [
        "  none has 2 to 50 different values"
    ]
    return InputError(
        "name the column to predict: --target NAME. Columns that could be it, the last one first:", *listed
    )


def offer_targets(table: str, root: Path) -> list[tuple[str, str]]:
    """Columns of 2 to 50 different values, each with these values, the last column first. Raises DataError."""
    from tracker.datasets.load import read_table
    from tracker.datasets.proposals import propose
    from tracker.datasets.schema import as_text, decide_columns
    from tracker.datasets.writing import Writing

    data, _ = propose(Data(source=source_of(table, root)), root)
    frame = read_table(data.source, root, writing=Writing.of(data))
    usable = [
        column for column in decide_columns(frame, data) if column.kind != "unusable" and column.role != "dropped"
    ]
    counted = {column.name: as_text(frame[column.name]).value_counts() for column in reversed(usable)}
    return [(name, _classes(counts)) for name, counts in counted.items() if 2 <= len(counts) <= MOST_CLASSES]


def _classes(counts: Any) -> str:
    from tracker.datasets.appearance import in_order

    names = [name if len(name) <= LONGEST else f"{name[:LONGEST]}..." for name in in_order(map(str, counts.index))]
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def read_settings(given: Mapping[str, Any]) -> Data:
    """The entries `data` of params.yaml from what was given on the command line; what was not given is left out."""
    return Data.model_validate({name: value for name, value in given.items() if value})
