"""Bayesian search by a Gaussian process: it knows how sure it is, and proposes where it expects to improve most.

Kernel: Matern 5/2 with a length scale per name (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006),
fitted by the posterior of its parameters with the priors of Hvarfner et al., ICML 2024, which hold in many dimensions.
Acquisition: log expected improvement (Ament et al., NeurIPS 2023). Batch: each proposal of a generation counts as tried,
with the value that the process expects, before the next is made (Ginsbourger et al., 2010, "kriging believer").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import erfcx, ndtr
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from tracker.records import StudySpec
from tracker.sampler_table import GENERATION
from tracker.search.entries import Interval, place_of, value_at
from tracker.search.qmc import QmcSampler
from tracker.search.samplers import row_of
from tracker.search.sampling import Searched, Told, Turns
from tracker.search.space import Space
from tracker.seeds import derive_seed

Rows = NDArray[np.float64]

CANDIDATES = 512  # points of a sequence that each generation looks at
STARTS = 3  # of them, and of the best trial's neighbours, those that are moved about
MOVES = 16  # of each, in each round
ROUNDS = (0.1, 0.03, 0.01, 0.003)  # how far a move goes, as a part of a range
MOST = 300  # trials that the process is fitted to: the best and the latest
CLIP = 3.0  # a value worse than the median by more than this many times what the best is better is as bad as that


def open_gp(spec: StudySpec, space: Space) -> GPSampler:
    """A process for each generation, fitted to all that was told; the first trials are points of a Sobol sequence."""
    size = spec.generation or row_of("gp").generation
    assert size is not None  # the table has one
    return GPSampler(space, size, spec.objective["direction"], spec.seed)


class GPSampler:
    """Sees trials as places between 0 and 1, one per name that may be searched; a choice is as far from each other one."""

    total = None

    def __init__(self, space: Space, size: int, direction: str, seed: int) -> None:
        self.generation_size = size
        self._space, self._seed = space, seed
        self._sign = -1.0 if direction == "minimize" else 1.0
        self._domains = {name: entry.domain for name, entry in space.names() if (entry.domain.size or 2) > 1}
        self._first = QmcSampler(space, [name for name, _ in space.names()], derive_seed(seed, "first"))
        self._turns = Turns(size)
        self._open: list[Searched] = []
        self._seen: list[Searched] = []
        self._values: list[float | None] = []  # larger is better; None of trials without a value

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The next generation, or the beginning of one. Raises TrackerError where it is asked out of turn."""
        self._turns.begin(generation, count, start)
        with threadpool_limits(1, "blas"):  # more would change bits, and be slower on matrices this small
            self._open = self._proposed(generation, count, start)
        return [dict(searched) for searched in self._open]

    def _proposed(self, generation: int, count: int, start: int) -> list[Searched]:
        if self._domains and sum(value is not None for value in self._values) >= GENERATION:
            return self._expected(generation, count)
        return self._first.propose(generation, count, start)

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """A logged generation in place of asking for it."""
        self._turns.begin(generation, len(searched), len(self._seen))
        self._open = [dict(values) for values in searched]

    def tell(self, told: Sequence[Told]) -> None:
        """Learns from a generation; a pruned trial counts with its last value, one without any as the worst so far."""
        self._turns.end(told)
        self._seen += self._open
        self._values += [None if entry.counted is None else self._sign * entry.counted for entry in told]

    def _expected(self, generation: int, count: int) -> list[Searched]:
        rng = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "generation", generation)))
        points, values = self._history()
        process = Process.fitted(self._features(points), values)
        grid = qmc.Sobol(len(self._domains), rng=rng).random(CANDIDATES)
        candidates = self._settled(grid)
        best = points[int(np.argmax(values))]
        proposed: list[Searched] = []
        for _ in range(count):
            point = self._best(process, candidates, best, float(values.max()), rng)
            proposed.append(self._read(point))
            process = process.believing(self._features(point[None]))
        return proposed

    def _history(self) -> tuple[Rows, Rows]:
        """Places and standardized values of the trials that count."""
        known = [value for value in self._values if value is not None]
        values = np.array([min(known) if value is None else value for value in self._values])
        kept = np.arange(len(values))
        if len(values) > MOST:
            best = np.argsort(-values, kind="stable")[: MOST // 2]
            kept = np.union1d(best, kept[-MOST // 2 :])
        values = values[kept]
        middle = float(np.median(values))
        values = np.maximum(values, middle - CLIP * max(float(values.max()) - middle, 1e-12))
        return self._places(kept.tolist()), (values - values.mean()) / max(float(values.std()), 1e-12)

    def _places(self, kept: Sequence[int]) -> Rows:
        return np.array([self._row(self._seen[index]) for index in kept])

    def _row(self, searched: Mapping[str, Any]) -> list[float]:
        """An idle name lies in the middle, so that it tells no two trials apart."""
        return [place_of(searched[name], domain) if name in searched else 0.5 for name, domain in self._domains.items()]

    def _read(self, point: Rows) -> Searched:
        places = dict(zip(self._domains, point.tolist(), strict=True))
        return self._space.walk(lambda name, entry: value_at(places.get(name, 0.0), entry.domain))[0]

    def _settled(self, points: Rows) -> Rows:
        """Each point at the place of the trial that it would be."""
        return np.array([self._row(self._read(point)) for point in points])

    def _features(self, points: Rows) -> list[Rows]:
        """For each name its columns: a number's place, a choice's indicators (a row of zeros where it is idle)."""
        columns = []
        for index, domain in enumerate(self._domains.values()):
            column = points[:, index : index + 1]
            if not isinstance(domain, Interval):
                assert domain.size is not None
                column = (np.abs(column - (np.arange(domain.size) + 0.5) / domain.size) < 1e-9) / math.sqrt(2)
            columns.append(column)
        return columns

    def _best(self, process: Process, candidates: Rows, best: Rows, threshold: float, rng: np.random.Generator) -> Rows:
        """The point of the largest expectation: of the candidates and of moves about the best of them and the best trial."""
        points = np.vstack([candidates, best[None]])
        scores = process.improvement(self._features(points), threshold)
        for far in ROUNDS:
            order = np.argsort(-scores, kind="stable")[:STARTS]
            starts = np.vstack([points[order], best[None]])
            moved = self._settled(self._moves(np.repeat(starts, MOVES, axis=0), far, rng))
            points = np.vstack([points[order], moved])
            scores = np.append(scores[order], process.improvement(self._features(moved), threshold))
        found: Rows = points[int(np.argmax(scores))]
        return found

    def _moves(self, points: Rows, far: float, rng: np.random.Generator) -> Rows:
        """Half of the names move, numbers by a little, and one choice in ten to any other."""
        steps = points + far * rng.standard_normal(points.shape) * (rng.random(points.shape) < 0.5)
        choices = np.array([not isinstance(domain, Interval) for domain in self._domains.values()])
        jumps = choices & (rng.random(points.shape) < 0.1)
        moved: Rows = np.where(jumps, rng.random(points.shape), np.where(choices, points, steps))
        return np.clip(moved, 0.0, 1.0 - 2**-53)


class Process:
    """A Gaussian process over features, with fixed parameters: log of inverse squared length scales, log of the noise."""

    def __init__(self, features: Sequence[Rows], values: Rows, parameters: Rows) -> None:
        self._features, self._values, self._parameters = features, values, parameters
        kernel = _matern(_distances(features, features), parameters[:-1])
        kernel[np.diag_indices_from(kernel)] += math.exp(parameters[-1]) + 1e-8
        self._lower: Rows = cholesky(kernel, lower=True)
        self._weights: Rows = cho_solve((self._lower, True), values)

    @classmethod
    def fitted(cls, features: Sequence[Rows], values: Rows) -> Process:
        """With the parameters of the largest posterior, from one start."""
        distances = _distances(features, features)
        start = np.append(np.full(len(features), _prior_mean(len(features))), math.log(1e-2))
        found = minimize(
            _loss,
            start,
            args=(distances, values),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-12.0, 8.0)] * len(features) + [(math.log(1e-6), 0.0)],
            options={"maxiter": 60},
        )
        return cls(features, values, found.x)

    def believing(self, features: Sequence[Rows]) -> Process:
        """The process as it would be had these points been tried, with the values that it expects."""
        mean, _ = self._predict(features)
        joined = [np.vstack(pair) for pair in zip(self._features, features, strict=True)]
        return Process(joined, np.append(self._values, mean), self._parameters)

    def improvement(self, features: Sequence[Rows], threshold: float) -> Rows:
        """Log of the expected improvement over a threshold, of each row."""
        mean, deviation = self._predict(features)
        return _log_h((mean - threshold) / deviation) + np.log(deviation)

    def _predict(self, features: Sequence[Rows]) -> tuple[Rows, Rows]:
        across = _matern(_distances(features, self._features), self._parameters[:-1])
        solved = solve_triangular(self._lower, across.T, lower=True)
        return across @ self._weights, np.sqrt(np.maximum(1.0 - np.sum(solved**2, axis=0), 1e-12))


def _distances(one: Sequence[Rows], other: Sequence[Rows]) -> Rows:
    """Squared distances by name, shape (names, rows of one, rows of other)."""
    return np.array([np.sum((a[:, None] - b[None]) ** 2, axis=-1) for a, b in zip(one, other, strict=True)])


def _matern(distances: Rows, logs: Rows) -> Rows:
    r = np.sqrt(5.0 * np.tensordot(np.exp(logs), distances, axes=1))
    kernel: Rows = (1.0 + r + r**2 / 3.0) * np.exp(-r)
    return kernel


def _loss(parameters: Rows, distances: Rows, values: Rows) -> tuple[float, Rows]:
    """Negative log posterior and its gradient."""
    weights, noise = np.exp(parameters[:-1]), math.exp(parameters[-1])
    r = np.sqrt(5.0 * np.tensordot(weights, distances, axes=1))
    decay = np.exp(-r)
    kernel = (1.0 + r + r**2 / 3.0) * decay
    kernel[np.diag_indices_from(kernel)] += noise + 1e-8
    lower = cholesky(kernel, lower=True)
    solved = cho_solve((lower, True), values)
    inverse = cho_solve((lower, True), np.eye(len(values)))
    outer = inverse - np.outer(solved, solved)
    slope = -5.0 / 6.0 * (1.0 + r) * decay  # of the kernel by the weighted squared distance
    gradient = 0.5 * np.append(
        weights * np.tensordot(distances, outer * slope, axes=([1, 2], [0, 1])), noise * np.trace(outer)
    )
    loss = 0.5 * float(values @ solved) + float(np.sum(np.log(np.diag(lower))))
    away = np.append(parameters[:-1] - _prior_mean(len(weights)), parameters[-1] - math.log(1e-2))
    spread = np.append(np.full(len(weights), 2.0 * math.sqrt(3.0)), 2.0)
    return loss + 0.5 * float(np.sum((away / spread) ** 2)), gradient + away / spread**2


def _prior_mean(names: int) -> float:
    """Of log inverse squared length scales, where length scales are log-normal with mean sqrt(2) + log(names) / 2."""
    return -2.0 * (math.sqrt(2.0) + 0.5 * math.log(names))


def _log_h(z: Rows) -> Rows:
    """Log of the standard normal density plus z times its distribution function, without losing small values."""
    density = -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi)
    low = np.minimum(z, -1.0)
    bracket = 1.0 + low * math.sqrt(math.pi / 2.0) * erfcx(-low / math.sqrt(2.0))  # 1 / z^2 for large -z
    small = density + np.where(z < -1e5, -2.0 * np.log(-low), np.log(np.maximum(bracket, 1e-12)))
    high = np.maximum(z, -1.0)
    plain = np.log(np.exp(-0.5 * high**2) / math.sqrt(2.0 * math.pi) + high * ndtr(high))
    found: Rows = np.where(z > -1.0, plain, small)
    return found
