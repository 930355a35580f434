"""What a configuration would run: columns, splits, studies, trials, time, disk and memory; it trains nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tracker.columns import align
from tracker.config import Refinement
from tracker.config.asked import own_metrics
from tracker.config.idle import misspelt
from tracker.config.settings import unusual
from tracker.config.written import scalar
from tracker.datasets.prepare import DataReport, inspect_data
from tracker.errors import InputError
from tracker.execution.trainer import load_own
from tracker.families.own_metrics import check_metrics
from tracker.goals import goal_params
from tracker.hyperparameters import FAMILIES
from tracker.paths import Paths
from tracker.search.samplers import plan_generations
from tracker.shown import counted
from tracker.studies.plan import Basis, StudyPlan, corners, plan_studies, refuse_labels, refuse_shape
from tracker.surroundings.environment import device_name
from tracker.terminal.estimate import estimate
from tracker.terminal.rehearsed import foresee_read, parent_lines, rehearse
from tracker.terminal.split_foreseen import as_the_split_sees, date_faults, foresee
from tracker.training.device import CPU, require_device

if TYPE_CHECKING:
    from pathlib import Path

    from tracker.config import Config
    from tracker.datasets.split import SplitReport


def forecast(config: Config, paths: Paths, pictures: Path | None = None) -> Iterator[str]:
    """Lines for people; images and sequences are drawn into the folder `pictures`, nothing else is written.

    Raises InputError with every fault of the table; then, behind its columns, of split and studies.
    """
    frame, columns, report = inspect_data(config.data, config.preprocessing, paths.root)
    entry = config.model.entry
    code, own = (None, None) if entry is None else load_own(paths.root, config.model.family, entry)
    split, faults = foresee(config, paths, frame, columns, report)
    report = as_the_split_sees(report, config.split, faults)
    identity = code.identity if code else None
    plans, misfits = _planned(config, paths, report, identity)
    slips = misspelt(config, "\n".join(code.texts.values())) if code else ()
    wrong, odd = rehearse(
        config, paths, plans, own, identity, lambda: foresee_read(config, frame, columns, report, split)
    )
    yield from report.lines()
    yield from (f"warning: {warning}" for warning in (*class_warnings(config, report), *unusual(config), *slips, *odd))
    if split is not None:
        yield from ["", *split.lines()]
    if faults := [*date_faults(paths), *faults, *misfits, *wrong]:
        raise InputError(faults)
    if pictures is not None and split is not None and report.shape is not None:
        path = _draw(config, frame, report, split, plans.values(), pictures)
        yield f"some rows of train as pictures: {path.relative_to(paths.root)}"
    yield ""
    costs = estimate(config, plans, report)
    yield from align(costs.rows)
    yield from _remarks(plans, config)
    if not costs.known:
        what = entry or f"a network of family {config.model.family}"
        yield f"these times leave out the training itself: how long {what} takes is not known beforehand"
    yield costs.line(plans.values())
    yield "these are estimates, measured on one machine, and no limits: another may take several times as long"
    yield f"chosen by {config.objective.metric} ({config.objective.direction}); looks allowed: {config.compare.test_looks}"
    for name, spec in ((name, plan.spec) for name, plan in plans.items()):
        told = goal_params(spec.objectives, spec.constraints)
        words = [told["objectives"], told["constraints"] and f"only a trial with {told['constraints']} can be chosen"]
        yield from (f"{name}: {one}" for one in words if one)


def _planned(
    config: Config, paths: Paths, report: DataReport, code: Mapping[str, str] | None
) -> tuple[dict[str, StudyPlan], list[str]]:
    """The plan of each study, or what does not fit in them: devices, classes, shapes of rows."""
    try:
        for device in _devices(config):
            require_device(device)
        metrics = check_metrics(paths.root, own_metrics(config))
        plans = plan_studies(config, Basis({}, "forecast", code, metrics=metrics), None)
        refuse_labels(plans.values(), list(report.labels))
        refuse_shape(plans.values(), report.shape or ())
    except InputError as error:
        return {}, list(error.faults)
    return plans, []


def _draw(
    config: Config, frame: Any, report: DataReport, split: SplitReport, plans: Iterable[StudyPlan], folder: Path
) -> Path:
    """A picture of training rows, and of what the strongest augmentation of any study makes of them."""
    from tracker.reporting.samples import Rows, draw_samples, strongest, take_samples

    features = [column.column for column in report.columns if column.role == "feature"]
    train = Rows(frame.iloc[split.train], config.data.target, features, report.shape or (), report.mask)
    augmentation = strongest([next(iter(corners(plan.spec)), {}) for plan in plans])
    return draw_samples(take_samples(train, augmentation, config.preprocessing, config.seed), folder)


def _devices(config: Config) -> list[str]:
    """The devices on which studies train."""
    return list(dict.fromkeys(config.training_of(name).device for name in config.studies))


def _remarks(plans: Mapping[str, StudyPlan], config: Config) -> Iterator[str]:
    """What is to be said of studies: another device, configurations that repeat, what is not known yet."""
    yield from parent_lines(config)
    yield from (
        f"trained on {device_name(device)}, in the time of which these estimates know nothing"
        for device in _devices(config)
        if device != CPU
    )
    yield from (
        f"warning: {name}: {counted(plan.trials, 'trial')}, {counted(plan.distinct, 'distinct configuration')}: the "
        "others repeat them with other seeds; search more, or say repeats, which gives each configuration several"
        for name, plan in plans.items()
        if plan.distinct
    )
    yield from (
        f"warning: {name}: stop.plateau never ends it: {counted(plan.spec.stop['plateau'], 'generation')} without a better "
        f"value do not come in {count}; take fewer, or say generation, how many trials one has"
        for name, plan in plans.items()
        if (count := len(plan_generations(plan.spec, plan.trials))) <= plan.spec.stop.get("plateau", 0)
    )
    yield from (
        f"{name} searches what the best {study.keep:.0%} of {study.refine} leave of its space; "
        "its time is that of the whole space"
        for name, study in config.studies.items()
        if isinstance(study, Refinement)
    )


def class_warnings(config: Config, report: DataReport) -> Iterator[str]:
    """What to set where the positive class is the majority, or has under 10 % of the rows."""
    positive = report.positive
    if positive is None:
        return
    share = report.labels[positive] / report.rows
    if share > 0.5 and config.data.positive is None:
        rarest = min(report.labels, key=lambda label: report.labels[label])
        yield (
            f"the positive class {positive!r} is {share:.0%} of the rows: always saying so has F1 "
            f"{2 * share / (1 + share):.2f}; for scores of the rarer one say data.positive: {scalar(rarest)}"
        )
    if share < 0.1 and (wanted := list(_unset(config))):
        yield f"the positive class {positive!r} is {share:.1%} of the rows; consider {', '.join(wanted)}"


def _unset(config: Config) -> Iterator[str]:
    """What helps a rare class and is not set."""
    spaces = [config.hyperparameters, *(config.space_of(name) for name in config.studies)]
    if "class_weights" in FAMILIES[config.model.family].knobs and not any("class_weights" in one for one in spaces):
        yield "search_space.class_weights: [none, balanced]"
    if config.decision.threshold == "argmax":
        yield "decision.threshold: validation"
    if config.objective.metric in {"val_accuracy", "val_f1"}:
        yield "objective.metric: val_average_precision"
