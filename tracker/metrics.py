"""THE table of metrics: what each is called, whether it is to be high or low, its formula, its 95 % interval over rows.

Everybody who lists metrics, sorts by one or computes one reads it, so a new metric is one row and its formula, here.

Scores of labels and their intervals follow from a confusion matrix (`tracker.confusion`); where rows come in clusters it is
that of fewer rows, by the design effect (`tracker.design_effects`). What is `asked` is computed where a study asks for it,
and nowhere else. A score of the order of class probabilities (`tracker.separation`) over more classes is the mean of each
class against the rest, without an interval. A name may end in a number: `fbeta_2` is F-beta with beta 2. An interval speaks
of other rows of the same kind, not of other trainings, and it knows nothing of choosing among trials.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

from tracker import confusion
from tracker.confusion import Confusion, Interval, count_confusion, mean_of, wilson
from tracker.probability_scores import neg_brier_score, neg_log_loss, top_k_accuracy
from tracker.separation import Cuts, average_precision, average_precision_rows, roc_auc, roc_auc_rows
from tracker.shown import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction = Literal["maximize", "minimize"]
FEW_GROUPS = 5  # a class that fewer groups have is named where scores are told
MOST_NAMED = 8  # of these classes, those of the fewest groups


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table.

    `needs` says what it is computed from: the training's own loss, or a confusion matrix, for which there is a `formula`
    and, where an honest one is known, an `interval`, or the class probabilities: then `separates` gives the score of one
    class against the rest, and `rows` what its interval rests on, or `judges` takes truth, probabilities and positive class.
    One that is `per_class` is of the positive class, or the mean over classes, and reports tell it of each class too. `test`
    says whether it is part of a test result, `asked` whether it is there only where a study asks for it. `added` marks what
    came to every study later: only such a metric may be absent from what an earlier release recorded. One that is a
    `proportion` lies between 0 and 1. Of fewer than `least_classes` it is 1, whatever a model says.
    """

    name: str
    direction: Direction
    needs: Literal["loss", "confusion", "probabilities"]
    formula: Callable[[Confusion], float | None] | None = None
    interval: Callable[[Confusion], Interval | None] | None = None
    per_class: bool = False
    test: bool = False
    asked: bool = False
    added: bool = False
    proportion: bool = True
    separates: Callable[[Cuts], float | None] | None = None
    rows: Callable[[Cuts, Sequence[int] | None], float | None] | None = None
    judges: Callable[[NDArray[np.int64], NDArray[np.floating], int | None], float | None] | None = None
    least_classes: int = 2


@cache
def metric_of(name: str) -> Metric | None:
    """The metric of that name, `f1` or, with its number, `fbeta_2`; None where the table has none."""
    stem, _, number = name.rpartition("_")
    if name in METRICS or stem not in WITH_NUMBER or not re.fullmatch(WITH_NUMBER[stem].numbers, number):
        return METRICS.get(name)
    return WITH_NUMBER[stem].make(name, number)


def is_asked(name: str) -> bool:
    """Whether it is a metric of the table that is there only where a study asks for it."""
    metric = metric_of(name)
    return metric is not None and metric.asked


def asked_of(names: Iterable[str]) -> list[str]:
    """The metrics that somebody asked for, in the order in which they are shown, from names such as `val_roc_auc`."""
    return in_order(bare for name in names if name.startswith("val_") and is_asked(bare := name.removeprefix("val_")))


def in_order(names: Iterable[str]) -> list[str]:
    """Those of the names that are metrics of the table, each once, in the order in which they are shown."""
    places = {name: place for place, name in enumerate([*METRICS, *WITH_NUMBER])}

    def place(name: str) -> tuple[int, float]:
        stem, _, number = name.rpartition("_")
        return (places[name], 0.0) if name in places else (places[stem], float(number))

    return sorted({name for name in names if metric_of(name)}, key=place)


def tested(names: Iterable[str]) -> list[str]:
    """Those of the names that are metrics of a test result, in the order in which they are shown."""
    return [metric.name for metric in _rows_of(in_order(names)) if metric.test]


def led_by(objective: str | None, names: Iterable[str], told: Iterable[str]) -> list[str]:
    """The names of test scores with the objective's first, `recall` for `val_recall`, where it is among those that are told."""
    first = (objective or "").removeprefix("val_")
    return list(dict.fromkeys([*({first} & set(told)), *names]))


def seeds_line(seeds: Mapping[str, Any], objective: str | None) -> str:
    """What the same configuration scores on these test rows with other seeds, in a line: the objective's score first."""
    names = [name for name in seeds if name in {"accuracy", "f1"} or is_asked(name)]
    found = {name: seeds[name] for name in led_by(objective, names, seeds)}
    each = [
        f"{name} {told['mean']:.4f} ± {told['sd']:.4f}"
        for name, told in found.items()
        if None not in (told["mean"], told["sd"])
    ]
    over = counted(len(seeds["keys"]), "seed")
    return f"over {over}, on the same rows (mean ± sd): {', '.join(each) or 'undefined'}"


