"""What every pruner can do, opened by the table of pruners: the curves of a generation to the trials that stop early.

Decisions are taken at rungs, from the values of a whole generation in the order of epochs and, within an epoch, of
trial numbers. So which trial finished first cannot change them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tracker.errors import SpaceError
from tracker.pruner_table import PRUNERS


@dataclass(frozen=True, slots=True)
class Rung:
    """A trial of the present generation since the rung before: the objective after each epoch (None: undefined).

    `complete` means that it ended by itself, with an objective value, after the last of these epochs; `failed` that it
    ended without one; `running` that it could go on.
    """

    number: int
    values: tuple[tuple[int, float | None], ...]
    state: Literal["running", "complete", "failed"] = "running"


class Pruner(Protocol):
    """Decides at rungs which trials of a generation stop; generations come one after the other, from trial 0."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs (from 1) after which trials may stop, ascending and below `epochs`, the most that a trial has."""

    def begin(self, numbers: Sequence[int]) -> None:
        """The trials of the next generation start."""

    def decide(self, epoch: int, rows: Sequence[Rung], known: Mapping[int, bool] | None = None) -> tuple[int, ...]:
        """The numbers of the trials that stop after this epoch; a row for every trial that has neither ended nor stopped.

        What is `known` (number to whether it stops) was decided before and is not decided again. Raises TrackerError where
        rows or epochs are missing.
        """

    def end(self, rows: Sequence[Rung]) -> None:
        """How the trials ended that were running after the last rung. Raises TrackerError where one is left out."""


def open_pruner(settings: Mapping[str, Any], direction: str, study_name: str, epochs: int) -> Pruner:
    """The pruner of a study at its beginning; `settings` has its name and every setting; `epochs` is
    the most that a trial has.

    Raises SpaceError where the table has none of that name.
    """
    name = settings["name"]
    if name not in PRUNERS:
        raise SpaceError(f"pruner {name!r} is unknown; there are {', '.join(PRUNERS)}")
    given = {setting: value for setting, value in settings.items() if setting != "name"}
    pruner: Pruner = pkgutil.resolve_name(PRUNERS[name].implementation)(given, direction, study_name, epochs)
    return pruner
