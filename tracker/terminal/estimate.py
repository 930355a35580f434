"""How long the studies of a configuration take, with early stopping and without; what they need of disk and memory."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracker.aggregation import runs_per_trial
from tracker.execution.cohorts import MOST_LANES, form_cohorts
from tracker.execution.trainer import Segment
from tracker.families.costs import Cost
from tracker.families.family import open_family
from tracker.records import TrialSpec
from tracker.search.samplers import open_sampler, plan_generations
from tracker.shown import counted
from tracker.studies.plan import Planner, StudyPlan

if TYPE_CHECKING:
    from tracker.config import Config, Confirm
    from tracker.datasets.prepare import DataReport

HEADER = ("study", "sampler", "trials", "generations", "all epochs")
EARLY = 0.5  # share of the epochs that training takes where it may stop early
STUDY_S = (
    5.0  # on one core of 2022 (measured, as all here): libraries, data and MLflow's database, before and after a study
)
RECORD_S = 0.03  # store and MLflow, per trial
RECORD_BYTES = 160_000  # store, MLflow rows and files of one trial, its weights apart
LIBRARIES_BYTES, WORKER_BYTES = 440_000_000, 225_000_000  # a process that runs a study with its recorder; a worker more
CELL_BYTES, TUNED_CELL_BYTES = 60, 32  # of a cell of the table while it is prepared and split, and while studies run
NUMBER_BYTES = 16  # of a network: weights, gradients and two moments
WIDTH_PER_TEXT_COLUMN = 8  # one-hot columns assumed where only fitting would tell


@dataclass(slots=True)
class Estimate:
    """A line for each study; seconds if no training stops early and in all likelihood, bytes on disk and in memory.

    `known` says whether training is in it, `unless` what makes the whole of it longer than is likely.
    """

    rows: list[tuple[str, ...]] = field(default_factory=lambda: [HEADER])
    seconds: float = 0.0
    likely: float = 0.0
    size: int = 0
    memory: int = 0
    known: bool = False
    unless: list[str] = field(default_factory=list)

    def add(self, cells: tuple[str, ...], whole_s: float, likely_s: float, size: int) -> None:
        """Another study: its cells but the last, which says how long it takes if no training stops early."""
        self.rows.append((*cells, _duration(whole_s)))
        self.seconds, self.likely, self.size = self.seconds + whole_s, self.likely + likely_s, self.size + size

    def line(self, plans: Collection[StudyPlan]) -> str:
        """All of it, where these are the studies."""
        total = sum(plan.trials for plan in plans)
        fits = sum(plan.trials * runs_per_trial(plan.spec.runs) for plan in plans)
        trained = "" if fits == total else f" ({fits} trainings)"
        took = f"about {_duration(self.likely if self.known else self.seconds)} on one core"
        if self.known and _duration(self.likely) != _duration(self.seconds):
            took += f" (about {_duration(self.seconds)} if {' and '.join(self.unless)})"
        memory = f"about {_gigabytes(self.memory)} of memory, {_gigabytes(WORKER_BYTES)} more for each further worker"
        return f"{counted(total, 'trial')}{trained}: {took}, about {max(1, self.size // 10**6)} MB on disk, {memory}"


def estimate(config: Config, plans: Mapping[str, StudyPlan], report: DataReport) -> Estimate:
    """What the studies of a configuration cost, their confirmation among them."""
    found, dearest = Estimate(), Dearest()
    for name, plan in plans.items():
        time_s, bytes_ = _cost(plan, report, config, dearest)
        generations, fits = len(plan_generations(plan.spec, plan.trials)), runs_per_trial(plan.spec.runs)
        trials = str(plan.trials) if fits == 1 else f"{plan.trials} x {fits}"
        cells = (name, plan.spec.sampler["name"], trials, str(generations))
        found.add(cells, time_s, _likely(time_s, STUDY_S, config), bytes_)
    if (confirm := config.compare.confirm) is not None:
        time_s, bytes_, runs = _confirmation(confirm, dearest)
        usual_s = _confirmation(confirm, dearest.usual)[0]
        found.add(("compare.confirm", "manual", runs, "2"), time_s, _likely(usual_s, STUDY_S, config), bytes_)
    found.known = bool(dearest.met)
    found.unless += ["no training stops early"] * (config.training.early_stopping is not None)
    found.unless += ["the largest are confirmed"] * (config.compare.confirm is not None)
    found.memory = _memory(report, dearest.together)
    return found


def _memory(report: DataReport, numbers: int) -> int:
    """Bytes of the stage that needs the most: while rows are prepared and split, or while so many numbers are trained at once.

    What lies between the layers of a network, a batch long, is not counted.
    """
    cells = report.rows * len(report.columns)
    return max(CELL_BYTES * cells, LIBRARIES_BYTES + TUNED_CELL_BYTES * cells + NUMBER_BYTES * numbers)


@dataclass(slots=True)
class Dearest:
    """The most that one configuration costs: seconds of a whole cohort, seconds and bytes of weights of each seed.

    `together` is how many numbers of networks are trained at once.
    """

    cohort_s: float = 0.0
    lane_s: float = 0.0
    weights: int = 0
    together: int = 0
    met: list[tuple[float, float, int]] = field(default_factory=list)

    def meet(self, cohort_s: float, lane_s: float, weights: int) -> None:
        """Another configuration that is searched."""
        self.met.append((cohort_s, lane_s, weights))
        self.cohort_s, self.lane_s = max(self.cohort_s, cohort_s), max(self.lane_s, lane_s)
        self.weights = max(self.weights, weights)

    @property
    def usual(self) -> Dearest:
        """What the median of those that were met costs."""
        if not self.met:
            return self
        cohort_s, lane_s, weights = (sorted(costs)[len(costs) // 2] for costs in zip(*self.met, strict=True))
        return Dearest(cohort_s, lane_s, weights)


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
        dearest.together = max(dearest.together, sum(costs[segment.spec.key].numbers for segment in cohort))
    for spec in specs:
        dearest.meet(*_run_costs(spec, costs[spec.key], rows), 4 * costs[spec.key].numbers)
    weights = 4 * sum(costs[spec.key].numbers for spec in specs)
    share = plan.trials / count
    return STUDY_S + seconds * share + RECORD_S * plan.trials, int((2 * weights + RECORD_BYTES * count) * share)


def _likely(whole_s: float, fixed_s: float, config: Config) -> float:
    """Seconds that are to be expected: where training stops early, it does so after half of its epochs, or less."""
    stops = config.training.early_stopping is not None
    return fixed_s + (whole_s - fixed_s) * (EARLY if stops else 1.0)


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


def _gigabytes(size: int) -> str:
    return f"{math.ceil(size / 10**8) / 10:.1f} GB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
