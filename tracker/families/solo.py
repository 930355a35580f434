"""Runs that train alone: what their families and engines have in common, and the engine that trains one torch module.

Gradients come from automatic differentiation and go through the same formula as those of our own lanes, so that every
optimizer and training knob means the same everywhere. What a module draws (dropout, initial weights) comes from torch's
global generator, which begins each epoch with a state that follows from the run's seed and the number of the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from tracker.confusion import count_confusion
from tracker.errors import ConfigError, TrainingError
from tracker.families.costs import Cost, cost_of_module
from tracker.families.family import OwnFunction
from tracker.families.steps import Steps, Truth
from tracker.families.transfer import adopt, frozen_layers, keep_still, layers_of, read_parent
from tracker.records import TrialSpec
from tracker.seeds import AmbientRandomness, derive_seed
from tracker.standalone.network import ROWS_AT_ONCE, shaped
from tracker.training.arrays import Arrays
from tracker.training.augment import Augmentation
from tracker.training.augment import fault as augmentation_fault
from tracker.training.device import CPU, Device
from tracker.training.draws import draw_batches
from tracker.training.engine import Ended, Epoch, Kept
from tracker.training.losses import class_weights, needs_probabilities, probability_row, validation_row
from tracker.training.module import EXAMPLES, class_logits, class_probabilities, copy_state
from tracker.training.schedules import Plateau

Make = Callable[[], torch.nn.Module]
Inside = Callable[..., AbstractContextManager[None]]


class SoloFamily:
    """A family whose runs never train together; see `tracker.families.family.Family`."""

    def shape(self, spec: TrialSpec, features: int, classes: int) -> None:
        """They have no shape in common."""
        del spec, features, classes

    def cost(self, spec: TrialSpec, features: int, classes: int, input_shape: Sequence[int]) -> Cost | None:
        """What the user's own code would do is not known before it runs."""
        del spec, features, classes, input_shape
        return None

    def lanes_agree(self) -> bool:
        """There are no lanes."""
        return True

    def input_fault(self, params: Mapping[str, Any], input_shape: Sequence[int]) -> str | None:
        """Rows of any shape will do."""
        del params, input_shape
        return None


class SoloEngine:
    """What every engine of one run answers alike; see `tracker.training.engine.Engine`."""

    open_ended = False

    def __init__(self, spec: TrialSpec) -> None:
        self.spec = spec

    @property
    def specs(self) -> Sequence[TrialSpec]:
        """The one run."""
        return (self.spec,)

    def prepare(self) -> None:
        """What the user's own code would do is not known before it runs."""

    def select(self, lanes: Sequence[int]) -> Self:
        """There is one lane."""
        del lanes
        return self

    def state(self, lane: int) -> Mapping[str, Tensor] | None:
        """What only the user's own code knows cannot be written down: it begins again."""
        del lane
        return None

    def restore(self, lane: int, state: Mapping[str, Tensor], epoch: int) -> None:
        """There is no checkpoint to read back."""
        del lane, state, epoch
        raise ValueError("code of the user's own begins again; it has no checkpoint")

    def close(self) -> None:
        """Memory alone is held."""


