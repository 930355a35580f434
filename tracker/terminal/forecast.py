"""Turns a configuration into what would run: columns, splits, studies, trials, time and disk; it runs none of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracker.datasets.prepare import DataReport, align, inspect_data
from tracker.execution.cohorts import form_cohorts
from tracker.hyperparameters import OWN_CODE
from tracker.models.mlp import shape_of
from tracker.paths import Paths
from tracker.records import TrialSpec
from tracker.search.samplers import open_sampler, plan_generations
from tracker.studies.plan import StudyPlan, plan_studies, propose_trial
from tracker.training.trainers import load_loop

if TYPE_CHECKING:
    from tracker.config import Config

STEP_S = (
    5e-4  # what a training step of a cohort costs before any arithmetic, on one core of 2022 (measured, as all here)
)
FLOPS = 1e10  # float32 operations a second of one such core at these sizes
STUDY_S = 5.0  # libraries, data and MLflow's database, before and after a study
RECORD_S = 0.03  # store and MLflow, per trial
RECORD_BYTES = 160_000  # store, MLflow rows and files of one trial, its weights apart
WIDTH_PER_TEXT_COLUMN = 8  # one-hot columns assumed where only fitting would tell


def forecast(config: Config, paths: Paths) -> Iterator[str]:
    """Lines for people. Raises InputError with every fault of the table and of the studies."""
    report = inspect_data(config.data, config.preprocessing, paths.root)[2]
    entry = config.model.entry
    code = None if entry is None else load_loop(paths.root, entry)[0].identity
    plans = plan_studies(config, {}, "forecast", code)
    yield from report.lines()
    yield ""
    rows: list[tuple[str, ...]] = [("study", "sampler", "trials", "generations", "at most")]
    seconds, size = 0.0, 0
    for name, plan in plans.items():
        time_s, bytes_ = _cost(plan, report, config)
        seconds, size = seconds + time_s, size + bytes_
        generations = len(plan_generations(plan.spec, plan.trials))
        rows.append((name, plan.spec.sampler["name"], str(plan.trials), str(generations), _duration(time_s)))
    yield from align(rows)
    if entry is not None:
        yield f"these times leave out the training itself: how long {entry} takes is not known beforehand"
    total = sum(plan.trials for plan in plans.values())
    yield f"{total} trials, at most about {_duration(seconds)} on one core, about {max(1, size // 10**6)} MB on disk"
    yield f"chosen by {config.objective.metric} ({config.objective.direction}); looks allowed: {config.compare.test_looks}"


def _cost(plan: StudyPlan, report: DataReport, config: Config) -> tuple[float, int]:
    """Seconds if no trial stops early, and bytes of weights (twice: store and MLflow) and rows."""
    start, count = plan_generations(plan.spec, plan.trials)[0]
    searched = open_sampler(plan.spec).propose(0, count, start)
    specs = [propose_trial(plan.spec, number, 0, values).spec for number, values in enumerate(searched)]
    if plan.spec.family in OWN_CODE:
        return STUDY_S + RECORD_S * plan.trials, RECORD_BYTES * plan.trials
    features, classes = _features(report), len(report.labels)
    rows = math.ceil(report.rows * (1 - config.split.validation - config.split.test))
    seconds = sum(_cohort_s(cohort, features, classes, rows) for cohort in form_cohorts(specs, features, classes))
    weights = sum(4 * shape_of(spec, features, classes).numbers for spec in specs)
    share = plan.trials / count
    return STUDY_S + seconds * share + RECORD_S * plan.trials, int((2 * weights + RECORD_BYTES * count) * share)


def _cohort_s(cohort: list[TrialSpec], features: int, classes: int, rows: int) -> float:
    shape, epochs = shape_of(cohort[0], features, classes), cohort[0].training["epochs"]
    steps = math.ceil(rows / shape.batch_size) * epochs
    return float(steps * STEP_S + len(cohort) * epochs * rows * 6 * shape.numbers / FLOPS)


def _features(report: DataReport) -> int:
    wide = {"categorical": WIDTH_PER_TEXT_COLUMN}
    return max(1, sum(wide.get(column.kind, 1) for column in report.columns if column.role == "feature"))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
