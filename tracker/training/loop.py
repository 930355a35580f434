"""The one training loop: takes the lanes of an engine from epoch to epoch, and lets go of those that are done or paused."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load, save

from tracker.errors import TrainingError
from tracker.records import Timing, TrialOutcome, TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.early_stopping import Keeper
from tracker.training.engine import Ended, Engine, Epoch, Kept


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A paused run: the tensors of its engine's state (safetensors bytes), and its progress as plain JSON."""

    tensors: bytes
    progress: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """After which epoch it was paused."""
        return len(self.progress["history"])


@dataclass(frozen=True, slots=True)
class Result:
    """What training one spec gave: an outcome, its weights (safetensors bytes) where it is complete, and when it ran."""

    spec: TrialSpec
    outcome: TrialOutcome
    weights: bytes | None
    timing: Timing
    checkpoint: Checkpoint | None = None
    environment: str = ""  # digest of the environment that computed it, where the executor says so


class Training:
    """Runs of one shape on their way. Checkpoints, where given, are of one epoch and in the order of the engine's lanes."""

    def __init__(
        self,
        engine: Engine,
        arrays: Arrays,
        checkpoints: Sequence[Checkpoint] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine: Engine | None = engine
        self._arrays, self._clock = arrays, clock
        self._started = self._saved = clock()
        self._keepers = [Keeper(spec) for spec in engine.specs]
        if checkpoints is not None:
            self._restore(engine, checkpoints)

    @property
    def engine(self) -> Any:
        """What trains; of a family's own kind."""
        return self._engine

    @property
    def keys(self) -> tuple[str, ...]:
        """The runs that still train."""
        return tuple(keeper.spec.key for keeper in self._keepers)

    @property
    def epoch(self) -> int:
        """How many epochs are behind them."""
        return self._keepers[0].epoch if self._keepers else 0

    def advance(self, until: int | None = None, *, checkpoint_after_s: float = 0.0) -> list[Result]:
        """Trains to the end, or to a pause after epoch `until`; results of runs that ended, then of those that paused.

        A pause comes with checkpoints where the way since the last ones, or since the start, took `checkpoint_after_s`.
        """
        results: list[Result] = []
        while self._engine is not None and (until is None or self.epoch < until):
            results += self._run_epoch(self._engine)
        if self._engine is not None:
            is_worth_it = self._clock() - self._saved >= checkpoint_after_s
            for lane, keeper in enumerate(self._keepers):
                checkpoint = self._checkpoint(self._engine, lane) if is_worth_it else None
                results.append(self._result(keeper, keeper.paused(), None, checkpoint))
            self._saved = self._clock() if is_worth_it else self._saved
        return results

    def select(self, keys: Collection[str]) -> None:
        """Lets go of all runs but these."""
        self._let_go([lane for lane, keeper in enumerate(self._keepers) if keeper.spec.key not in keys])

    def close(self) -> None:
        """Gives up what still trains."""
        self._let_go(range(len(self._keepers)))

    def _run_epoch(self, engine: Engine) -> list[Result]:
        results: list[Result] = []
        improved, done = [], []
        for lane, answer in enumerate(engine.run_epoch()):
            keeper = self._keepers[lane]
            reason = answer.reason if isinstance(answer, Ended) else None
            try:
                if isinstance(answer, Epoch) and keeper.take(answer, self._clock()) and self._matters(engine, keeper):
                    improved.append(lane)
            except TrainingError as error:
                reason = str(error)
            if reason is not None:
                results.append(self._result(keeper, keeper.failed(reason), None))
            if reason is not None or isinstance(answer, Ended) or self._is_over(engine, keeper):
                done.append(lane)
        if improved:
            engine.keep(improved)
        failed = {result.spec.key for result in results}
        results += [self._finish(engine, lane) for lane in done if self._keepers[lane].spec.key not in failed]
        self._let_go(done)
        return results

    def _finish(self, engine: Engine, lane: int) -> Result:
        keeper = self._keepers[lane]
        try:
            kept: Kept = engine.kept(lane)
            outcome, weights = keeper.complete(kept, self._arrays)
        except TrainingError as error:
            return self._result(keeper, keeper.failed(str(error)), None)
        return self._result(keeper, outcome, weights)

    def _let_go(self, lanes: Collection[int]) -> None:
        going = [lane for lane in range(len(self._keepers)) if lane not in set(lanes)]
        if self._engine is None or len(going) == len(self._keepers):
            return
        self._keepers = [self._keepers[lane] for lane in going]
        if going:
            self._engine = self._engine.select(going)
        else:
            self._engine.close()
            self._engine = None

    @staticmethod
    def _matters(engine: Engine, keeper: Keeper) -> bool:
        """Without early stopping only the last epoch is kept, and an engine of fixed length knows which that is."""
        training = keeper.spec.training
        return training["early_stopping"] is not None or engine.open_ended or keeper.epoch >= training["epochs"]

    @staticmethod
    def _is_over(engine: Engine, keeper: Keeper) -> bool:
        return keeper.has_waited_enough or (not engine.open_ended and keeper.epoch >= keeper.spec.training["epochs"])

    def _checkpoint(self, engine: Engine, lane: int) -> Checkpoint | None:
        state = engine.state(lane)
        return None if state is None else Checkpoint(save(dict(state)), self._keepers[lane].progress)

    def _restore(self, engine: Engine, checkpoints: Sequence[Checkpoint]) -> None:
        if len({checkpoint.epoch for checkpoint in checkpoints}) != 1:
            raise ValueError("checkpoints of one cohort must be of the same epoch")
        for lane, checkpoint in enumerate(checkpoints):
            progress: dict[str, Any] = {
                name: list(value) if isinstance(value, list | tuple) else value
                for name, value in checkpoint.progress.items()
            }
            self._keepers[lane] = Keeper(engine.specs[lane], **progress)
            engine.restore(lane, load(checkpoint.tensors), checkpoint.epoch)

    def _result(
        self, keeper: Keeper, outcome: TrialOutcome, weights: bytes | None, checkpoint: Checkpoint | None = None
    ) -> Result:
        timing = Timing(self._started, self._clock(), tuple(keeper.times))
        return Result(keeper.spec, outcome, weights, timing, checkpoint)
