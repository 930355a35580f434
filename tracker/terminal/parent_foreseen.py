"""What `check` says of a parent (`model.transfer`): that it is not there, or that networks of a study cannot begin with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracker.datasets.preprocess import fit_preprocessing
from tracker.errors import InputError
from tracker.studies.parent import REMOTE, find_parent
from tracker.studies.parent_fits import Read, parent_fault

if TYPE_CHECKING:
    from tracker.config import Config
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.schema import Column
    from tracker.datasets.split import SplitReport
    from tracker.families.family import OwnFunction
    from tracker.paths import Paths
    from tracker.studies.plan import StudyPlan


def parent_faults(
    config: Config,
    paths: Paths,
    plans: Mapping[str, StudyPlan],
    read: Read | None,
    own: OwnFunction | None,
) -> list[str]:
    """One sentence per thing that is in the way, with the studies that it is in the way of; `read`: where it is known."""
    try:
        parent = find_parent(config, paths)
    except InputError as error:
        return list(error.faults)
    if parent is None or read is None or config.model.transfer is None:
        return []
    found: dict[str, list[str]] = {}
    for name, plan in plans.items():
        if fault := parent_fault(plan.spec, parent, config.model.transfer.head, read, own):
            found.setdefault(fault, []).append(config.place(name))
    return [f"{', '.join(places)}: {fault}" for fault, places in found.items()]


def foresee_read(config: Config, frame: Any, columns: Sequence[Column], report: DataReport, split: SplitReport) -> Read:
    """What networks will read, by fitting preprocessing on the rows that will be train. Raises DataError."""
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
