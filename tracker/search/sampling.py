"""What a sampler is, and what it is told; each implementation and whoever opens one imports from here.

Whatever a sampler proposes follows from the spec and from what it was told, in any process. A generation is asked one
trial after the other, so a longer study begins with the proposals of a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tracker.errors import TrackerError

Searched = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a sampler hears of a finished trial.

    `values` has one entry per objective, `curve` the objective after each epoch (counted from 1); None is undefined.
    `slopes` has d(validation loss)/d(name) at the kept epoch, where training was asked for it. `excess` says of each constraint
    how far the trial breaks it (0 or less: it holds), where that is known.
    """

    number: int
    values: tuple[float | None, ...]
    curve: tuple[tuple[int, float | None], ...] = ()
    state: Literal["complete", "failed", "pruned"] = "complete"
    slopes: tuple[tuple[str, float | None], ...] = ()
    excess: tuple[float, ...] = ()

    @property
    def failing(self) -> Told:
        """The same trial, as one that failed."""
        return Told(self.number, (None,) * len(self.values), state="failed", slopes=self.slopes)

    @property
    def counted(self) -> float | None:
        """What the trial counts with where a method wants a number: its value, or the last one before it was pruned."""
        own = self.values if self.state == "complete" else [value for _, value in self.curve]
        finite = [value for value in own if value is not None and math.isfinite(value)]
        return finite[-1] if finite and self.state != "failed" else None


class Turns:
    """Generations in order, each told before the next is proposed; the last one may be the beginning of one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._finished = 0
        self._open = 0

    def begin(self, generation: int, count: int, start: int) -> None:
        """Raises TrackerError unless these trials are the next generation."""
        size = self._size or count
        if self._open or start != self._finished or start != generation * size or count > size:
            raise TrackerError(
                f"generation {generation} ({count} trials from {start}) does not follow {self._finished} told trials; "
                f"generations have {size} trials and are told before the next is proposed"
            )
        self._open = count

    def end(self, told: Sequence[Told]) -> None:
        """Raises TrackerError unless these are the trials that began, in their order."""
        expected = list(range(self._finished, self._finished + self._open))
        if expected != (numbers := [entry.number for entry in told]):
            raise TrackerError(f"trials {numbers} were told; {expected} were proposed, and are told in this order")
        self._finished += len(told)
        self._open = 0


class Sampler(Protocol):
    """Proposes trials, generation after generation."""

    @property
    def total(self) -> int | None:
        """How many trials there are, where the sampler decides that."""

    @property
    def generation_size(self) -> int | None:
        """How many trials are proposed before results are looked at (None: it does not learn)."""

    def propose(self, generation: int, count: int, start: int) -> list[Searched]:
        """The searched values of trials `start` to `start + count - 1`, which make up a generation."""

    def take(self, generation: int, searched: Sequence[Mapping[str, Any]]) -> None:
        """Goes on as if it had proposed these trials, which are a whole generation as it was logged.

        Raises TrackerError where the sampler cannot be rebuilt from searched values (`SamplerRow.rebuilds`).
        """

    def tell(self, told: Sequence[Told]) -> None:
        """How the trials of the generation just proposed or taken ended, in trial order."""
