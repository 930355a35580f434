"""What `check` says of the split: which column it goes by, rows per split and class, and where it must fail."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tracker.config import bare_dates
from tracker.datasets.divide import ROLES, split_column
from tracker.datasets.split import SplitReport, foresee_split
from tracker.errors import InputError
from tracker.remedies import has_dvc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracker.config import Config, Split
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.schema import Column
    from tracker.paths import Paths

ACTIONS = {
    "group": "keeps rows together; no feature",
    "time": "divides the rows by date; no feature",
    "split": "says the split of each row; no feature",
}
TOO_FEW = "too few to be in train"  # a warning of `prepare`, which does not know the split
FEW = "class ", "is empty", "cannot fill"  # of which the split's own faults speak


def foresee(
    config: Config, paths: Paths, frame: Any, columns: Sequence[Column], report: DataReport
) -> tuple[SplitReport | None, list[str]]:
    """The split that `split` would make of the prepared table, or, where it must fail, every fault; nothing is written."""
    schema = {
        "target": config.data.target,
        "id": config.data.id,
        "labels": list(report.labels),
        "shape": report.shape,
        "columns": [asdict(column) for column in columns],
    }
    try:
        return foresee_split(config.split, config.seed, frame, schema, paths.salts), []
    except InputError as error:
        return None, [fault if fault.startswith(("column", "split")) else f"split: {fault}" for fault in error.faults]


def as_the_split_sees(report: DataReport, settings: Split, faults: Sequence[str] = ()) -> DataReport:
    """The report of `prepare` with the split's column as what it is, and without advice that the split's own replaces."""
    name = split_column(settings)
    role = ROLES.get(settings.method, "")
    columns = [
        replace(column, role=role, kind="text", action=ACTIONS[role]) if column.column == name else column
        for column in report.columns
    ]
    rows_told = any(words in fault for fault in faults for words in FEW)
    warnings = [
        warning
        for warning in report.warnings
        if not (name is not None and warning.startswith(f"column {name!r}")) and not (rows_told and TOO_FEW in warning)
    ]
    return replace(report, columns=tuple(columns), warnings=tuple(warnings))


def date_faults(paths: Paths) -> list[str]:
    """Bare dates in params.yaml, where DVC runs the project: it cannot read them."""
    if not (has_dvc(paths.root) and paths.params.is_file()):
        return []
    return [
        f"{paths.params.name}: {place}: {date} is a bare date, which DVC does not read; quote it: '{date}'"
        for place, date in bare_dates(paths.params)
    ]
