"""The family of estimators with scikit-learn's `fit` and `predict_proba`: one fit is one run, and all of it is kept.

The contract of `build(hyperparameters, seed)` is in docs/howto/estimators.md. One thread; the global generators are the
run's. What is scored is the estimator as it is opened again from the bytes that are kept.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any

import numpy as np
import torch

from tracker.confusion import count_confusion
from tracker.errors import ConfigError, TrainingError
from tracker.families.family import OwnFunction
from tracker.families.own_code import require_arguments, running
from tracker.families.solo import SoloEngine, SoloFamily
from tracker.records import TrialSpec
from tracker.seeds import AmbientRandomness, derive_seed
from tracker.standalone.estimator import TENSOR, class_probabilities, pack, pinned, unpack
from tracker.training.arrays import Arrays
from tracker.training.engine import Ended, Epoch, Kept
from tracker.training.losses import needs_probabilities, probability_row, validation_row
from tracker.training.module import EXAMPLES

ARGUMENTS = ("hyperparameters", "seed")
LEAST = float(np.finfo(np.float32).eps)  # a class said to be impossible costs no more than this, as in scikit-learn
REFITTED = 8  # of so many runs one, by its key, is fitted twice


DIFFERS = (
    "two fits of this configuration gave two models: pass `seed` on as random_state, and leave out what keeps times or "
    "draws numbers of its own (GridSearchCV, numpy.random.default_rng())"
)


class EstimatorFamily(SoloFamily):
    """See `tracker.families.family.Family`."""

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None) -> EstimatorEngine:
        """The estimator of one run, not built yet."""
        if own is None:
            raise ValueError("an estimator of the user's own cannot be fitted without its function")
        [spec] = specs
        return EstimatorEngine(spec, arrays, own)

    def require(self, own: OwnFunction, entry: str) -> None:
        """A function that takes hyperparameters and seed, and skops to keep what it gives."""
        if importlib.util.find_spec("skops") is None:
            raise ConfigError(
                "model.family: estimator keeps its models with skops, which is not installed: "
                "pip install 'repro-tracker[estimator]'"
            )
        require_arguments(own, entry, ARGUMENTS)


class EstimatorEngine(SoloEngine):
    """One run: the estimator that the user's function gives, fitted to the training rows."""

    def __init__(self, spec: TrialSpec, arrays: Arrays, build: OwnFunction) -> None:
        super().__init__(spec)
        self._arrays, self._build = arrays, build
        self._content = b""
        self._estimator: Any = None
        self._probabilities = np.empty(0)

    @property
    def module(self) -> Any:
        """The fitted estimator, as it is opened again."""
        return self._estimator

    def prepare(self) -> None:
        """Builds the estimator, which is not fitted."""
        with self._inside():
            self._new()

    def run_epoch(self) -> list[Epoch | Ended]:
        """The fit, then validation; what goes wrong in it is the run's failure."""
        try:
            self._content = self._fitted()
            if int(self.spec.key[:8], 16) % REFITTED == 0 and self._fitted() != self._content:
                return [Ended(DIFFERS)]
            with self._inside():
                self._estimator = unpack(self._content)
                return [self._scored()]
        except TrainingError as error:
            return [Ended(str(error).removeprefix("CodeError: "))]

    def keep(self, lanes: Sequence[int]) -> None:
        """There is one fit, and it is kept."""
        del lanes

    def kept(self, lane: int) -> Kept:
        """The bytes of the estimator as one tensor, uint8, and what it predicts."""
        del lane
        content = torch.from_numpy(np.frombuffer(self._content, dtype=np.uint8).copy())
        with self._inside():
            example = self._of(self._arrays.x_train[:EXAMPLES])
        return Kept({TENSOR: content}, self._probabilities, example)

    def _inside(self) -> AbstractContextManager[None]:
        """The user's code runs inside, each time from the same state of the global generators. Raises TrainingError."""
        return running(self.spec, AmbientRandomness(derive_seed(self.spec.seed, "estimator")))

    def _fitted(self) -> bytes:
        """The bytes of a newly built and fitted estimator."""
        arrays = self._arrays
        with self._inside(), pinned():
            estimator = self._new()
            _put_on_one_thread(estimator)
            estimator.fit(arrays.x_train.copy(), arrays.y_train.copy())
            return pack(estimator)

    def _new(self) -> Any:
        return _require_estimator(self._build(deepcopy(dict(self.spec.params)), self.spec.seed))

    def _scored(self) -> Epoch:
        arrays = self._arrays
        train, self._probabilities = self._of(arrays.x_train), self._of(arrays.x_validation)
        losses = _loss(train, arrays.y_train), _loss(self._probabilities, arrays.y_validation)
        confusion = count_confusion(arrays.y_validation, self._probabilities.argmax(axis=1), arrays.classes)
        row = validation_row(*losses, confusion, arrays.positive)
        if needs_probabilities(self.spec.training):
            row |= probability_row(self.spec.training, self._probabilities, arrays)
        return Epoch(row)

    def _of(self, x: np.ndarray) -> np.ndarray:
        return class_probabilities(self._estimator, x, self._arrays.classes)


def _require_estimator(found: Any) -> Any:
    if isinstance(found, type):
        raise TrainingError(f"build gave the class {found.__name__}, no estimator; return {found.__name__}(...)")
    for name in ("fit", "predict_proba"):
        if not callable(getattr(found, name, None)):
            raise TrainingError(
                f"build gave {type(found).__name__}, which has no {name}; give an estimator that has fit and predict_proba "
                "(sklearn.calibration.CalibratedClassifierCV gives probabilities to one that has none)"
            )
    return found


def _put_on_one_thread(estimator: Any) -> None:
    """Every `n_jobs` becomes 1, for good: sums of several threads come in any order, when it predicts, too."""
    params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    if jobs := {name: 1 for name in params if name.rpartition("__")[2] == "n_jobs" and params[name] is not None}:
        estimator.set_params(**jobs)


def _loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy, summed in float64."""
    sure = np.maximum(probabilities[np.arange(len(y)), y].astype(np.float64), LEAST)
    return -float(np.add.reduce(np.log(sure))) / len(y)


FAMILY = EstimatorFamily()
