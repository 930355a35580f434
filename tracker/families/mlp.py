"""The family of fully connected networks: K of them train at once as lanes of stacked matrices.

All randomness of an epoch comes from (seed, purpose, epoch), so that a checkpoint holds no generator state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.errors import ConfigError, TrainingError
from tracker.families.costs import Cost, cost_of_lanes
from tracker.families.family import OwnFunction
from tracker.families.mlp_lanes import MlpLanes
from tracker.families.mlp_layout import Shape, lane_order, shape_of
from tracker.families.mlp_norms import Rows
from tracker.families.mlp_tangents import Batch, open_tangents
from tracker.records import HYPERGRADIENT, TrialSpec
from tracker.seeds import bit_generator
from tracker.standalone.mlp import multiple_of_8
from tracker.training.arrays import Arrays, Tables, take
from tracker.training.augment import Augmentation, Mix
from tracker.training.augment import fault as augmentation_fault
from tracker.training.draws import draw_batches
from tracker.training.engine import Ended, Epoch, Kept
from tracker.training.losses import (
    class_weights,
    mean_losses,
    needs_probabilities,
    probability_row,
    validate,
    validation_row,
)
from tracker.training.optimizers import Optimizer
from tracker.training.schedules import Plateau, learning_rates

CHUNK_FLOATS = 2_000_000  # gathered rows and dropout masks held at once


class MlpFamily:
    """See `tracker.families.family.Family`."""

    def shape(self, spec: TrialSpec, features: int, classes: int) -> Shape:
        """Features, classes, padded width, batch size, kind of norm."""
        return shape_of(spec, features, classes)

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None = None) -> MlpEngine:
        """Lanes with the initial weights that each run's own seed gives."""
        del own
        shapes = {shape_of(spec, arrays.x_train.shape[1], arrays.classes) for spec in specs}
        if len(shapes) != 1:
            raise ValueError(f"trials of one cohort must have one shape, found {sorted(map(str, shapes))}")
        lanes = MlpLanes(sorted(specs, key=lane_order), shapes.pop())
        lanes.initialise(arrays.parents)
        return MlpEngine(lanes, arrays, Tables.of(arrays))

    def require(self, own: OwnFunction, entry: str) -> None:
        """There is no code of the user's own in this family."""
        del own
        raise ConfigError(f"model.entry: family mlp runs no code of your own, found {entry}")

    def input_fault(self, params: Mapping[str, Any], input_shape: Sequence[int]) -> str | None:
        """Rows of any shape will do: they are read as flat ones. They must be such that can be augmented so."""
        return augmentation_fault(params, input_shape)

    def cost(self, spec: TrialSpec, features: int, classes: int, input_shape: Sequence[int]) -> Cost:
        """By the parameters of a lane."""
        del input_shape
        return cost_of_lanes(shape_of(spec, features, classes).numbers)

    def lanes_agree(self) -> bool:
        """See `tracker.families.mlp_selftest`."""
        from tracker.families.mlp_selftest import lanes_agree

        return lanes_agree()


