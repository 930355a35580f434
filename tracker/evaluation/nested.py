"""Nested cross-validation: an honest score of tuning where a table is too small for a test split.

Each outer fold of train and validation is held out once. The whole study runs on the other rows, and the model that it
chooses is scored on the fold, which had no part in choosing (Varma and Simon, BMC Bioinformatics 7, 2006; Cawley and Talbot,
JMLR 11, 2010). The study of each fold is one like any other, `nested.NAME.1of5`: stored, resumed, verified. No test row is
read.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.aggregation import RULE, spread
from tracker.config import Config, Refinement
from tracker.datasets.made_with import refuse_outdated
from tracker.errors import ConfigError, DataError, InputError, NotFoundError
from tracker.evaluation.certainty import fold_interval, mean
from tracker.evaluation.confirm_training import ConfirmTraining
from tracker.evaluation.files import read_report, write_report
from tracker.metrics import TEST
from tracker.numerics import pin_numerics
from tracker.paths import Paths
from tracker.records import StudySpec, Trial, with_rows
from tracker.seeds import derive_seed
from tracker.shapes import NESTED, entries, many, text, whole
from tracker.shown import counted, score_text, there_are

if TYPE_CHECKING:
    import pandas as pd

    from tracker.studies.parent import Fetch
    from tracker.studies.plan import StudyPlan
    from tracker.studies.result import StudyResult
    from tracker.studies.runner import Progress

FORMAT = 1  # of the report
FOLDER = "nested"  # of its reports
ENDS = {
    "loss": (0.0, math.inf),
    "neg_log_loss": (-math.inf, 0.0),
    "neg_brier_score": (-2.0, 0.0),
    "matthews_corrcoef": (-1.0, 1.0),
    "cohen_kappa": (-1.0, 1.0),
}  # the least and the most that a score can be, where that is not 0 and 1
_fold_shape = entries({"fold": whole(1), "study": text, "key": text, "trial": whole(), "rows": whole()})
REPORT = entries({"format": whole(1, FORMAT + 1), "study": text, "outer": whole(2), "folds": many(_fold_shape)})


@dataclass(frozen=True)
class Nested:
    """The scores of a study on rows that chose nothing: what `reports/nested/NAME.json` holds."""

    content: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The score, what the rows inside promised, and the choice of each fold."""
        told = self.content
        ends = told["interval"]
        between = "" if ends is None else f", 95 % interval {ends[0]:.4f} to {ends[1]:.4f}"
        value = f"{told['metric']} {score_text(told['mean'])}"
        lines = [f"nested: {told['study']} over {told['outer']} outer folds: {value}{between}"]
        if (asked := told["objective"]["metric"]) != f"val_{told['metric']}":
            lines.append(f"        {asked} is known while training alone; so {told['metric']} is told")
        if told["mean"] is not None and told["inside"] is not None:
            lines.append(f"        inside, the rows that chose promised {told['inside']:.4f} on average")
        for fold in told["folds"]:
            score = fold["scores"][told["metric"]]
            params = ", ".join(f"{name} {_short(value)}" for name, value in fold["searched"].items())
            lines.append(
                f"fold {fold['fold']}  {score_text(score)} on {counted(fold['rows'], 'row')}: "
                f"{fold['study']}/{fold['trial']} ({params or 'the defaults'})"
            )
        return lines


