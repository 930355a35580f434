"""What a family of models must do to be trained by the one loop: run an epoch for K runs, keep the best of some.

An engine holds K runs of one shape, its *lanes*, all at the same epoch. Nothing that a lane gives may depend on its
neighbours, on how many there are, or on where training was paused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from tracker.records import TrialSpec


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a lane gave for one epoch.

    `row` holds metrics by name (float, None where undefined) and, where there is one, `confusion_matrix` (rows: truth,
    columns: prediction). `with_model` says whether the model of this very epoch can be kept.
    """

    row: Mapping[str, Any]
    with_model: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """A lane has no further epoch; `reason` says why where that is a failure."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The model of the kept epoch: tensors by name, and class probabilities on validation, float32 (rows, classes).

    Both are None where a loop of the user's own gave no model. `example` holds the probabilities of the first training
    rows, where the network is the user's own code: whoever opens the model compares. `parameters` of such a network are
    counted here, because no record tells them.
    """

    tensors: Mapping[str, Tensor] | None
    probabilities: np.ndarray | None
    example: np.ndarray | None = None
    parameters: int | None = None


class Engine(Protocol):
    """K runs of one shape at one epoch."""

    @property
    def specs(self) -> Sequence[TrialSpec]:
        """The runs, in the order of their lanes."""

    @property
    def open_ended(self) -> bool:
        """Whether runs may end before their number of epochs, or after it."""

    def prepare(self) -> None:
        """Builds what the first epoch would build. Raises TrainingError where that cannot be."""

    def run_epoch(self) -> Sequence[Epoch | Ended]:
        """Trains and scores every lane once more; one answer per lane."""

    def keep(self, lanes: Sequence[int]) -> None:
        """What these lanes hold now is their best so far."""

    def kept(self, lane: int) -> Kept:
        """What `keep` kept of a lane. Raises TrainingError where it cannot be kept."""

    def select(self, lanes: Sequence[int]) -> Engine:
        """The given lanes (ascending) go on, the others are let go."""

    def state(self, lane: int) -> Mapping[str, Tensor] | None:
        """All that a lane needs to go on elsewhere; None where that cannot be written down."""

    def restore(self, lane: int, state: Mapping[str, Tensor], epoch: int) -> None:
        """Puts back what `state` gave after an epoch; every lane is restored before the next epoch."""

    def close(self) -> None:
        """Lets go of all lanes."""