class MlpEngine:
    """Lanes at one epoch; see `tracker.training.engine.Engine`."""

    open_ended = False

    def __init__(self, lanes: MlpLanes, arrays: Arrays, tables: Tables, epoch: int = 0) -> None:
        self.lanes, self.arrays, self.tables, self.epoch = lanes, arrays, tables, epoch
        self.optimizer = Optimizer([spec.params for spec in lanes.specs])
        self.weights = [class_weights(spec.params, arrays) for spec in lanes.specs]
        found = ((lane, Augmentation.of(spec, arrays)) for lane, spec in enumerate(lanes.specs))
        self.augmentations = {lane: augmentation for lane, augmentation in found if augmentation is not None}
        self.plateaus = [Plateau() for _ in lanes.specs]
        self.tangents = [open_tangents(spec, lanes.shape) for spec in lanes.specs]
        self.log_p = torch.empty(0)
        self.best_log_p: list[Tensor | None] = [None] * lanes.lanes
        self.best_epochs = [0] * lanes.lanes

    @property
    def specs(self) -> Sequence[TrialSpec]:
        """Deeper networks first, equal activations together."""
        return self.lanes.specs

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the last one may be short."""
        return -(-len(self.arrays.y_train) // self.lanes.shape.batch_size)

    def prepare(self) -> None:
        """All is there from the start."""

    def run_epoch(self) -> list[Epoch | Ended]:
        """Trains every lane on all rows once and scores it on validation; a lane whose own metrics raise has failed."""
        losses = self._train_epoch()
        self.epoch += 1
        classes, count = self.arrays.classes, len(self.arrays.y_validation)
        with self.lanes.averaged():
            self.log_p = self.lanes.log_probabilities(self.tables.x_validation)[:, :count, :classes]
        val_losses, confusions = validate(self.log_p, self.tables.y_validation, classes)
        for plateau, spec, val_loss in zip(self.plateaus, self.specs, val_losses, strict=True):
            plateau.take(spec.params, val_loss)
        rows = [validation_row(*row, self.arrays.positive) for row in zip(losses, val_losses, confusions, strict=True)]
        return [self._answer(lane, row) for lane, row in enumerate(rows)]

    def keep(self, lanes: Sequence[int]) -> None:
        """Copies values and predictions of these lanes."""
        with self.lanes.averaged():
            self.lanes.keep_best(lanes)
        for lane in lanes:
            self.best_log_p[lane] = self.log_p[lane].clone()
            self.best_epochs[lane] = self.epoch

    def kept(self, lane: int) -> Kept:
        """Tensors named as in the plain torch module, `num_batches_tracked` among them."""
        spec, log_p = self.lanes.specs[lane], self.best_log_p[lane]
        assert log_p is not None
        tensors = self.lanes.read(lane, "best")
        for index in range(spec.params["hidden_layers"] if spec.params["batch_norm"] else 0):
            batches = torch.tensor(self.steps_per_epoch * self.best_epochs[lane])
            tensors[f"norm_{index}.num_batches_tracked"] = batches
        return Kept(tensors, torch.exp(log_p).numpy())

    def select(self, lanes: Sequence[int]) -> MlpEngine:
        """A smaller cohort, all buffers taken along."""
        smaller = MlpEngine(self.lanes.select(lanes), self.arrays, self.tables, self.epoch)
        smaller.best_log_p = [self.best_log_p[lane] for lane in lanes]
        smaller.best_epochs = [self.best_epochs[lane] for lane in lanes]
        smaller.plateaus = [self.plateaus[lane] for lane in lanes]
        smaller.tangents = [self.tangents[lane] for lane in lanes]
        return smaller

    def state(self, lane: int) -> dict[str, Tensor]:
        """Tensors `values/...`, `first/...`, `second/...`, `best/...`, the predictions of the best epoch, and `plateau`."""
        tensors = {
            f"{buffer}/{name}": tensor
            for buffer in self.lanes.buffers_of(lane)
            for name, tensor in self.lanes.read(lane, buffer).items()
        }
        log_p = self.best_log_p[lane]
        if log_p is not None:
            tensors |= {"best_log_p": log_p, "best_epoch": torch.tensor(self.best_epochs[lane])}
        tangents = self.tangents[lane]
        return tensors | self.plateaus[lane].written() | ({} if tangents is None else tangents.state())

    def restore(self, lane: int, state: Mapping[str, Tensor], epoch: int) -> None:
        """Puts back what `state` gave."""
        for buffer in self.lanes.buffers_of(lane):
            prefix = f"{buffer}/"
            part = {name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)}
            self.lanes.write(lane, buffer, part)
        self.best_log_p[lane], self.plateaus[lane] = state.get("best_log_p"), Plateau.read(state)
        self.best_epochs[lane] = int(state["best_epoch"]) if "best_epoch" in state else 0
        if (tangents := self.tangents[lane]) is not None:
            tangents.restore(state)
        self.epoch = epoch

    def close(self) -> None:
        """Memory alone is held."""

    def _answer(self, lane: int, row: dict[str, Any]) -> Epoch | Ended:
        try:
            return Epoch(row | self._of_probabilities(lane) | self._hypergradients(lane))
        except TrainingError as error:
            return Ended(str(error))

    def _of_probabilities(self, lane: int) -> dict[str, Any]:
        training = self.specs[lane].training
        if not needs_probabilities(training):
            return {}
        return probability_row(training, torch.exp(self.log_p[lane].clone()).numpy(), self.arrays)  # the bits of `kept`

    def _hypergradients(self, lane: int) -> dict[str, float]:
        tangents = self.tangents[lane]
        if tangents is None:
            return {}
        with self.lanes.averaged():
            slopes = tangents.slopes(self.lanes, lane, self.tables.x_validation, self.tables.y_validation)
        return {f"{HYPERGRADIENT}{name}": slope for name, slope in slopes.items()}

    def _train_epoch(self) -> list[float]:
        """One pass over the training rows; gives the mean training loss of each lane."""
        lanes, epoch = self.lanes, self.epoch + 1
        count, size, steps = len(self.arrays.y_train), lanes.shape.batch_size, self.steps_per_epoch
        padded = multiple_of_8(min(size, count))
        index = np.stack([draw_batches(spec.seed, epoch, count, size, padded) for spec in lanes.specs], 1)
        full, last = Rows.of(min(size, count), padded), Rows.of(count - (steps - 1) * size, padded)
        total = steps * lanes.specs[0].training["epochs"]
        factors = [plateau.factor for plateau in self.plateaus]
        coefficients = self.optimizer.coefficients(self.epoch * steps + 1, steps, total, factors)
        dropout = Dropout(lanes, epoch, padded)
        blocks = lanes.optimizer_blocks()
        mixes = self._mixes(index)
        shares = self._shares(index, full, last, mixes)
        log_p = torch.empty(steps, lanes.lanes, padded, self.tables.truth.shape[1])
        at_once = max(1, CHUNK_FLOATS // (lanes.lanes * padded * (self.tables.x.shape[1] + dropout.numbers)))
        for start in range(0, steps, at_once):
            chosen = torch.from_numpy(index[start : start + at_once])
            x, truth = take(self.tables.x, chosen), take(self.tables.truth, chosen)
            for lane in self.augmentations:
                self._augment(lane, chosen[:, lane], x[:, lane], truth[:, lane])
            truth = self._smoothed(truth)
            masks = dropout.masks(len(chosen))
            for offset in range(len(chosen)):
                step = start + offset
                rows = last if step == steps - 1 else full
                step_masks = None if masks is None else [mask[offset] for mask in masks]
                step_shares = None if shares is None else shares[step]
                self._carry(step, total, x[offset], truth[offset], rows, step_masks, step_shares, coefficients[step])
                lanes.gradient(x[offset], truth[offset], rows, step_masks, log_p[step], step_shares)
                self.optimizer.step(blocks, coefficients[step])
                lanes.average(is_first=self.epoch + step == 0)
        return mean_losses(log_p, index, self.tables.y, count, mixes)

    def _augment(self, lane: int, chosen: Tensor, x: Tensor, truth: Tensor) -> None:
        """Rows (steps, rows, columns) of one lane and their truth become what this epoch makes of them, in place."""
        augmentation, arrays, epoch = self.augmentations[lane], self.arrays, self.epoch + 1
        is_row = chosen < len(arrays.y_train)
        samples = chosen[is_row].numpy()
        x[..., : arrays.x_train.shape[1]][is_row] = torch.from_numpy(augmentation.rows(epoch, samples))
        if (mix := augmentation.mix(epoch, samples)) is not None:
            table = self.tables.truth.numpy()
            truth[is_row] = torch.from_numpy(mix.of(table[samples], table[mix.partners]))

    def _mixes(self, index: np.ndarray) -> dict[int, Mix]:
        """Of each lane with mixup what becomes of its rows, in the order of `index`; what is no row is mixed as the last."""
        samples = np.minimum(index, len(self.arrays.y_train) - 1)
        found = ((n, one.mix(self.epoch + 1, samples[:, n].reshape(-1))) for n, one in self.augmentations.items())
        return {lane: mix for lane, mix in found if mix is not None}

    def _carry(
        self,
        step: int,
        total: int,
        x: Tensor,
        truth: Tensor,
        rows: Rows,
        masks: Sequence[Tensor] | None,
        shares: Tensor | None,
        coefficients: tuple[Tensor, Tensor, Tensor],
    ) -> None:
        """Carries tangents along with the step that follows; lanes are read, not changed."""
        for lane, tangents in enumerate(self.tangents):
            if tangents is None:
                continue
            depth = self.specs[lane].params["hidden_layers"]
            share = rows.share[0] if shares is None else shares[lane]
            of_lane = None if masks is None else [mask[lane] for mask in masks[:depth]]
            size, scale, keep = (float(column[lane, 0]) for column in coefficients)
            first = self.epoch * self.steps_per_epoch + step + 1
            rate = learning_rates(self.specs[lane].params, first, 1, total)[0] * self.plateaus[lane].factor
            batch = Batch(x[lane], truth[lane], rows, share, of_lane)
            tangents.step(self.lanes, lane, batch, rate, (size, scale, keep), is_first=first == 1)

    def _smoothed(self, truth: Tensor) -> Tensor:
        """One-hot truth (steps, lanes, rows, classes) of lanes with label smoothing, a share of it spread over all classes."""
        classes = self.arrays.classes
        for lane, spec in enumerate(self.specs):
            if share := spec.params.get("label_smoothing", 0.0):
                truth[:, lane, :, :classes].mul_(1 - share).add_(share / classes)
        return truth

    def _shares(self, index: np.ndarray, full: Rows, last: Rows, mixes: Mapping[int, Mix]) -> Tensor | None:
        """What each row counts in the mean of its batch, (steps, lanes, rows, 1): its weight over the sum of all weights.

        Lanes without weights keep the very numbers that they have alone; None where no lane has any.
        """
        if all(weights is None for weights in self.weights):
            return None
        shares = full.share.repeat(len(index), self.lanes.lanes, 1, 1)
        shares[-1] = last.share
        for lane, weights in enumerate(self.weights):
            if weights is not None:
                of_rows = weights[self.tables.y[index[:, lane]]]
                if mix := mixes.get(lane):
                    theirs = weights[self.tables.y[mix.partners]]
                    of_rows = mix.of(of_rows.reshape(-1), theirs).reshape(of_rows.shape)
                chosen = np.where(index[:, lane] < len(self.arrays.y_train), of_rows, 0.0)
                shares[:, lane, :, 0] = torch.from_numpy(chosen / chosen.sum(axis=1, keepdims=True))
        return shares


class Dropout:
    """Dropout factors of one epoch, each lane from its own generator, drawn step by step, layer by layer."""

    def __init__(self, lanes: MlpLanes, epoch: int, rows: int) -> None:
        self.lanes, self.rows = lanes, rows
        self.rates = [spec.params["dropout"] if lanes.hidden else 0.0 for spec in lanes.specs]
        self.generators = [
            bit_generator(spec.seed, "dropout", epoch) if rate else None
            for spec, rate in zip(lanes.specs, self.rates, strict=True)
        ]
        self.numbers = len(lanes.hidden) * lanes.shape.width if any(self.rates) else 0

    def masks(self, steps: int) -> list[Tensor] | None:
        """Factors (steps, lanes, rows, width) of each hidden layer: 0, or 1 / (1 - rate); None where nobody drops."""
        if not any(self.rates):
            return None
        width = self.lanes.shape.width
        masks = [torch.ones(steps, layer.lanes, self.rows, width) for layer in self.lanes.hidden]
        for lane, (rate, generator) in enumerate(zip(self.rates, self.generators, strict=True)):
            if generator is None:
                continue
            depth = self.lanes.specs[lane].params["hidden_layers"]
            words = generator.random_raw(steps * depth * self.rows * width // 4)
            bits = torch.from_numpy(words.view(np.int16)).view(steps, depth, self.rows, width)
            kept = (bits >= round(rate * 65536) - 32768).to(torch.float32).mul_(1 / (1 - rate))
            for index in range(depth):
                masks[index][:, lane] = kept[:, index]
        return masks


FAMILY = MlpFamily()
