"""What `check` says of runs that it begins: of the user's own code, of a parent, of networks too large for a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracker.datasets.preprocess import fit_preprocessing
from tracker.errors import InputError
from tracker.goals import PARAMETERS
from tracker.hyperparameters import COUNTED
from tracker.studies.fitting import has_begun
from tracker.studies.parent import REMOTE, find_parent
from tracker.studies.parent_fits import other_features, parent_fault
from tracker.studies.rehearsal import Read, own_fault, smallest_network

if TYPE_CHECKING:
    from tracker.config import Config
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.schema import Column
    from tracker.datasets.split import SplitReport
    from tracker.families.family import OwnFunction
    from tracker.paths import Paths
    from tracker.studies.plan import StudyPlan


def rehearse(
    config: Config,
    paths: Paths,
    plans: Mapping[str, StudyPlan],
    own: OwnFunction | None,
    code: Mapping[str, str] | None,
    foreseen: Callable[[], Read | None],
) -> tuple[list[str], list[str]]:
    """One sentence per thing that is in the way of studies, and per thing that is odd; `foreseen` is asked if need be."""
    try:
        parent = find_parent(config, paths)
    except InputError as error:
        return list(error.faults), []
    limits = dict(_limits(plans))
    read = foreseen() if parent is not None or own is not None or limits else None
    if read is None:
        return [], []
    found, begun = dict[str, list[str]](), dict[str, list[str]]()
    for name, plan in plans.items():
        fault = None
        if parent is not None and config.model.transfer is not None:
            fault = parent_fault(plan.spec, parent, config.model.transfer.head, read, own)
            if fault is not None and has_begun(config, name, parent, code, paths):
                begun.setdefault(fault, []).append(config.place(name))
                continue
        if fault is None and own is not None and (wrong := own_fault(plan.spec, read, own)):
            fault = f"model.entry: {config.model.entry} {wrong}"
        if fault is not None:
            found.setdefault(fault, []).append(config.place(name))
    goes_on = "tuning goes on all the same, for it has begun; trials that cannot begin fail with their reason"
    other = [f"{', '.join(places)}: {fault}; {goes_on}" for fault, places in begun.items()]
    other += [told] if parent is not None and (told := other_features(parent, read)) else []
    odd = [
        f"{config.place(name)}.constraints: parameters <= {most:g} holds for no network of the space as far as its ends tell: "
        f"the smallest has {smallest:,}; raise the limit, or search smaller ones"
        for name, most in limits.items()
        if (smallest := smallest_network(plans[name].spec, read)) is not None and smallest > most
    ]
    return [f"{', '.join(places)}: {fault}" for fault, places in found.items()], [*other, *odd]


def _limits(plans: Mapping[str, StudyPlan]) -> Iterator[tuple[str, float]]:
    """The most parameters that a study allows, where its networks are ours."""
    for name, plan in plans.items():
        most = [one["most"] for one in plan.spec.constraints if one["metric"] == PARAMETERS and "most" in one]
        if most and plan.spec.family in COUNTED:
            yield name, min(most)


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