def nested(
    config: Config,
    name: str,
    outer: int,
    paths: Paths,
    fetch: Fetch,
    *,
    workers: int = 1,
    trust: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Nested:
    """Runs what is missing of the study on each outer fold, scores what it chose, and writes the report.

    Workers and kills change no number. Raises NotFoundError for a study that is not there, ConfigError for one that cannot be
    nested, DataError where a fold lacks a class or rows are ordered in time.
    """
    training = _training(config, name, outer, paths, workers, on_progress)
    plan = _plan(training, name, fetch)
    plans = [outer_plan(plan, fold, outer) for fold in range(1, outer + 1)]
    _require_classes(training.paths, plans)
    results = [training.study(one) for one in plans]
    content = score_results(training, results, trust)
    write_report(report_path(paths, name), content)
    return Nested(content)


def report_path(paths: Paths, name: str) -> Path:
    """Where the report of a study lies."""
    return paths.reports / FOLDER / f"{name}.json"


def nested_name(paths: Paths, name: str) -> str | None:
    """The study that `nested.STUDY` means, where there is a report of it; None for any other name."""
    study = name.removeprefix(NESTED)
    return study if study != name and report_path(paths, study).is_file() else None


def report_paths(paths: Paths) -> list[Path]:
    """The reports that are there, by name."""
    return sorted((paths.reports / FOLDER).glob("*.json"))


def read_nested(path: Path) -> dict[str, Any]:
    """A report that was written. Raises NotFoundError, InputError where it is none."""
    return read_report(path, f"`tracker nested {path.stem}` writes it again", REPORT)


def outer_plan(plan: StudyPlan, fold: int, outer: int) -> StudyPlan:
    """The same study on the rows outside of one outer fold; it has a name, a seed and so a key of its own."""
    spec = plan.spec
    own = replace(
        spec,
        name=f"{NESTED}{spec.name}.{fold}of{outer}",
        seed=derive_seed(spec.seed, "outer", fold),
        data=with_rows(spec.data, {"outer": fold, "outers": outer, "rule": RULE}),
    )
    return replace(plan, spec=own, timeout=None)  # a score of an unfinished study would be of chance


def _training(
    config: Config, name: str, outer: int, paths: Paths, workers: int, on_progress: Callable[[Progress], None]
) -> ConfirmTraining:
    if name not in config.studies:
        raise NotFoundError(f"studies.{name}: there is no such study; {there_are(name, config.studies)}")
    if isinstance(config.studies[name], Refinement):
        raise ConfigError(f"refinements.{name}: its space rests on rows of every fold; nest the study that it refines")
    if outer < 2:
        raise ConfigError(f"outer: expected 2 folds or more, found {outer}")
    if config.split.method == "time":
        raise ConfigError(
            "nested cross-validation would choose by rows that come later than those it scores; with split.method time take "
            f"studies.{name}.cross_validation, which goes forward in time"
        )
    refuse_outdated(config, paths)
    pin_numerics(config.training_of(name).numerics, os.environ, sys.modules)
    return ConfirmTraining(config, paths, workers, on_progress)


def _plan(training: ConfirmTraining, name: str, fetch: Fetch) -> StudyPlan:
    from tracker.studies.fitting import plan_fitting

    config, code = training.config, training.code
    environment = training.environment_of(name)
    return plan_fitting(
        config, name, training.data, environment, code.identity if code else None, training.paths, fetch
    )


def score_results(
    training: ConfirmTraining, results: Sequence[StudyResult], trust: str | None = None
) -> dict[str, Any]:
    """The content of the report, from the finished studies of all outer folds in order."""
    spec, outer = results[0].spec, len(results)
    objective, name = spec.objective, spec.name.split(".")[1]
    metric = objective["metric"].removeprefix("val_")
    folds = [_fold(training, fold, result, metric, trust) for fold, result in enumerate(results, 1)]
    metric = (
        metric if all(metric in fold["scores"] for fold in folds) else "f1"
    )  # another loop's own cannot be computed
    scores = [fold["scores"][metric] for fold in folds]
    interval = fold_interval(scores)
    inside = [fold["value"] for fold in folds] if objective["metric"] == f"val_{metric}" else []
    return {
        "format": FORMAT,
        "study": name,
        "outer": outer,
        "objective": dict(sorted(objective.items())),
        "metric": metric,
        "mean": mean(scores),
        "spread": spread(scores),
        "interval": None if interval is None else _possible(interval, metric),
        "inside": fmean(inside) if inside else None,
        "folds": folds,
    }


def _require_classes(paths: Paths, plans: Sequence[StudyPlan]) -> None:
    """Raises DataError where an outer fold lacks a class, before anything is trained: its score would be undefined."""
    for place, plan in enumerate(plans, 1):
        frame, schema = _outer_rows(paths, plan.spec)
        present = set(frame[schema["target"]])
        if absent := [str(label) for label in schema["labels"] if label not in present]:
            raise DataError(
                f"outer fold {place} of {len(plans)} has {counted(len(frame), 'row')} and none of class "
                f"{', '.join(absent)}; take fewer folds: --outer"
            )


def _outer_rows(paths: Paths, spec: StudySpec) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """The rows of the outer fold that a study has not seen, and the schema of the table."""
    from tracker.datasets.resampling import held_out
    from tracker.datasets.storage import read_document
    from tracker.datasets.training_data import read_split
    from tracker.remedies import run_again

    schema = read_document(paths.splits / "schema.json", "schema", run_again(paths.splits, "split"))
    parts = [read_split(paths.splits, part) for part in ("train", "validation")]
    return held_out(parts, schema, spec.data["rows"]), schema


def _fold(training: ConfirmTraining, fold: int, result: StudyResult, metric: str, trust: str | None) -> dict[str, Any]:
    """What the study of one fold chose, and how that scores on the fold."""
    best = result.best
    if best is None or best.value is None:
        raise InputError(f"{result.spec.name}: no trial is best, so nothing can be scored on its outer fold")
    rows, scores = _scores(training, result.spec, best, metric, trust)
    return {
        "fold": fold,
        "study": result.spec.name,
        "key": result.spec.key,
        "digest": result.digest,
        "trial": best.number,
        "run": best.spec.key,
        "weights": best.outcome.weights,
        "value": best.value,
        "params": dict(sorted(best.spec.params.items())),  # what comes from the store has another order
        "searched": dict(sorted(best.proposal.searched.items())),
        "rows": rows,
        "scores": scores,
    }


def _scores(
    training: ConfirmTraining, spec: StudySpec, best: Trial, metric: str, trust: str | None
) -> tuple[int, dict[str, float | None]]:
    """How many rows the outer fold has, and the scores of the chosen model on them."""
    from tracker.evaluation.chosen_model import load_chosen
    from tracker.evaluation.ranked import rank_alone
    from tracker.evaluation.scored_rows import labels_of
    from tracker.evaluation.scoring import index_labels, score_labels

    frame, _ = _outer_rows(training.paths, spec)
    actual = labels_of(frame, training.paths.splits)
    with TemporaryDirectory(prefix="tracker-") as scratch:
        folder = Path(scratch) / "model"
        training.write_model(folder, spec.key, best.spec, best.outcome)
        model = load_chosen(
            folder, rank_alone(spec.name, best), training.paths, trust or os.environ.get("TRACKER_TRUST")
        )
        probabilities = model.probabilities(frame)
    asked = best.spec.training.get("metrics", ())
    told = score_labels(actual, model.decided(probabilities), model.labels, model.positive, None, probabilities, asked)
    scores = {name: told[name] for name in TEST if name in told}
    if metric == "loss":
        truth = index_labels(actual, model.labels)
        own = probabilities[np.arange(len(truth)), truth].tolist()
        scores["loss"] = math.fsum(-math.log(max(p, 1e-300)) for p in own) / len(own)
    return len(frame), scores


def _possible(interval: tuple[float, float], metric: str) -> list[float]:
    """An interval within the scores that there are: t knows nothing of their ends."""
    least, most = ENDS.get(metric, (0.0, 1.0))
    return [max(interval[0], least), min(interval[1], most)]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
