"""Quasi-random search: trial n is point n of one scrambled Sobol sequence, which fills a space more evenly than chance.

Method: Sobol, 1967, with the direction numbers of Joe and Kuo, SIAM J. Sci. Comput., 2008, and the scrambling of
Matousek, J. Complexity, 1998. Over the first 2^k trials every choice among 2^j values (j <= k) occurs equally often.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.errors import SpaceError
from tracker.records import StudySpec
from tracker.search.entries import value_at
from tracker.search.sampling import Searched, Told
from tracker.search.space import Space
from tracker.seeds import derive_seed


def open_qmc(spec: StudySpec, space: Space) -> QmcSampler:
    """One sequence for the whole study. Raises SpaceError where the space has more names than a sequence dimensions."""
    from scipy.stats import qmc  # takes its time, and whoever plans a study reads this file

    names = [name for name, _ in space.names()]
    if len(names) > qmc.Sobol.MAXDIM:
        raise SpaceError(
            f"search_space: {len(names)} searched names, each width counted, are more than the {qmc.Sobol.MAXDIM} "
            "dimensions of a Sobol sequence; search fewer names or sample at random"
        )
    return QmcSampler(space, names, derive_seed(spec.seed, "qmc"))


class QmcSampler:
    """Reads trial n off point n; a point has a place for every name that may be searched, and idle ones are not read."""

    total = None
    generation_size = None

    def __init__(self, space: Space, names: Sequence[str], seed: int) -> None:
        self._space, self._seed = space, seed
        self._column = {name: index for index, name in enumerate(names)}

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:  # noqa: ARG002 - of the protocol
        """Points `start` to `start + count - 1`."""
        return [self._read(point) for point in self.points(start, count)]

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is kept: a trial depends on its number alone."""

    def tell(self, told: Sequence[Told]) -> None:
        """Nothing is learnt."""

    def points(self, start: int, count: int) -> list[list[float]]:
        """Rows of numbers in [0, 1), shape (count, searched names)."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self._column), scramble=True, rng=self._seed)
        if start:  # scipy cannot go forward by nothing
            sequence.fast_forward(start)
        with warnings.catch_warnings():  # that only powers of two are balanced; a study may have any number of trials
            warnings.simplefilter("ignore", UserWarning)
            points: list[list[float]] = sequence.random(count).tolist()
        return points

    def _read(self, point: Sequence[float]) -> Searched:
        return self._space.walk(lambda name, entry: value_at(point[self._column[name]], entry.domain))[0]
