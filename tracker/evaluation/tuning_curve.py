"""How good the best of n random trials is in half of all searches, with an exact band: what another budget would have given.

Trials of random search are independent draws. So the best of n is above the level 0.5 ** (1 / n) of the distribution of scores
in half of all searches, and a band for these levels is one for the *median tuning curve* (Lourie, Cho and He 2024, "Show Your
Work with Confidence"). The i-th smallest of N scores has a level with a Beta(i, N + 1 - i) distribution; the band takes the
same tails of each (Aldor-Noiman et al. 2013, The American Statistician 67), as wide as the levels of 1 to N trials need for
95 %. That probability is computed, not simulated, by counting points along [0, 1] (Moscovich and Nadler 2017, Statistics &
Probability Letters 123), so the band is exact for any continuous distribution, and too wide rather than too narrow where
scores are equal. Of the mean of the best there is no exact band without knowing the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
MOST = 1000  # scores of one curve: the first ones of a longer study are draws like the others


@dataclass(frozen=True, slots=True)
class TuningCurve:
    """The median best of 1, 2 ... N trials (trials,), and the ends of a band that holds all of them with 95 %."""

    best: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def tuning_curve(scores: Sequence[float]) -> TuningCurve:
    """The curve of independent scores from 0 to 1, of which the highest is best; a failed trial counts as 0."""
    import numpy as np

    x = np.sort(np.asarray(scores[:MOST], dtype=np.float64).clip(0.0, 1.0))
    lowest, highest = level_band(len(x))
    level = 0.5 ** (1 / np.arange(1, len(x) + 1))
    best = x[np.ceil(level * len(x) - 1e-9).astype(np.int64) - 1]
    low = np.append(0.0, x)[np.searchsorted(highest, level, side="left")]
    high = np.append(x, 1.0)[np.searchsorted(lowest, level, side="right")]
    return TuningCurve(best.tolist(), low.tolist(), high.tolist())


@cache
def level_band(count: int, confidence: float = CONFIDENCE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends (count,) and (count,) of the level of each sorted draw that hold, as far as the curve needs them, together.

    The level of a draw is the share of all possible draws that are not larger.
    """
    from scipy.optimize import brentq

    def more_than_asked(tail: float) -> float:
        return probability_inside(*_needed(*_quantiles(count, tail))) - confidence

    least, most = (1 - confidence) / (4 * count), 0.4999
    if more_than_asked(most) >= 0:  # of one trial or two nothing is known, whatever the band
        return _quantiles(count, least)
    return _quantiles(count, brentq(more_than_asked, least, most, xtol=1e-12))


def _needed(
    lowest: NDArray[np.float64], highest: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends without what levels below that of one trial, or above that of all, do not need."""
    import numpy as np

    first, last = 0.5, 0.5 ** (1 / len(lowest))
    above, below = np.append(highest[1:], 1.0), np.append(0.0, lowest[:-1])
    top = np.where((above >= first) & (highest < last), highest.clip(min=first), 1.0)
    floor = np.where((lowest > first) & (below < last), lowest.clip(max=last), 0.0)
    return np.maximum.accumulate(floor), np.minimum.accumulate(top[::-1])[::-1]


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
