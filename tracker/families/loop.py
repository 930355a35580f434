"""The family of training loops of the user's own: a generator that yields metrics once per epoch, advanced and scored here.

The contract of the loop is in docs/howto/own-loop.md. What could differ between two runs of one loop is fixed here: the
seed, the global generators, the rows (copies for each run). A loop that pauses waits where it is; it cannot be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.errors import TrainingError
from tracker.families.family import OwnFunction
from tracker.families.own_code import require_arguments, require_generator, running
from tracker.families.solo import SoloEngine, SoloFamily
from tracker.families.yielded import MODEL, read_epoch, read_module
from tracker.records import TrialSpec
from tracker.seeds import AmbientRandomness
from tracker.standalone.network import shaped
from tracker.training.arrays import Arrays
from tracker.training.engine import Ended, Epoch, Kept
from tracker.training.module import EXAMPLES, class_probabilities, copy_state

ARGUMENTS = ("hyperparameters", "train", "validation", "seed")
MOST_EPOCHS = 1_000_000
Loop = Generator[Mapping[str, Any], None, Any]
Fit = Callable[..., Loop]


class LoopFamily(SoloFamily):
    """See `tracker.families.family.Family`."""

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None) -> LoopEngine:
        """The loop of one run, not begun yet."""
        if own is None:
            raise ValueError("a loop of the user's own cannot run without its function")
        [spec] = specs
        return LoopEngine(spec, arrays, own)

    def require(self, own: OwnFunction, entry: str) -> None:
        """A generator that takes hyperparameters, train, validation, seed."""
        require_generator(own, entry, ARGUMENTS)
        require_arguments(own, entry, ARGUMENTS)


class SplitRows:
    """Preprocessed rows of one split as a loop sees them: copies, so that nothing it does to them outlives the run."""

    def __init__(self, x: np.ndarray, y: np.ndarray, arrays: Arrays) -> None:
        self._x, self._y = shaped(x, arrays.shape), y
        self.labels, self.columns = arrays.labels, arrays.columns
        self.positive = None if arrays.positive is None else arrays.labels[arrays.positive]

    @cached_property
    def x(self) -> torch.Tensor:
        """Features, float32 (rows, features), or (rows, *shape) where `data.shape` gives rows a shape."""
        return torch.from_numpy(self._x.copy())

    @cached_property
    def y(self) -> torch.Tensor:
        """Places in `labels`, int64 (rows,)."""
        return torch.from_numpy(self._y.copy())


class LoopEngine(SoloEngine):
    """One run of a loop; while it is not advanced its generator waits and the global state is ours."""

    open_ended = True

    def __init__(self, spec: TrialSpec, arrays: Arrays, fit: Fit) -> None:
        super().__init__(spec)
        self.arrays, self.fit = arrays, fit
        self._ambient = AmbientRandomness(spec.seed)
        self._loop: Loop | None = None
        self._epoch = 0
        self._with_model: bool | None = None
        self._last: torch.nn.Module | None = None
        self._module: torch.nn.Module | None = None
        self._state: dict[str, Tensor] | None = None
        self._is_running = True
        self._fault: TrainingError | None = None

    @property
    def module(self) -> torch.nn.Module | None:
        """The network that was kept, with the weights that it has at the moment."""
        return self._module

    def run_epoch(self) -> list[Epoch | Ended]:
        """Advances the generator to its next yield; what goes wrong in it is the run's failure."""
        try:
            self._raise_fault()
            with self._own_code():
                return [self._advance()]
        except TrainingError as error:
            return [Ended(str(error))]

    def keep(self, lanes: Sequence[int]) -> None:
        """Copies the state of the module that came with this epoch; where that fails, so does the run."""
        del lanes
        self._module = self._last
        try:
            with self._own_code():
                self._state = None if self._module is None else copy_state(self._module)
        except TrainingError as error:
            self._fault = error

    def kept(self, lane: int) -> Kept:
        """The kept epoch's model, or the one that the loop returned."""
        del lane
        self._raise_fault()
        with self._own_code():
            self._end_loop()
            module = self._restored()
            if module is None:
                return Kept(None, None)
            state, arrays = copy_state(module), self.arrays
            validation, first = (shaped(x, arrays.shape) for x in (arrays.x_validation, arrays.x_train[:EXAMPLES]))
            example = class_probabilities(module, first, arrays.classes)
            return Kept(state, class_probabilities(module, validation, arrays.classes), example)

    def close(self) -> None:
        """The loop ends where it waits; whatever it says to that, nobody asks for its outcome any more."""
        with suppress(TrainingError), self._own_code():
            self._end_loop()

    def _own_code(self) -> AbstractContextManager[None]:
        """The user's code runs inside. Raises TrainingError."""
        return running(self.spec, self._ambient)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _end_loop(self) -> None:
        if self._loop is not None and self._is_running:
            self._is_running = False
            self._loop.close()

    def _restored(self) -> torch.nn.Module | None:
        """The kept epoch's module with the weights it had then."""
        if self._module is not None and self._state is not None:
            self._module.load_state_dict(self._state)
        return self._module

    def _advance(self) -> Epoch | Ended:
        self._loop = loop = self._loop or self._begin()
        try:
            entry = next(loop)
        except StopIteration as end:
            return self._end(end.value)
        if self._epoch >= MOST_EPOCHS:
            raise TrainingError(f"the loop went on after {MOST_EPOCHS} epochs")
        self._epoch += 1
        row = read_epoch(entry, self._epoch, self.arrays.classes)
        if self._with_model not in {None, MODEL in entry}:
            raise TrainingError(f"epoch {self._epoch}: either every epoch yields `{MODEL}`, or none does")
        self._with_model = MODEL in entry
        self._last = read_module(entry.get(MODEL), f"epoch {self._epoch} yielded as `{MODEL}`")
        return Epoch(row, self._with_model)

    def _begin(self) -> Loop:
        arrays, spec = self.arrays, self.spec
        copies = {name: list(value) if isinstance(value, list) else value for name, value in spec.params.items()}
        loop = self.fit(
            {"epochs": spec.training["epochs"], **copies},
            SplitRows(arrays.x_train, arrays.y_train, arrays),
            SplitRows(arrays.x_validation, arrays.y_validation, arrays),
            spec.seed,
        )
        if not isinstance(loop, Generator):
            raise TrainingError(f"the loop must be a generator that yields metrics; it gave {type(loop).__name__}")
        return loop

    def _end(self, returned: object) -> Ended:
        self._is_running = False
        if self._epoch == 0:
            raise TrainingError("the loop ended before it had yielded any metrics")
        if not self._with_model:
            self._module, self._state = read_module(returned, "the loop returned"), None
        return Ended()


FAMILY = LoopFamily()
