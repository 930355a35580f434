"""The family of the user's own networks: `build` gives a torch module, and the one training loop trains it, each run alone.

Every optimizer and training knob means what it means for our own networks: gradients come from automatic differentiation
and go through the same formula. What a module draws (dropout, initial weights) comes from torch's global generator, which
begins each epoch with a state that follows from the run's seed and the number of the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from tracker.errors import TrainingError
from tracker.families.family import OwnFunction
from tracker.families.own_code import require_arguments, running
from tracker.metrics import count_confusion
from tracker.records import TrialSpec
from tracker.seeds import AmbientRandomness, derive_seed
from tracker.standalone.build import COLUMNS, call_build
from tracker.training.arrays import Arrays
from tracker.training.draws import draw_batches
from tracker.training.engine import Ended, Epoch, Kept
from tracker.training.losses import class_weights, needs_probabilities, probability_row, validation_row
from tracker.training.module import EXAMPLES, class_logits, class_probabilities, copy_state
from tracker.training.optimizers import Optimizer

ARGUMENTS = ("hyperparameters", "input_shape", "classes")


class BuildFamily:
    """See `tracker.families.family.Family`."""

    def shape(self, spec: TrialSpec, features: int, classes: int) -> None:
        """Modules of the user's own never train together."""
        del spec, features, classes

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None) -> BuildEngine:
        """The network of one run, not built yet."""
        if own is None:
            raise ValueError("a network of the user's own cannot be trained without its function")
        [spec] = specs
        return BuildEngine(spec, arrays, own)

    def require(self, own: OwnFunction, entry: str) -> None:
        """A function that takes hyperparameters, input_shape, classes, and columns where it wants the features' names."""
        require_arguments(own, entry, ARGUMENTS, COLUMNS)

    def lanes_agree(self) -> bool:
        """There are no lanes."""
        return True


class BuildEngine:
    """One run of the user's own network."""

    open_ended = False

    def __init__(self, spec: TrialSpec, arrays: Arrays, build: OwnFunction) -> None:
        self.specs: Sequence[TrialSpec] = (spec,)
        self._spec, self._arrays, self._build = spec, arrays, build
        self._x, self._y = torch.from_numpy(arrays.x_train.copy()), torch.from_numpy(arrays.y_train.copy())
        self._epoch = 0
        self._module: torch.nn.Module | None = None
        self._best: dict[str, Tensor] | None = None

    @property
    def module(self) -> torch.nn.Module | None:
        """The network, with the weights that it has at the moment."""
        return self._module

    def run_epoch(self) -> list[Epoch | Ended]:
        """One pass over the training rows, then validation; what goes wrong in the user's code is the run's failure."""
        try:
            with self._own_code("epoch", self._epoch + 1):
                module = self._module = self._module or self._built()
                loss = self._train(module)
                self._epoch += 1
                return [self._scored(module, loss)]
        except TrainingError as error:
            return [Ended(str(error))]

    def keep(self, lanes: Sequence[int]) -> None:
        """Copies the module's state, whose tensors were seen when it was built."""
        del lanes
        assert self._module is not None
        self._best = copy_state(self._module)

    def kept(self, lane: int) -> Kept:
        """The state of the kept epoch, and what the module predicts with it."""
        del lane
        module, best, arrays = self._module, self._best, self._arrays
        assert module is not None
        assert best is not None
        with self._own_code("kept"):
            module.load_state_dict(best)
            example = class_probabilities(module, arrays.x_train[:EXAMPLES], arrays.classes)
            return Kept(best, class_probabilities(module, arrays.x_validation, arrays.classes), example)

    def select(self, lanes: Sequence[int]) -> BuildEngine:
        """There is one lane."""
        del lanes
        return self

    def state(self, lane: int) -> None:
        """A module may keep more than its parameters and buffers, so it is not written down: it begins again."""
        del lane

    def restore(self, lane: int, state: Mapping[str, Tensor], epoch: int) -> None:
        """There is no checkpoint to read back."""
        del lane, state, epoch
        raise ValueError("a network of the user's own begins again; it has no checkpoint")

    def close(self) -> None:
        """Memory alone is held."""

    def _own_code(self, *purpose: str | int) -> AbstractContextManager[None]:
        """The user's code runs inside, its draws as the run's seed and the purpose say. Raises TrainingError."""
        return running(self._spec, AmbientRandomness(derive_seed(self._spec.seed, "build", *purpose)))

    def _built(self) -> torch.nn.Module:
        copies = deepcopy(dict(self._spec.params))
        with self._own_code("init"):
            module = call_build(self._build, copies, (self._x.shape[1],), self._arrays.classes, self._arrays.columns)
        if not isinstance(module, torch.nn.Module):
            raise TrainingError(f"build must give a torch.nn.Module; it gave {type(module).__name__}")
        copy_state(module)  # what cannot be kept is told before anything is trained
        self._steps = _Steps(module, self._spec, class_weights(self._spec.params, self._arrays))
        return module

    def _train(self, module: torch.nn.Module) -> float:
        """The mean training loss of an epoch."""
        count, size = len(self._y), self._spec.params["batch_size"]
        module.train()
        batches = draw_batches(self._spec.seed, self._epoch + 1, count, size, min(size, count))
        losses = []
        self._steps.begin(self._epoch * len(batches) + 1, len(batches))
        for batch in batches:
            rows = torch.from_numpy(batch[batch < count])
            losses.append(self._steps.take(module, self._x[rows], self._y[rows], self._arrays.classes))
        return float(np.add.reduce(np.concatenate(losses), dtype=np.float64)) / count

    def _scored(self, module: torch.nn.Module, loss: float) -> Epoch:
        arrays = self._arrays
        logits = class_logits(module, arrays.x_validation, arrays.classes)
        truth = torch.from_numpy(arrays.y_validation)
        log_p = log_softmax(logits, 1).gather(1, truth[:, None])[:, 0].numpy()
        val_loss = -float(np.add.reduce(log_p, dtype=np.float64)) / len(log_p)
        confusion = count_confusion(arrays.y_validation, logits.argmax(dim=1).numpy(), arrays.classes)
        row = validation_row(loss, val_loss, confusion, arrays.positive)
        if needs_probabilities(self._spec.training):
            row |= probability_row(self._spec.training, softmax(logits, dim=1).numpy(), arrays)
        return Epoch(row)


