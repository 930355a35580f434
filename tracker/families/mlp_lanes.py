"""Forward and backward pass of K fully connected networks at once, from stacked rows to stacked gradients.

The backward pass is written out: at these sizes automatic differentiation costs more than the arithmetic. A test holds it
against automatic differentiation. Lanes are in `lane_order`, so that layer l belongs to the first `plan[l].lanes` lanes and
equal activations are runs of neighbours. Shapes below: lanes K, rows of a padded batch B, padded width W, classes C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from tracker.families.mlp_layout import Buffer, LayerPlan, Shape, initial_tensors, lane_sizes, plan_layers
from tracker.families.mlp_norms import Norm, Rows, own_gradients, slope_of_rows, slope_of_units, standard_of_rows
from tracker.families.transfer import adopt, read_parent
from tracker.records import TrialSpec
from tracker.standalone.mlp import (
    ACTIVATIONS,
    LEAKY_SLOPE,
    NO_CLASS,
    NORM_EPS,
    ROWS_AT_ONCE,
    standard_of_units,
    units_of,
)

_aten = torch.ops.aten

# gradient of the activation from the gradient of its output g, its input z and its output a
_BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sigmoid": lambda g, _, a: _aten.sigmoid_backward(g, a),
    "tanh": lambda g, _, a: _aten.tanh_backward(g, a),
    "relu": lambda g, _, a: _aten.threshold_backward(g, a, 0),
    "leaky_relu": lambda g, z, _: _aten.leaky_relu_backward(g, z, LEAKY_SLOPE, False),
    "gelu": lambda g, z, _: _aten.gelu_backward(g, z),
}


class MlpLanes:
    """K networks of one shape; `specs` must be in lane order.

    Buffers hold one number per parameter: `values`, `gradients`, the moments `first` and `second`, the values of the `best`
    epoch, and `means` where a lane averages its weights. `statistics` are the running mean and variance (lanes, 2, W) of
    each batch-norm layer.
    """

    def __init__(self, specs: Sequence[TrialSpec], shape: Shape) -> None:
        self.specs, self.shape = list(specs), shape
        self.plan = plan_layers(self.specs, shape)
        self.hidden, self.output = self.plan[:-1], len(self.plan) - 1
        self.values, self.gradients, self.first, self.second, self.best = (Buffer(self.plan) for _ in range(5))
        self.decays = {lane: decay for lane, spec in enumerate(specs) if (decay := spec.params.get("weight_averaging"))}
        self.means = Buffer(self.plan) if self.decays else None
        self.statistics = [_fresh_statistics(layer) for layer in self.hidden if layer.norm == "batch"]
        self.best_statistics = [tensor.clone() for tensor in self.statistics]
        self.runs = [_activation_runs(self.specs[: layer.lanes]) for layer in self.hidden]
        self.gap = torch.zeros(1, 1, self.plan[-1].outputs)
        self.gap[..., shape.classes :] = NO_CLASS
        self.unit = self._unit_masks()
        self.units = [self._units_of(index, layer) for index, layer in enumerate(self.hidden) if layer.norm == "layer"]

    @property
    def lanes(self) -> int:
        """How many networks train together."""
        return len(self.specs)

    def initialise(self, parents: Path | Mapping[str, bytes] | None = None) -> None:
        """Fills every lane with the initial weights that its own seed gives, or its parent's, from the folder `parents`.

        Raises TrainingError where a parent does not fit.
        """
        for lane, spec in enumerate(self.specs):
            tensors = initial_tensors(spec, self.shape.features, self.shape.classes)
            if spec.parent:
                tensors = adopt(tensors, read_parent(spec.parent, parents), "output", spec.parent["head"] == "kept")
                self.write(lane, "values", tensors)  # with the statistics of norms
            else:
                self.values.write(lane, lane_sizes(spec, self.shape), tensors)

    def buffers_of(self, lane: int) -> tuple[str, ...]:
        """The names of those buffers that outlive a step, as far as this lane has them."""
        return ("values", "first", "second", "best", *(["means"] if lane in self.decays else []))

    def average(self, is_first: bool) -> None:
        """The moving average of the weights of each lane that has one takes a step; those of the first step begin it."""
        for lane, decay in self.decays.items():
            for mean, values in self._means_of(lane):
                mean.copy_(values) if is_first else mean.lerp_(values, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, lanes that average their weights have the averages as their values."""
        self._swap_means()
        try:
            yield
        finally:
            self._swap_means()

    def _swap_means(self) -> None:
        for lane in self.decays:
            for mean, values in self._means_of(lane):
                before = values.clone()
                values.copy_(mean)
                mean.copy_(before)

    def _means_of(self, lane: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One lane's averages and weights, block by block."""
        assert self.means is not None
        for means, values in zip(self.means.blocks, self.values.blocks, strict=True):
            if lane < means.shape[0]:
                yield means[lane], values[lane]

    def optimizer_blocks(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(values, gradients, first, second), each (lanes, numbers), for the optimizer."""
        groups = (self.values.blocks, self.gradients.blocks, self.first.blocks, self.second.blocks)
        return list(zip(*groups, strict=True))

    def gradient(
        self,
        x: Tensor,
        truth: Tensor,
        rows: Rows,
        masks: Sequence[Tensor] | None,
        log_p: Tensor,
        shares: Tensor | None = None,
    ) -> None:
        """Writes the gradients of each lane's mean cross-entropy, and log-probabilities to `log_p` (K, B, C).

        `x` is (K, B, features), `truth` one-hot (K, B, C), `masks` the dropout factors of each hidden layer (k, B, W),
        `shares` what each row counts in its lane's mean (K, B, 1), 0 where there is no row; None: all alike.
        """
        saved = self._forward(x, rows, masks)
        last = self._gather([entry.h for entry in saved], x)
        torch.log_softmax(self._logits(last), -1, out=log_p)
        slope = torch.exp(log_p).sub_(truth).mul_(rows.share if shares is None else shares)
        torch.bmm(last.transpose(1, 2), slope, out=self.gradients.weight[self.output])
        self._sum_bias(self.output, slope)
        if self.hidden:
            self._backward(saved, torch.bmm(slope, self.values.weight[self.output].transpose(1, 2)), x, rows, masks)

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Log-probabilities (K, rows, C) of rows (rows, features) in evaluation mode; rows are a multiple of 8."""
        parts = []
        for start in range(0, x.shape[0], ROWS_AT_ONCE):
            part = x[start : start + ROWS_AT_ONCE].expand(self.lanes, -1, -1)
            outputs, h = [], part
            for index, layer in enumerate(self.hidden):
                z = self._affine(index, h[: layer.lanes])
                h = self._activate(index, self._normalise(index, z, None)[0])
                outputs.append(h)
            parts.append(torch.log_softmax(self._logits(self._gather(outputs, part)), -1))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def keep_best(self, lanes: Sequence[int]) -> None:
        """Copies the values of the given lanes as those of their best epoch."""
        for best, values in zip(self.best.blocks, self.values.blocks, strict=True):
            _copy_rows(best, values, lanes)
        for best, values in zip(self.best_statistics, self.statistics, strict=True):
            _copy_rows(best, values, lanes)

    def select(self, lanes: Sequence[int]) -> MlpLanes:
        """The given lanes (ascending) as a smaller cohort, all buffers taken along."""
        smaller = MlpLanes([self.specs[lane] for lane in lanes], self.shape)
        for name in ("values", "first", "second", "best", *(["means"] if smaller.means else [])):
            getattr(smaller, name).keep(getattr(self, name), lanes)
        for name in ("statistics", "best_statistics"):
            for mine, theirs in zip(getattr(smaller, name), getattr(self, name), strict=False):
                mine.copy_(theirs[torch.tensor(lanes[: mine.shape[0]])])
        return smaller

    def read(self, lane: int, buffer: str) -> dict[str, Tensor]:
        """One lane's tensors of a buffer (`values`, `first`, `second`, `best`) in true sizes; copies."""
        sizes = lane_sizes(self.specs[lane], self.shape)
        tensors: dict[str, Tensor] = getattr(self, buffer).read(lane, sizes)
        source = {"values": self.statistics, "best": self.best_statistics}.get(buffer, [])
        for index, statistics in enumerate(source):
            if lane < statistics.shape[0]:
                tensors[f"norm_{index}.running_mean"] = statistics[lane, 0, : sizes[index + 1]].clone()
                tensors[f"norm_{index}.running_var"] = statistics[lane, 1, : sizes[index + 1]].clone()
        return tensors

    def write(self, lane: int, buffer: str, tensors: dict[str, Tensor]) -> None:
        """Puts back what `read` gave."""
        sizes = lane_sizes(self.specs[lane], self.shape)
        getattr(self, buffer).write(lane, sizes, tensors)
        source = {"values": self.statistics, "best": self.best_statistics}.get(buffer, [])
        for index, statistics in enumerate(source):
            if lane < statistics.shape[0]:
                statistics[lane, 0, : sizes[index + 1]] = tensors[f"norm_{index}.running_mean"]
                statistics[lane, 1, : sizes[index + 1]] = tensors[f"norm_{index}.running_var"]

    def _forward(self, x: Tensor, rows: Rows, masks: Sequence[Tensor] | None) -> list[_Saved]:
        saved: list[_Saved] = []
        h = x
        for index, layer in enumerate(self.hidden):
            z = self._affine(index, h[: layer.lanes])
            z, norm = self._normalise(index, z, rows)
            a = self._activate(index, z)
            h = a if masks is None else a * masks[index]
            saved.append(_Saved(z, a, h, norm))
        return saved

    def _backward(
        self, saved: Sequence[_Saved], g: Tensor, x: Tensor, rows: Rows, masks: Sequence[Tensor] | None
    ) -> None:
        for index in reversed(range(len(self.hidden))):
            lanes = self.hidden[index].lanes
            entry = saved[index]
            slope = g[:lanes] if masks is None else g[:lanes] * masks[index]
            slope = self._activation_slope(index, slope, entry)
            if entry.norm is not None:
                slope = self._normalise_slope(index, slope, entry.norm, rows)
            below = saved[index - 1].h if index else x
            torch.bmm(below[:lanes].transpose(1, 2), slope, out=self.gradients.weight[index])
            self._sum_bias(index, slope)
            if index:  # lanes that end below keep the gradient that came from their output
                torch.bmm(slope, self.values.weight[index].transpose(1, 2), out=g[:lanes])

    def _affine(self, index: int, h: Tensor) -> Tensor:
        bias = self.values.bias[index]
        if bias is None:
            return torch.bmm(h, self.values.weight[index])
        return torch.baddbmm(bias, h, self.values.weight[index])

    def _sum_bias(self, index: int, slope: Tensor) -> None:
        gradient = self.gradients.bias[index]
        if gradient is not None:
            torch.sum(slope, 1, keepdim=True, out=gradient)

    def _logits(self, last: Tensor) -> Tensor:
        bias = self.values.bias[self.output]
        assert bias is not None
        return torch.baddbmm(bias + self.gap, last, self.values.weight[self.output])

    def _gather(self, outputs: Sequence[Tensor], x: Tensor) -> Tensor:
        """Each lane's last hidden output (K, B, W): deeper lanes come first."""
        if not outputs:
            return x
        if outputs[-1].shape[0] == self.lanes:
            return outputs[-1]
        counts = [layer.lanes for layer in self.hidden] + [0]
        return torch.cat([outputs[i][counts[i + 1] : counts[i]] for i in reversed(range(len(outputs)))])

    def _activate(self, index: int, z: Tensor) -> Tensor:
        runs = self.runs[index]
        if len(runs) == 1:
            a = ACTIVATIONS[runs[0][2]](z)
        else:
            a = torch.empty_like(z)
            for start, stop, kind in runs:
                a[start:stop] = ACTIVATIONS[kind](z[start:stop])
        mask = self.unit[index]
        return a if mask is None else a.mul_(mask)

    def _activation_slope(self, index: int, g: Tensor, entry: _Saved) -> Tensor:
        runs = self.runs[index]
        if len(runs) == 1:
            return _BACKWARD[runs[0][2]](g, entry.z, entry.a)
        slope = torch.empty_like(g)
        for start, stop, kind in runs:
            part = slice(start, stop)
            slope[part] = _BACKWARD[kind](g[part], entry.z[part], entry.a[part])
        return slope

    def _unit_masks(self) -> list[Tensor | None]:
        """1 for real units, 0 for padding; needed by lanes with sigmoid alone, whose value at 0 is not 0."""
        masks: list[Tensor | None] = []
        for index, layer in enumerate(self.hidden):
            specs = self.specs[: layer.lanes]
            mask = torch.ones(layer.lanes, 1, layer.outputs)
            for lane, spec in enumerate(specs):
                if spec.params["activation"] == "sigmoid":
                    mask[lane, 0, lane_sizes(spec, self.shape)[index + 1] :] = 0.0
            masks.append(mask if any(spec.params["activation"] == "sigmoid" for spec in specs) else None)
        return masks

    def _units_of(self, index: int, layer: LayerPlan) -> tuple[Tensor, Tensor]:
        """Which padded units of a hidden layer are real, and how many; see `standalone.mlp.units_of`."""
        widths = [[lane_sizes(spec, self.shape)[index + 1]] for spec in self.specs[: layer.lanes]]
        return units_of(torch.tensor(widths), layer.outputs)

    def _norm_of(self, index: int) -> tuple[Tensor, Tensor]:
        norm = self.values.norm[index]
        assert norm is not None
        return norm

    def _normalise(self, index: int, z: Tensor, rows: Rows | None) -> tuple[Tensor, Norm | None]:
        """What the activation reads; without rows in evaluation mode."""
        kind = self.hidden[index].norm
        if kind == "none":
            return z, None
        weight, bias = self._norm_of(index)
        if kind == "layer":
            norm = Norm(*standard_of_units(z, *self.units[index]))
        elif rows is None:
            statistics = self.statistics[index]
            scale = torch.rsqrt(statistics[:, 1:] + NORM_EPS)
            return (z - statistics[:, :1]) * scale * weight + bias, None
        else:
            norm = standard_of_rows(z, rows, self.statistics[index])
        return norm.standard * weight + bias, norm

    def _normalise_slope(self, index: int, slope: Tensor, norm: Norm, rows: Rows) -> Tensor:
        weight, _ = self._norm_of(index)
        gradients, own = self.gradients.norm[index], own_gradients(slope, norm)
        assert gradients is not None
        for target, value in zip(gradients, own, strict=True):
            target.copy_(value)
        if self.hidden[index].norm == "layer":
            return slope_of_units(slope, weight, norm, *self.units[index])
        return slope_of_rows(slope, weight, norm, rows, own)


@dataclass(frozen=True, slots=True)
class _Saved:
    z: Tensor
    a: Tensor
    h: Tensor
    norm: Norm | None


def _fresh_statistics(layer: LayerPlan) -> Tensor:
    statistics = torch.zeros(layer.lanes, 2, layer.outputs)
    statistics[:, 1] = 1.0
    return statistics


def _activation_runs(specs: Sequence[TrialSpec]) -> list[tuple[int, int, str]]:
    runs, start = [], 0
    for kind, group in groupby(specs, key=lambda spec: str(spec.params["activation"])):
        stop = start + len(list(group))
        runs.append((start, stop, kind))
        start = stop
    return runs


def _copy_rows(target: Tensor, source: Tensor, lanes: Sequence[int]) -> None:
    for lane in lanes:
        if lane < target.shape[0]:
            target[lane].copy_(source[lane])