def group_lines(test: Mapping[str, Any]) -> list[str]:
    """What the intervals of a `test` count where its rows stay together, and which classes few groups have; else nothing.

    Results of earlier releases do not tell how many groups have a class.
    """
    if "clusters" not in test:
        return []
    lines = [f"intervals count the {test['clusters']} groups of rows that stay together, not the rows"]
    few = [
        (n, label) for label, n in zip(test["labels"], test.get("class_clusters", ()), strict=False) if n < FEW_GROUPS
    ]
    if few:
        fewest = sorted(few)[:MOST_NAMED]
        told = ", ".join(f"{label!r} in {n or 'none'}" for n, label in few if (n, label) in fewest)
        told += f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else ""
        alone = "; precision and recall of a class in fewer than two have no interval" if min(few)[0] < 2 else ""
        lines.append(f"of {test['clusters']} groups few have rows of a class and say little of it: {told}{alone}")
    return lines


def how_asked() -> str:
    """The metrics that a study may ask for, in words."""
    return ", ".join([*ASKED, *(f"{stem}_{one.example} ({one.words})" for stem, one in WITH_NUMBER.items())])


def numbered() -> list[str]:
    """An example of each metric whose name ends in a number."""
    return [f"{stem}_{one.example}" for stem, one in WITH_NUMBER.items()]


def needs_number(name: str) -> str | None:
    """What is wrong with the name of a metric that wants a number and has none that fits; None where nothing is."""
    stem = next((stem for stem in WITH_NUMBER if name == stem or name.startswith(f"{stem}_")), None)
    if stem is None or metric_of(name):
        return None
    return f"{stem} wants {WITH_NUMBER[stem].words} at its end, as in {stem}_{WITH_NUMBER[stem].example}"


def scores(
    cells: NDArray[np.int64], positive: int | None, names: Iterable[str] | None = None
) -> dict[str, float | None]:
    """Metrics of a confusion matrix (rows: truth, columns: prediction) by name; None where one is undefined.

    Without `names` those that every study has. Those of single classes are of class `positive`, or the unweighted mean over
    all classes where it is None.
    """
    confusion = Confusion.of(cells, positive)
    return {metric.name: metric.formula(confusion) for metric in _rows_of(names) if metric.formula}


def score_intervals(
    cells: NDArray[np.int64],
    positive: int | None,
    effects: Mapping[str, float | None] | None = None,
    names: Iterable[str] | None = None,
) -> dict[str, Interval | None]:
    """95 % intervals of what `scores` gives for the same arguments; None where the score is, or no interval is known.

    `effects` are the design effects of rows that come in clusters (`tracker.design_effects`): so many rows count as one.
    """
    confusion = Confusion.of(cells, positive)
    return {metric.name: _interval(metric, confusion, effects) for metric in _rows_of(names) if metric.formula}


def _rows_of(names: Iterable[str] | None) -> list[Metric]:
    return [metric for name in (SCORES if names is None else names) if (metric := metric_of(name)) is not None]


def _interval(metric: Metric, confusion: Confusion, effects: Mapping[str, float | None] | None) -> Interval | None:
    effect = 1.0 if effects is None else effects.get(metric.name)
    return metric.interval(confusion.thinned(effect)) if metric.interval and effect is not None else None


def separation_scores(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], positive: int | None, names: Iterable[str]
) -> dict[str, float | None]:
    """These metrics of class probabilities (rows, classes) and true places (rows,), of a class or the mean over all."""
    found, cuts = dict[str, float | None](), list[Cuts]()
    for metric in _rows_of(names):
        if metric.separates is not None:
            cuts = cuts or _cuts(truth, probabilities, positive)
            found[metric.name] = mean_of([metric.separates(one) for one in cuts])
        elif metric.judges is not None:
            found[metric.name] = metric.judges(truth, probabilities, positive)
    return found


def asked_scores(
    truth: NDArray[np.int64],
    call: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    positive: int | None,
    names: Iterable[str],
) -> dict[str, float | None]:
    """These metrics, of labels or of probabilities, from true and called places (rows,) and probabilities (rows, classes)."""
    wanted = in_order(names)
    cells = count_confusion(truth, call, probabilities.shape[1])
    found = scores(cells, positive, wanted) | separation_scores(truth, probabilities, positive, wanted)
    return {name: found[name] for name in wanted if name in found}


def separation_intervals(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    positive: int | None,
    names: Iterable[str],
    clusters: Sequence[int] | None = None,
) -> dict[str, Interval | None]:
    """95 % intervals of what `separation_scores` gives; None where that is, and for a mean over classes.

    Where rows come in `clusters` (a number per row) they count these, and there is none where a class is in one alone.
    """
    told = [metric for metric in _rows_of(names) if metric.separates or metric.judges]
    cuts = _cuts(truth, probabilities, positive) if any(metric.separates for metric in told) else []
    return {metric.name: _separation_interval(cuts[0], metric, clusters) if len(cuts) == 1 else None for metric in told}


def _cuts(truth: NDArray[np.int64], probabilities: NDArray[np.floating], positive: int | None) -> list[Cuts]:
    scored = range(probabilities.shape[1]) if positive is None else (positive,)
    return [Cuts.of(truth == place, probabilities[:, place]) for place in scored]