class _Steps:
    """Gradients by automatic differentiation, steps by the formula that all families share, on one flat block."""

    def __init__(self, module: torch.nn.Module, spec: TrialSpec, weights: np.ndarray | None) -> None:
        self._weights = None if weights is None else torch.from_numpy(weights.astype(np.float32))
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise TrainingError("the module has no parameters to train")
        if odd := {str(p.dtype) for p in self._parameters} - {"torch.float32"}:
            raise TrainingError(f"parameters must be torch.float32, found {', '.join(sorted(odd))}")
        self._optimizer = Optimizer([spec.params])
        self._rate = spec.params["learning_rate"]
        numbers = sum(parameter.numel() for parameter in self._parameters)
        self._block = tuple(torch.zeros(1, numbers) for _ in range(4))  # values, gradients, both moments
        self._views = [self._split(tensor[0]) for tensor in self._block[:2]]

    def begin(self, first_step: int, steps: int) -> None:
        """The coefficients of an epoch's steps; the values as the module has them now."""
        self._coefficients = iter(self._optimizer.coefficients(first_step, steps, [self._rate]))

    def take(self, module: torch.nn.Module, x: Tensor, y: Tensor, classes: int) -> np.ndarray:
        """One step on a batch; the loss of each of its rows, float32 (rows,)."""
        module.zero_grad(set_to_none=True)
        logits = module(x)
        if not isinstance(logits, Tensor) or logits.shape != (len(x), classes):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise TrainingError(f"the model gives {found} for {len(x)} rows; expected logits ({len(x)}, {classes})")
        losses = -log_softmax(logits.to(torch.float32), 1).gather(1, y[:, None])[:, 0]
        self._mean(losses, y).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter, value, gradient in zip(self._parameters, *self._views, strict=True):
                value.copy_(parameter)
                gradient.zero_() if parameter.grad is None else gradient.copy_(parameter.grad)
            self._optimizer.step([self._block], next(self._coefficients))
            for parameter, value in zip(self._parameters, self._views[0], strict=True):
                parameter.copy_(value)
        result: np.ndarray = losses.detach().numpy()
        return result

    def _mean(self, losses: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, each with the weight of its class."""
        if self._weights is None:
            return losses.mean()
        weights = self._weights[y]
        return (losses * weights).sum() / weights.sum()

    def _split(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat tensor, one per parameter."""
        sizes = [parameter.numel() for parameter in self._parameters]
        parts: tuple[Tensor, ...] = torch.split(flat, sizes)
        return [part.view_as(p) for part, p in zip(parts, self._parameters, strict=True)]


FAMILY = BuildFamily()