class ModuleEngine(SoloEngine):
    """One run of a torch module that reads rows (rows, *input shape) and gives logits (rows, classes).

    `make` builds it, `inside` is entered, with a purpose, while its code runs. A module of the user's `own` may keep more
    than its parameters and buffers: it has no checkpoint, and the probabilities of a few rows are kept to know it by.
    `rows_at_once` are scored together.
    """

    def __init__(
        self,
        spec: TrialSpec,
        arrays: Arrays,
        make: Make,
        inside: Inside,
        *,
        own: bool,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        super().__init__(spec)
        self._arrays, self._make, self._inside, self._own = arrays, make, inside, own
        self._rows_at_once = rows_at_once
        self._device = Device(spec.training.get("device", CPU), spec.seed)
        rows = shaped(arrays.x_train, arrays.shape)  # they may be a file's: a batch is read when it is needed
        self._x = rows if self._device.name == CPU else torch.from_numpy(rows.copy()).to(self._device.name)
        self._y = torch.from_numpy(arrays.y_train.copy()).to(self._device.name)
        self._x_validation = shaped(arrays.x_validation, arrays.shape)
        self._plateau = Plateau()
        self._frozen: set[str] = set()
        self._augmentation = Augmentation.of(spec, arrays)
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
            with self._inside("epoch", self._epoch + 1), self._device.active("epoch", self._epoch + 1):
                module = self._built()
                loss = self._train(module)
                self._epoch += 1
                return [self._scored(module, loss)]
        except TrainingError as error:
            return [Ended(str(error))]

    def prepare(self) -> None:
        """Builds the module, with its parent's weights where it has one; one of the user's own must read rows, too."""
        module = self._built()
        if self._own:
            with self._inside("prepare"):
                self._probabilities(module, self._x_validation[:EXAMPLES])

    def keep(self, lanes: Sequence[int]) -> None:
        """Copies the module's state, whose tensors were seen when it was built."""
        del lanes
        assert self._module is not None
        with self._steps.averaged():
            self._best = copy_state(self._module)

    def kept(self, lane: int) -> Kept:
        """The state of the kept epoch, and what the module predicts with it."""
        del lane
        module, best = self._module, self._best
        assert module is not None
        assert best is not None
        with self._inside("kept"):
            module.to(CPU).load_state_dict(best)  # where whoever opens it computes
            first = shaped(self._arrays.x_train[:EXAMPLES], self._arrays.shape)
            example = self._probabilities(module, first) if self._own else None
            numbers = sum(one.numel() for one in module.parameters()) if self._own else None
            return Kept(best, self._probabilities(module, self._x_validation), example, numbers)

    def state(self, lane: int) -> Mapping[str, Tensor] | None:
        """Tensors `values/...`, `best/...`, `first` and `second`; None for a module of the user's own."""
        del lane
        if self._own or self._module is None:
            return None
        tensors = {f"values/{name}": tensor for name, tensor in copy_state(self._module).items()}
        tensors |= {f"best/{name}": tensor for name, tensor in (self._best or {}).items()}
        return {**tensors, **self._steps.moments(), **self._plateau.written()}

    def restore(self, lane: int, state: Mapping[str, Tensor], epoch: int) -> None:
        """Puts back what `state` gave. Raises ValueError for a module of the user's own."""
        if self._own:
            super().restore(lane, state, epoch)
        with self._inside("restore"):
            self._built().load_state_dict(_under("values/", state))
        self._best = _under("best/", state) or None
        self._steps.put_moments(state)
        self._plateau = Plateau.read(state)
        self._epoch = epoch

    def _built(self) -> torch.nn.Module:
        if self._module is None:
            with self._inside("init"):
                module = self._make().to(self._device.name)
            copy_state(module)  # what cannot be kept is told before anything is trained
            self._begin_with_parent(module)
            weights = class_weights(self.spec.params, self._arrays)
            self._steps = Steps(module, self.spec, weights, self._frozen, self._device.name)
            self._module = module
        return self._module

    def _begin_with_parent(self, module: torch.nn.Module) -> None:
        """The weights of a parent, where the run has one; its first layers stay as they are."""
        names = [name for name, _ in module.named_parameters()]
        self._frozen = frozen_layers(names, self.spec.params.get("freeze", 0))
        if parent := self.spec.parent:
            theirs, head = read_parent(parent, self._arrays.parents), layers_of(names)[-1]
            own = copy_state(module)
            module.load_state_dict(adopt(own, theirs, head, parent["head"] == "kept"))

    def _train(self, module: torch.nn.Module) -> float:
        """The mean training loss of an epoch."""
        count, size = len(self._y), self.spec.params["batch_size"]
        module.train()
        keep_still(module, self._frozen)
        batches = draw_batches(self.spec.seed, self._epoch + 1, count, size, min(size, count))
        losses = []
        total = len(batches) * self.spec.training["epochs"]
        self._steps.begin(self._epoch * len(batches) + 1, len(batches), total, self._plateau.factor)
        for batch in batches:
            rows = batch[batch < count]
            losses.append(self._steps.take(module, *self._batch(rows), self._arrays.classes))
        return float(np.add.reduce(torch.cat(losses).cpu().numpy(), dtype=np.float64)) / count

    def _batch(self, rows: np.ndarray) -> tuple[Tensor, Truth]:
        """Training rows of these numbers as this epoch has them, and their truth."""
        there, augmentation, epoch = self._there(rows), self._augmentation, self._epoch + 1
        y = self._y[there]
        if augmentation is None:
            return self._there(self._x[rows]) if isinstance(self._x, np.ndarray) else self._x[there], Truth(y)
        x = self._there(shaped(augmentation.rows(epoch, rows), self._arrays.shape))
        if (mix := augmentation.mix(epoch, rows)) is None:
            return x, Truth(y)
        return x, Truth(y, self._y[self._there(mix.partners)], self._there(mix.shares))

    def _there(self, array: np.ndarray) -> Tensor:
        """The array as a tensor on the device; CUDA takes it from a copy of its own, so nothing waits for what goes before."""
        return torch.from_numpy(array).to(self._device.name, non_blocking=self._device.name == "cuda")

    def _scored(self, module: torch.nn.Module, loss: float) -> Epoch:
        arrays = self._arrays
        with self._steps.averaged():
            logits = class_logits(module, self._x_validation, arrays.classes, self._rows_at_once)
        truth = torch.from_numpy(arrays.y_validation)
        log_p = log_softmax(logits, 1).gather(1, truth[:, None])[:, 0].numpy()
        val_loss = -float(np.add.reduce(log_p, dtype=np.float64)) / len(log_p)
        self._plateau.take(self.spec.params, val_loss)
        confusion = count_confusion(arrays.y_validation, logits.argmax(dim=1).numpy(), arrays.classes)
        row = validation_row(loss, val_loss, confusion, arrays.positive)
        if needs_probabilities(self.spec.training):
            row |= probability_row(self.spec.training, softmax(logits, dim=1).numpy(), arrays)
        return Epoch(row)

    def _probabilities(self, module: torch.nn.Module, x: np.ndarray) -> np.ndarray:
        return class_probabilities(module, x, self._arrays.classes, self._rows_at_once)


class PlainFamily(SoloFamily):
    """A family of our own networks, each trained alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def engine(self, spec: TrialSpec, arrays: Arrays, make: Make, rows_at_once: int) -> ModuleEngine:
        """One run of the network that `make` builds."""

        def inside(*purpose: str | int) -> AbstractContextManager[None]:
            return AmbientRandomness(derive_seed(spec.seed, self._name, *purpose)).active()

        return ModuleEngine(spec, arrays, make, inside, own=False, rows_at_once=rows_at_once)

    def require(self, own: OwnFunction, entry: str) -> None:
        """There is no code of the user's own in these families."""
        del own
        raise ConfigError(f"model.entry: family {self._name} runs no code of your own, found {entry}")


class ShapedFamily(PlainFamily):
    """A family of our own networks that read rows with a shape (`data.shape`).

    `network(params, shape, classes, mask)` is the module with its initial weights, `fault(params, shape)` what does not fit.
    """

    def __init__(
        self,
        name: str,
        network: Callable[[Mapping[str, Any], Sequence[int], int, bool], torch.nn.Module],
        fault: Callable[[Mapping[str, Any], Sequence[int]], str | None] | None,
        rows_at_once: int,
    ) -> None:
        super().__init__(name)
        self._network, self._fault, self._rows_at_once = network, fault, rows_at_once

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None = None) -> ModuleEngine:
        """The network of one run, not built yet. Raises ValueError where it cannot read such rows."""
        del own
        [spec] = specs
        if fault := self.input_fault(spec.params, arrays.shape):
            raise ValueError(fault)

        def make() -> torch.nn.Module:
            return self._network(spec.params, arrays.shape, arrays.classes, arrays.mask)

        return self.engine(spec, arrays, make, self._rows_at_once)

    def cost(self, spec: TrialSpec, features: int, classes: int, input_shape: Sequence[int]) -> Cost | None:
        """By the layers of the network, of which no weight is drawn; None for rows that it could not read."""
        del features
        if self.input_fault(spec.params, input_shape):
            return None
        with torch.device("meta"):
            net = self._network(spec.params, input_shape, classes, False)
        return cost_of_module(net, input_shape)

    def input_fault(self, params: Mapping[str, Any], input_shape: Sequence[int]) -> str | None:
        """Rows need a shape, and what the network does with it must leave something."""
        if not input_shape:
            return (
                f"family {self._name} reads images or sequences, and the rows have no shape; say data.shape: [1, 8, 8] "
                "(channels, height, width) or [20, 3] (steps, channels), or take family mlp"
            )
        return (self._fault and self._fault(params, input_shape)) or augmentation_fault(params, input_shape)


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
