"""What a family of models is, and how trials of any family are trained: one protocol, one file per family."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tracker.families.costs import Cost
from tracker.hyperparameters import FAMILIES
from tracker.records import TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.engine import Engine
from tracker.training.loop import Checkpoint, Result, Training

OwnFunction = Callable[..., Any]  # what `model.entry` names


class Shape(Protocol):
    """What runs must share to train as lanes of one cohort; equal shapes are equal values."""

    @property
    def numbers(self) -> int:
        """Parameters of a lane, for deciding how many lanes fit a core's cache."""

    @property
    def batch_size(self) -> int:
        """Rows per step."""


class Family(Protocol):
    """A family of models; the module that its row names holds one as `FAMILY`."""

    def shape(self, spec: TrialSpec, features: int, classes: int) -> Shape | None:
        """The shape of a run on data of so many features and classes; None: its runs never train together."""

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None) -> Engine:
        """Runs of one shape before their first epoch; `own` is the user's function, where the family needs one.

        Raises ValueError where the specs differ in shape.
        """

    def require(self, own: OwnFunction, entry: str) -> None:
        """Raises ConfigError where the user's function is not what the family needs."""

    def input_fault(self, params: Mapping[str, Any], input_shape: Sequence[int]) -> str | None:
        """What is wrong with a network of these hyperparameters on rows of that shape (empty: rows of a table), or None."""

    def cost(self, spec: TrialSpec, features: int, classes: int, input_shape: Sequence[int]) -> Cost | None:
        """What training a run costs on rows of that shape (empty: rows of a table); None: nobody knows beforehand."""

    def lanes_agree(self) -> bool:
        """Whether, on this machine, runs that train together give the bits of runs that train alone."""


def open_family(name: str) -> Family:
    """The family of that name; loads torch."""
    family: Family = importlib.import_module(FAMILIES[name].implementation).FAMILY
    return family


def start_training(
    specs: Sequence[TrialSpec],
    arrays: Arrays,
    own: OwnFunction | None = None,
    checkpoints: Sequence[Checkpoint] | None = None,
    clock: Callable[[], float] = time.time,
) -> Training:
    """Runs of one shape, before their first epoch or where the checkpoints (in the order of `specs`) left off."""
    engine = open_family(specs[0].family).start(specs, arrays, own)
    if checkpoints is None:
        return Training(engine, arrays, None, clock)
    by_key = {spec.key: checkpoint for spec, checkpoint in zip(specs, checkpoints, strict=True)}
    return Training(engine, arrays, [by_key[spec.key] for spec in engine.specs], clock)


def train_cohort(
    specs: Sequence[TrialSpec],
    arrays: Arrays,
    own: OwnFunction | None = None,
    until: int | None = None,
    checkpoints: Sequence[Checkpoint] | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Result]:
    """Trains runs of one shape together, to the end or to a pause after epoch `until`; results in the order of `specs`.

    Raises ValueError where the specs differ in shape.
    """
    training = start_training(specs, arrays, own, checkpoints, clock)
    try:
        results = {result.spec.key: result for result in training.advance(until)}
    finally:
        training.close()
    return [results[spec.key] for spec in specs]


def train(
    spec: TrialSpec,
    arrays: Arrays,
    own: OwnFunction | None = None,
    until: int | None = None,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Trains one run: a cohort of one."""
    return train_cohort([spec], arrays, own, until, None if checkpoint is None else [checkpoint])[0]
