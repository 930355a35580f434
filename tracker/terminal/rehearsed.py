"""What `check` says of runs that it begins: of code of the user's own, and of a parent that is not there or does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracker.datasets.preprocess import fit_preprocessing
from tracker.errors import InputError
from tracker.studies.parent import REMOTE, find_parent
from tracker.studies.parent_fits import parent_fault
from tracker.studies.rehearsal import Read, own_fault

if TYPE_CHECKING:
    from tracker.config import Config
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.schema import Column
    from tracker.datasets.split import SplitReport
    from tracker.families.family import OwnFunction
    from tracker.paths import Paths
    from tracker.studies.plan import StudyPlan


def begin_faults(
    config: Config,
    paths: Paths,
    plans: Mapping[str, StudyPlan],
    own: OwnFunction | None,
    foreseen: Callable[[], Read | None],
) -> list[str]:
    """One sentence per thing that is in the way, with the studies that it is in the way of; `foreseen` is asked if need be."""
    try:
        parent = find_parent(config, paths)
    except InputError as error:
        return list(error.faults)
    read = None if parent is None and own is None else foreseen()
    if read is None:
        return []
    found: dict[str, list[str]] = {}
    for name, plan in plans.items():
        fault = None
        if parent is not None and config.model.transfer is not None:
            fault = parent_fault(plan.spec, parent, config.model.transfer.head, read, own)
        if fault is None and own is not None and (wrong := own_fault(plan.spec, read, own)):
            fault = f"model.entry: {config.model.entry} {wrong}"
        if fault is not None:
            found.setdefault(fault, []).append(config.place(name))
    return [f"{', '.join(places)}: {fault}" for fault, places in found.items()]


def foresee_read(
    config: Config, frame: Any, columns: Sequence[Column], report: DataReport, split: SplitReport | None
) -> Read | None:
    """What models will read, by fitting preprocessing on the rows that will be train; None without these.

    Raises DataError.
    """
    if split is None:
        return None
    labels, features = list(report.labels), [column.column for column in report.columns if column.role == "feature"]
    if report.shape is not None:  # numbers alone, of which fitting changes none but their scale
        numbers = [{"name": name, "kind": "numeric"} for name in features]
        return Read(labels, {"features": features, "columns": numbers, "shape": report.shape, "mask": report.mask})
    schema = {"columns": [asdict(column) for column in columns if column.name in features]}
    return Read(labels, fit_preprocessing(frame.iloc[split.train], schema, config.preprocessing))


def parent_lines(config: Config) -> list[str]:
    """That a parent on a server was not looked at."""
    transfer = config.model.transfer
    if transfer is None or not transfer.source.startswith(REMOTE):
        return []
    return [
        f"model.transfer.from: {transfer.source} is fetched when tuning begins; whether it fits is said then, before a trial"
    ]
