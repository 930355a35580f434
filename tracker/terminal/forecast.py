"""What a configuration would run: columns, splits, studies, trials, time and disk; it trains nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracker.aggregation import runs_per_trial
from tracker.columns import align
from tracker.config import Refinement
from tracker.config.asked import own_metrics
from tracker.config.idle import misspelt
from tracker.config.settings import unusual
from tracker.datasets.prepare import DataReport, inspect_data
from tracker.errors import InputError
from tracker.execution.cohorts import MOST_LANES, form_cohorts
from tracker.execution.trainer import Segment, load_own
from tracker.families.costs import Cost
from tracker.families.family import open_family
from tracker.families.own_metrics import check_metrics
from tracker.goals import goal_params
from tracker.hyperparameters import FAMILIES
from tracker.paths import Paths
from tracker.records import TrialSpec
from tracker.search.samplers import open_sampler, plan_generations
from tracker.shown import counted
from tracker.studies.plan import Basis, Planner, StudyPlan, corners, plan_studies, refuse_labels, refuse_shape
from tracker.surroundings.environment import device_name
from tracker.terminal.rehearsed import foresee_read, parent_lines, rehearse
from tracker.terminal.split_foreseen import as_the_split_sees, date_faults, foresee
from tracker.training.device import CPU, require_device

if TYPE_CHECKING:
    from pathlib import Path

    from tracker.config import Config, Confirm
    from tracker.datasets.split import SplitReport

EARLY = 0.5  # share of the epochs that training takes where it may stop early
STUDY_S = (
    5.0  # on one core of 2022 (measured, as all here): libraries, data and MLflow's database, before and after a study
)
RECORD_S = 0.03  # store and MLflow, per trial
RECORD_BYTES = 160_000  # store, MLflow rows and files of one trial, its weights apart
WIDTH_PER_TEXT_COLUMN = 8  # one-hot columns assumed where only fitting would tell


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
    rows: list[tuple[str, ...]] = [("study", "sampler", "trials", "generations", "at most")]
    seconds, likely, size = 0.0, 0.0, 0
    dearest = Dearest()
    for name, plan in plans.items():
        time_s, bytes_ = _cost(plan, report, config, dearest)
        seconds, likely, size = seconds + time_s, likely + _likely(time_s, STUDY_S, config), size + bytes_
        generations = len(plan_generations(plan.spec, plan.trials))
        fits = runs_per_trial(plan.spec.runs)
        trials = str(plan.trials) if fits == 1 else f"{plan.trials} x {fits}"
        rows.append((name, plan.spec.sampler["name"], trials, str(generations), _duration(time_s)))
    if config.compare.confirm is not None:
        time_s, bytes_, runs = _confirmation(config.compare.confirm, dearest)
        usual_s = _confirmation(config.compare.confirm, dearest.usual)[0]
        seconds, likely, size = seconds + time_s, likely + _likely(usual_s, STUDY_S, config), size + bytes_
        rows.append(("compare.confirm", "manual", runs, "2", _duration(time_s)))
    yield from align(rows)
    yield from _remarks(plans, config)
    alone = not dearest.met  # no run tells what it costs
    if alone:
        what = entry or f"a network of family {config.model.family}"
        yield f"these times leave out the training itself: how long {what} takes is not known beforehand"
    total = sum(plan.trials for plan in plans.values())
    usual = "" if alone else f"about {_duration(likely)} and "
    fits = sum(plan.trials * runs_per_trial(plan.spec.runs) for plan in plans.values())
    trained = "" if fits == total else f" ({fits} trainings)"
    took = f"{usual}at most about {_duration(seconds)}"
    yield f"{counted(total, 'trial')}{trained}, {took} on one core, about {max(1, size // 10**6)} MB on disk"
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
            f"{2 * share / (1 + share):.2f}; for scores of the rarer one say data.positive: {rarest!r}"
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


@dataclass(slots=True)
class Dearest:
    """The most that one configuration costs: seconds of a whole cohort, seconds and bytes of weights of each seed."""

    cohort_s: float = 0.0
    lane_s: float = 0.0
    weights: int = 0
    met: list[tuple[float, float, int]] = field(default_factory=list)

    def meet(self, cohort_s: float, lane_s: float, weights: int) -> None:
        """Another configuration that is searched."""
        self.met.append((cohort_s, lane_s, weights))
        self.cohort_s, self.lane_s = max(self.cohort_s, cohort_s), max(self.lane_s, lane_s)
        self.weights = max(self.weights, weights)

    @property
    def usual(self) -> Dearest:
        """What the median of those that were met costs."""
        return Dearest(*(sorted(costs)[len(costs) // 2] for costs in zip(*self.met, strict=True))) if self.met else self


def _confirmation(confirm: Confirm, dearest: Dearest) -> tuple[float, int, str]:
    """Seconds and bytes if the best few are the dearest; its runs, in words.

    The best few and the defaults are trained with each seed, then the choice and the defaults with as many again.
    """
    configurations = confirm.top + 1 + 2
    runs = configurations * confirm.seeds
    together = math.ceil(confirm.seeds / MOST_LANES)
    training_s = configurations * together * dearest.cohort_s + runs * dearest.lane_s
    size = runs * (2 * dearest.weights + RECORD_BYTES)
    return STUDY_S + training_s + RECORD_S * runs, size, f"{configurations} x {confirm.seeds}"


def _cost(plan: StudyPlan, report: DataReport, config: Config, dearest: Dearest) -> tuple[float, int]:
    """Seconds if no trial stops early, and bytes of weights (twice: store and MLflow) and rows."""
    start, count = plan_generations(plan.spec, plan.trials)[0]
    planner = Planner(plan.spec)
    searched = open_sampler(plan.spec).propose(0, count, start)
    proposals = [planner.propose(number, 0, values) for number, values in enumerate(searched)]
    specs = [run for proposal in proposals for run in proposal.runs]
    features, classes = _features(report), len(report.labels)
    found = {spec.key: open_family(spec.family).cost(spec, features, classes, report.shape or ()) for spec in specs}
    costs = {key: cost for key, cost in found.items() if cost is not None}
    if len(costs) < len(found):
        return STUDY_S + RECORD_S * plan.trials, RECORD_BYTES * plan.trials
    rows = math.ceil(report.rows * _trained_share(plan, config))
    seconds = 0.0
    for cohort in form_cohorts([Segment(spec) for spec in specs], features, classes):
        taken = [_run_costs(segment.spec, costs[segment.spec.key], rows) for segment in cohort]
        seconds += taken[0][0] + sum(lane_s for _, lane_s in taken)
    for spec in specs:
        dearest.meet(*_run_costs(spec, costs[spec.key], rows), 4 * costs[spec.key].numbers)
    weights = 4 * sum(costs[spec.key].numbers for spec in specs)
    share = plan.trials / count
    return STUDY_S + seconds * share + RECORD_S * plan.trials, int((2 * weights + RECORD_BYTES * count) * share)


def _likely(at_most_s: float, fixed_s: float, config: Config) -> float:
    """Seconds that are to be expected: where training stops early, it does so after half of its epochs, or less."""
    stops = config.training.early_stopping is not None
    return fixed_s + (at_most_s - fixed_s) * (EARLY if stops else 1.0)


def _trained_share(plan: StudyPlan, config: Config) -> float:
    """Of all rows, how many a run trains on."""
    folds = plan.spec.runs.get("folds")
    if folds is None:
        return 1 - config.split.validation - config.split.test
    return (1 - config.split.test) * (1 - 1 / int(folds))


def _run_costs(spec: TrialSpec, cost: Cost, rows: int) -> tuple[float, float]:
    """Seconds that a cohort pays once, and those of the run itself."""
    epochs = int(spec.training["epochs"])
    steps_s = math.ceil(rows / int(spec.params["batch_size"])) * epochs * cost.step_s
    rows_s = epochs * rows * cost.row_s
    return (steps_s, rows_s) if cost.shared else (0.0, steps_s + rows_s)


def _features(report: DataReport) -> int:
    wide = {"categorical": WIDTH_PER_TEXT_COLUMN}
    return max(1, sum(wide.get(column.kind, 1) for column in report.columns if column.role == "feature"))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
