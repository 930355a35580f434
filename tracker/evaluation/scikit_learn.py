"""What scikit-learn gives for the metrics that a study asked for: ours of the test rows must agree with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError

Places = NDArray[np.int64]


def require_agreement(
    found: Mapping[str, float | None],
    truth: Places,
    call: Places,
    probabilities: NDArray[np.floating] | None,
    positive: int | None,
) -> None:
    """Raises TrackerError where a score is not scikit-learn's to 1e-9, which adds up in another order."""
    for name in [name for name, value in found.items() if value is not None]:
        theirs = by_scikit_learn(name, truth, call, probabilities, positive)
        if theirs is not None and not math.isclose(theirs, found[name] or 0.0, abs_tol=1e-9):
            raise TrackerError(f"{name}: scikit-learn gives {theirs}, tracker.metrics {found[name]}; report this")


def by_scikit_learn(
    name: str, truth: Places, call: Places, probabilities: NDArray[np.floating] | None, positive: int | None
) -> float | None:
    """A metric of true and called places (rows,) and probabilities (rows, classes); None where it has none of that name.

    Its log loss divides by the sum of a row's probabilities, which of float32 is not 1 to the last digit: that is left out.
    """
    stem, _, number = name.rpartition("_")
    if score := OF_LABELS.get(stem) or OF_LABELS.get(name):
        return float(score(truth, call, positive, number))
    if probabilities is None or (name not in OF_PROBABILITIES and stem not in OF_PROBABILITIES):
        return None
    rows = Rows(truth, np.asarray(probabilities, dtype=np.float64), positive)
    return float((OF_PROBABILITIES.get(name) or OF_PROBABILITIES[stem])(rows, number))


@dataclass(frozen=True, slots=True)
class Rows:
    """True places (rows,), probabilities (rows, classes), the place of the positive class or None."""

    truth: Places
    probabilities: NDArray[np.float64]
    positive: int | None

    def each(self, score: Callable[..., Any]) -> float:
        """The score of the positive class, or the mean over all, each against the rest."""
        scored = range(self.probabilities.shape[1]) if self.positive is None else [self.positive]
        return math.fsum(float(score(self.truth == c, self.probabilities[:, c])) for c in scored) / len(scored)

    def brier(self) -> float:
        """Of the positive class, or the sum over all."""
        from sklearn.metrics import brier_score_loss

        mean = self.each(lambda is_class, given: brier_score_loss(is_class, np.clip(given, 0.0, 1.0)))
        return -mean * (1 if self.positive is not None else self.probabilities.shape[1])


def _fbeta(truth: Places, call: Places, positive: int | None, beta: str) -> Any:
    from sklearn.metrics import fbeta_score

    scored = None if positive is None else [positive]
    return fbeta_score(truth, call, beta=float(beta), labels=scored, average="macro", zero_division=np.nan)


def _labels(name: str) -> Callable[..., Any]:
    def score(truth: Places, call: Places, *_: Any) -> Any:
        from sklearn import metrics

        return getattr(metrics, name)(truth, call)

    return score


def _order(name: str) -> Callable[..., Any]:
    def score(rows: Rows, _: str) -> Any:
        from sklearn import metrics

        return rows.each(getattr(metrics, name))

    return score


def _top_k(rows: Rows, k: str) -> Any:
    from sklearn.metrics import accuracy_score, top_k_accuracy_score

    classes = rows.probabilities.shape[1]
    if classes == 2:  # where scikit-learn wants one column
        ones = (rows.probabilities[:, 1] >= rows.probabilities[:, 0]).astype(np.int64)
        return 1.0 if int(k) > 1 else accuracy_score(rows.truth, ones)
    return top_k_accuracy_score(rows.truth, rows.probabilities, k=int(k), labels=range(classes))


OF_LABELS: Mapping[str, Callable[..., Any]] = {
    "fbeta": _fbeta,
    "matthews_corrcoef": _labels("matthews_corrcoef"),
    "cohen_kappa": _labels("cohen_kappa_score"),
}
OF_PROBABILITIES: Mapping[str, Callable[..., Any]] = {
    "average_precision": _order("average_precision_score"),
    "roc_auc": _order("roc_auc_score"),
    "neg_brier_score": lambda rows, _: rows.brier(),
    "top_k_accuracy": _top_k,
}
