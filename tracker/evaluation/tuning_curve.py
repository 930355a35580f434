"""How good the best of n random trials is to be expected to be, with an exact band: what another budget would have given.

Trials of random search are independent draws, so their scores are a sample, and the best of n has a mean that depends on the
distribution of scores alone. A simultaneous band for that distribution gives one for the means of all n at once (Lourie, Cho
and He 2024, "Show Your Work with Confidence"). The band here has equal tails: the i-th smallest of N scores has a level with
a Beta(i, N + 1 - i) distribution, and all lie between the same two quantiles of theirs with 95 % probability (Aldor-Noiman
et al. 2013, The American Statistician 67). That probability is computed, not simulated, by counting points along [0, 1]
(Moscovich and Nadler 2017, Statistics & Probability Letters 123), so the band is exact for any continuous distribution, and
too wide rather than too narrow where scores are equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
MOST = 1000  # scores of one curve: the first ones of a longer study are draws like the others


@dataclass(frozen=True, slots=True)
class TuningCurve:
    """The expected best of 1, 2 ... N trials (trials,), and the ends of a band that holds all of them with 95 %."""

    best: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def tuning_curve(scores: Sequence[float]) -> TuningCurve:
    """The curve of independent scores from 0 to 1, of which the highest is best; a failed trial counts as 0.

    The estimate is the mean over all choices of n of the scores, which has no bias.
    """
    import numpy as np

    x = np.sort(np.asarray(scores[:MOST], dtype=np.float64).clip(0.0, 1.0))
    lowest, highest = level_band(len(x))
    budgets, steps = np.arange(1, len(x) + 1), np.diff(x, prepend=0.0, append=1.0)
    low = 1.0 - _powers(np.append(highest, 1.0), budgets) @ steps
    high = 1.0 - _powers(np.append(0.0, lowest), budgets) @ steps
    return TuningCurve(_expected_best(x), low.tolist(), high.tolist())


@cache
def level_band(count: int, confidence: float = CONFIDENCE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels (count,) and (count,) between which those of all sorted draws lie with a probability: F(x_i) of each.

    The level of a draw x is the share of all possible draws that are not larger.
    """
    from scipy.optimize import brentq

    def missed(tail: float) -> float:
        return probability_inside(*_quantiles(count, tail)) - confidence

    return _quantiles(count, brentq(missed, (1 - confidence) / (4 * count), 0.5 - 1e-9, xtol=1e-12))


def _quantiles(count: int, tail: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np
    from scipy.special import betaincinv

    place = np.arange(1, count + 1)
    return betaincinv(place, count + 1 - place, tail), betaincinv(place, count + 1 - place, 1 - tail)


def probability_inside(lowest: NDArray[np.float64], highest: NDArray[np.float64]) -> float:
    """The probability that the i-th smallest of as many uniform draws lies between its two ends, for all i at once.

    Both are rising, (count,). The draws are a Poisson process on [0, 1] with as many points as it has; from end to end the
    probability of each number of points so far is carried on, without the numbers that break a bound.
    """
    import numpy as np
    from scipy.special import gammaln

    count = len(lowest)
    logs = gammaln(np.arange(count + 2) + 1.0)
    at, first, chance = 0.0, 0, np.ones(1)
    for place in np.unique(np.concatenate([lowest, highest, [1.0]])).tolist():
        fewest = int(np.searchsorted(highest, place, side="right"))
        largest = int(np.searchsorted(lowest, place, side="left"))
        if place == 1.0:
            fewest = largest = count
        rate, more = count * (place - at), np.arange(largest - first + 1)
        arrivals = np.exp(more * math.log(rate) - rate - logs[more]) if rate > 0 else (more == 0).astype(float)
        chance = np.convolve(chance, arrivals)[fewest - first : largest - first + 1]
        at, first = place, fewest
    return float(chance[0] / math.exp(count * math.log(count) - count - logs[count]))


def _powers(levels: NDArray[Any], budgets: NDArray[Any]) -> NDArray[np.float64]:
    """Each level to the power of each budget, (budgets, levels): how likely the best is not above."""
    powers: NDArray[np.float64] = levels[None, :] ** budgets[:, None]
    return powers


def _expected_best(x: NDArray[np.float64]) -> list[float]:
    """The mean of the largest over all choices of n of the sorted values, for each n."""
    import numpy as np
    from scipy.special import gammaln

    count = len(x)
    logs = gammaln(np.arange(count + 1) + 1.0)  # of factorials
    best = []
    for n in range(1, count + 1):
        place = np.arange(n, count + 1)  # of the largest: n - 1 are taken from below it
        share = logs[place - 1] - logs[n - 1] - logs[place - n] - (logs[count] - logs[n] - logs[count - n])
        best.append(float(np.exp(share) @ x[n - 1 :]))
    return best
