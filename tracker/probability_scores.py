"""What class probabilities are worth by themselves, row by row: log loss, Brier score, whether the class is among the top k.

Each takes the true places (rows,), the probabilities (rows, classes) and the place of the positive class (None: none), and
gives None where there are no rows. Values and the order of equal probabilities are scikit-learn's; sums are exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def neg_log_loss(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], positive: int | None = None
) -> float | None:
    """The mean logarithm of the probability of the true class, 0 at best; none counts as less than float32 can tell from 0.

    `val_loss` is its negative, but for that bound and for rounding.
    """
    import numpy as np

    del positive
    if not len(truth):
        return None
    least = float(np.finfo(np.float32).eps)
    given = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return math.fsum(map(math.log, np.clip(given, least, 1 - least).tolist())) / len(truth)


def neg_brier_score(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], positive: int | None = None
) -> float | None:
    """Minus the mean squared error of the positive class's probability, else of all classes', summed; 0 at best."""
    import numpy as np

    if not len(truth):
        return None
    given = probabilities.astype(np.float64)
    errors = given - (np.arange(given.shape[1]) == np.asarray(truth)[:, None])
    if positive is not None:
        errors = errors[:, [positive]]
    return -math.fsum((errors**2).ravel().tolist()) / len(truth)


def top_k_accuracy(truth: NDArray[np.int64], probabilities: NDArray[np.floating], k: int) -> float | None:
    """The share of rows whose class is among the `k` most probable ones; of equal ones the later class comes first."""
    import numpy as np

    if not len(truth):
        return None
    best = np.argsort(probabilities, axis=1, kind="stable")[:, ::-1][:, :k]
    return int((best == np.asarray(truth)[:, None]).sum()) / len(truth)