def _separation_interval(cuts: Cuts, metric: Metric, clusters: Sequence[int] | None) -> Interval | None:
    if metric.separates is None or metric.rows is None:
        return None
    score = metric.separates(cuts)
    rows = None if score is None else metric.rows(cuts, clusters)
    return None if score is None or rows is None else wilson(score * rows, rows)


def name_fault(name: str) -> str | None:
    """Why a loop of the user's own may not yield a metric of this name; None where it may. MLflow takes these names too."""
    if not _NAME.fullmatch(name) or len(name) > 100:
        return (
            "is no name of a metric; it has letters, digits, _ . and -, in parts that / separates (at most 100), "
            "such as val_loss or val/loss"
        )
    if name in {"epoch", "model", "confusion_matrix"}:
        return "is no metric but has a meaning of its own; give it another name"
    if name.startswith("best_"):
        return "begins with best_, as the numbers of the kept epoch do in MLflow; give it another name"
    return None


def direction_of(name: str) -> Direction:
    """Whether a metric is to be high or low, `f1` or `val_f1`; of any other that a user's loop yields, a loss is to be low."""
    if known := metric_of(re.sub("^(train|val|test)_", "", name)):
        return known.direction
    return "minimize" if name.endswith("loss") else "maximize"


def told_once(one: Iterable[str], other: Iterable[str]) -> set[str]:
    """The names of our metrics, as a history or a test result has them, that one side has and the other has not.

    The side without was written by a release that had no such metric, so the two do not differ by it.
    """
    later = {place for metric in METRICS.values() if metric.added for place in (metric.name, f"val_{metric.name}")}
    return (set(one) ^ set(other)) & later


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_TABLE = (
    Metric("loss", "minimize", needs="loss", proportion=False),
    Metric("accuracy", "maximize", "confusion", confusion.accuracy, confusion.accuracy_interval, test=True),
    Metric(
        "balanced_accuracy",
        "maximize",
        "confusion",
        confusion.balanced_accuracy,
        confusion.balanced_accuracy_interval,
        test=True,
        added=True,
    ),
    Metric(
        "precision",
        "maximize",
        "confusion",
        confusion.precision,
        confusion.precision_interval,
        per_class=True,
        test=True,
    ),
    Metric("recall", "maximize", "confusion", confusion.recall, confusion.recall_interval, per_class=True, test=True),
    Metric("f1", "maximize", "confusion", confusion.f1, confusion.f1_interval, per_class=True, test=True),
    Metric(
        "average_precision",
        "maximize",
        "probabilities",
        test=True,
        asked=True,
        separates=average_precision,
        rows=average_precision_rows,
    ),
    Metric("roc_auc", "maximize", "probabilities", test=True, asked=True, separates=roc_auc, rows=roc_auc_rows),
    Metric(
        "matthews_corrcoef",
        "maximize",
        "confusion",
        confusion.matthews_corrcoef,
        test=True,
        asked=True,
        proportion=False,
    ),
    Metric("cohen_kappa", "maximize", "confusion", confusion.cohen_kappa, test=True, asked=True, proportion=False),
    Metric("neg_log_loss", "maximize", "probabilities", test=True, asked=True, judges=neg_log_loss, proportion=False),
    Metric(
        "neg_brier_score", "maximize", "probabilities", test=True, asked=True, judges=neg_brier_score, proportion=False
    ),
)


@dataclass(frozen=True, slots=True)
class WithNumber:
    """Metrics of one formula whose name ends in a number: which `numbers` (a pattern), in words, one of them, the row."""

    numbers: str
    words: str
    example: str
    make: Callable[[str, str], Metric]


def _with_beta(name: str, number: str) -> Metric:
    beta = float(number)
    formula, interval = partial(confusion.fbeta, beta=beta), partial(confusion.fbeta_interval, beta=beta)
    return Metric(name, "maximize", "confusion", formula, interval, test=True, asked=True)


def _with_k(name: str, number: str) -> Metric:
    def judge(truth: NDArray[np.int64], probabilities: NDArray[np.floating], _: int | None) -> float | None:
        return top_k_accuracy(truth, probabilities, int(number))

    return Metric(name, "maximize", "probabilities", test=True, asked=True, judges=judge, least_classes=int(number) + 1)


WITH_NUMBER: Mapping[str, WithNumber] = {
    "fbeta": WithNumber(r"[1-9]\d{0,2}|(0|[1-9]\d{0,2})\.\d{0,3}[1-9]", "its beta", "2", _with_beta),
    "top_k_accuracy": WithNumber(r"[1-9]\d{0,5}", "its k", "3", _with_k),
}
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _TABLE}  # in the order in which they are shown
VALIDATION = tuple(f"val_{name}" for name in METRICS)
CURVES = (*(f"train_{metric.name}" for metric in _TABLE if metric.needs == "loss"), *VALIDATION)  # of every epoch
ASKED = tuple(metric.name for metric in _TABLE if metric.asked)  # where a study asks for them
SCORES = tuple(metric.name for metric in _TABLE if metric.formula and not metric.asked)
TEST = tuple(metric.name for metric in _TABLE if metric.test)
