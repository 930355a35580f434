"""Hypergradients of one fully connected network: d(validation loss)/d(hyperparameter), carried along while it trains.

Forward mode, exact and not truncated (Franceschi et al., ICML 2017; the problem is that of Maclaurin et al., ICML 2015):
beside the weights w goes dw/dh for every hyperparameter h, and each step of training moves both. The derivative of the
written-out backward pass (`mlp_lanes`) is written out too; a test holds it against finite differences.

A network's tangents are computed by itself from what its lane holds, which is only read. So weights have the same bits
with and without them, and tangents the same beside any neighbours. Shapes: names H, rows of a padded batch B, width W.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tracker.families.mlp_lanes import MlpLanes
from tracker.families.mlp_layout import Buffer, Shape, plan_layers
from tracker.families.mlp_norms import BATCH_NORM_MOMENTUM, Rows
from tracker.records import TrialSpec
from tracker.standalone.mlp import ACTIVATIONS, LEAKY_SLOPE, NORM_EPS, ROWS_AT_ONCE
from tracker.training.optimizer_tangents import StepTangents, differentiable

BUFFERS = ("values", "first", "second")
Dual = tuple[Tensor, Tensor]  # a tensor, and its tangents, with the names in front
Units = tuple[Tensor, Tensor]  # which padded units are real (1, W), and how many (1, 1)


def _gelu(z: Tensor) -> tuple[Tensor, Tensor]:
    density = torch.from_numpy(np.exp(-0.5 * (z * z).numpy())) / math.sqrt(2 * math.pi)
    return torch.ops.aten.gelu_backward(torch.ones_like(z), z), density * (2 - z * z)


# first and second derivative of the activation at z, where its value is a; no second one: it is 0
_DERIVATIVES: Mapping[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]] = {
    "sigmoid": lambda _, a: (a * (1 - a), a * (1 - a) * (1 - 2 * a)),
    "tanh": lambda _, a: (1 - a * a, -2 * a * (1 - a * a)),
    "relu": lambda z, _: ((z > 0).float(), None),
    "leaky_relu": lambda z, _: (torch.where(z > 0, 1.0, LEAKY_SLOPE), None),
    "gelu": lambda z, _: _gelu(z),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step of one lane reads: rows (B, features), truth and shares (B, 1) in the mean, dropout factors (B, W)."""

    x: Tensor
    truth: Tensor
    rows: Rows
    share: Tensor
    masks: Sequence[Tensor] | None


@dataclass(frozen=True, slots=True)
class _Norm:
    standard: Dual
    inverse: Dual


@dataclass(frozen=True, slots=True)
class _Saved:
    below: tuple[Tensor, Tensor | None]
    d_z: Tensor
    slope: Tensor
    bend: Tensor | None
    norm: _Norm | None


def open_tangents(spec: TrialSpec, shape: Shape) -> Tangents | None:
    """The tangents of a run before its first step; None where its spec asks for none."""
    names = differentiable(spec.params, spec.training.get("hypergradients", ()))
    return Tangents(spec, shape, names) if names else None


class Tangents:
    """d(weights, moments)/d(hyperparameters) of one run; zero before its first step, as initial weights depend on none."""

    def __init__(self, spec: TrialSpec, shape: Shape, names: Sequence[str]) -> None:
        self.names, self._spec, self._classes = tuple(names), spec, shape.classes
        plan, wide = plan_layers([spec], shape), plan_layers([spec] * len(names), shape)
        self._hidden, self._output = plan[:-1], len(plan) - 1
        self._point = {name: Buffer(plan) for name in (*BUFFERS, "gradients")}
        self._decay = spec.params.get("weight_averaging", 0.0)
        self._carried = (*BUFFERS, *(["means"] if self._decay else []))
        self._tangents = {name: Buffer(wide) for name in (*self._carried, "gradients")}
        self._statistics = [
            torch.zeros(len(names), 2, layer.outputs) for layer in self._hidden if layer.norm == "batch"
        ]
        self._step = StepTangents(spec.params, self.names)
        self._smooths = torch.tensor([[[float(name == "label_smoothing")]] for name in self.names])

    def step(
        self,
        lanes: MlpLanes,
        lane: int,
        batch: Batch,
        rate: float,
        coefficients: tuple[float, float, float],
        *,
        is_first: bool,
    ) -> None:
        """Goes along with a step that the lane is about to make, with this learning rate; the lane is not changed."""
        self._read(lanes, lane, BUFFERS)
        self._gradient(lanes, lane, batch)
        order = ("values", "gradients", "first", "second")
        p_values, p_gradients, p_first, p_second = (self._point[name].blocks[0] for name in order)
        t_values, t_gradients, t_first, t_second = (self._tangents[name].blocks[0] for name in order)
        point, tangents = (p_values, p_gradients, p_first, p_second), (t_values, t_gradients, t_first, t_second)
        self._step.step(point, tangents, rate, coefficients)
        if self._decay:
            means = self._tangents["means"].blocks[0]
            means.copy_(t_values) if is_first else means.lerp_(t_values, 1 - self._decay)

    def slopes(self, lanes: MlpLanes, lane: int, x: Tensor, y: Tensor) -> dict[str, float]:
        """d(mean cross-entropy)/d(each name) on rows (rows, features), of which the first have classes `y` (rows,).

        A lane that averages its weights must have the averages as its values.
        """
        self._read(lanes, lane, ("values",))
        steps = self._tangents["values"]
        self._tangents["values"] = self._tangents["means"] if self._decay else steps
        count, total = len(y), torch.zeros(len(self.names), dtype=torch.float64)
        for start in range(0, count, ROWS_AT_ONCE):
            truth = y[start : start + ROWS_AT_ONCE]
            logits, d_logits = self._evaluate(lanes, lane, x[start : start + ROWS_AT_ONCE])
            p = torch.exp(torch.log_softmax(logits, -1))
            right = d_logits[:, torch.arange(len(truth)), truth]
            total += ((p * d_logits).sum(-1)[:, : len(truth)] - right).double().sum(1)
        self._tangents["values"] = steps
        return dict(zip(self.names, (total / count).tolist(), strict=True))

    def state(self) -> dict[str, Tensor]:
        """All that is carried along, to go on elsewhere."""
        tensors = {name: self._tangents[name].blocks[0] for name in self._carried}
        return {f"tangents/{name}": t.clone() for name, t in tensors.items()} | {
            f"tangents/statistics_{index}": t.clone() for index, t in enumerate(self._statistics)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        for name in self._carried:
            self._tangents[name].blocks[0].copy_(state[f"tangents/{name}"])
        for index, statistics in enumerate(self._statistics):
            statistics.copy_(state[f"tangents/statistics_{index}"])

    def _read(self, lanes: MlpLanes, lane: int, buffers: Sequence[str]) -> None:
        """Copies of what the lane holds."""
        places = {layer.name: index for index, layer in enumerate(lanes.plan)}
        for name in buffers:
            mine, theirs = self._point[name], getattr(lanes, name)
            for index, layer in enumerate(mine.plan):
                place = places[layer.name]
                mine.weight[index][0].copy_(theirs.weight[place][lane])
                for own, other in zip(mine.rows_of(index), theirs.rows_of(place), strict=True):
                    own[0].copy_(other[lane])

    def _gradient(self, lanes: MlpLanes, lane: int, batch: Batch) -> None:
        """Gradients of the lane's mean cross-entropy, and their tangents."""
        saved, h, d_h = list[_Saved](), batch.x, None
        for index, layer in enumerate(self._hidden):
            below = h, d_h
            z, d_z = self._affine(index, h, d_h)
            norm = None
            if layer.norm == "batch":
                z, d_z, norm = self._normalise_batch(index, z, d_z, batch.rows)
            elif layer.norm == "layer":
                z, d_z, norm = self._normalise_units(index, z, d_z, _units(lanes, lane, index))
            h, d_h, slope, bend = self._activate(lanes, lane, index, z, d_z)
            if batch.masks is not None:
                h, d_h = h * batch.masks[index], d_h * batch.masks[index]
            saved.append(_Saved(below, d_z, slope, bend, norm))
        logits, d_logits = self._affine(self._output, h, d_h)
        p = torch.exp(torch.log_softmax(logits + lanes.gap[0], -1))
        d_p = p * (d_logits - (p * d_logits).sum(-1, keepdim=True))
        share = self._spec.params.get("label_smoothing", 0.0)
        d_truth = self._smooths * ((1 / self._classes - batch.truth) / (1 - share))
        d_truth[..., self._classes :] = 0.0
        g, d_g = (p - batch.truth) * batch.share, (d_p - d_truth) * batch.share
        g, d_g = self._write(self._output, (h, d_h), g, d_g)
        for index in reversed(range(len(self._hidden))):
            entry = saved[index]
            if batch.masks is not None:
                g, d_g = g * batch.masks[index], d_g * batch.masks[index]
            bent = entry.slope * d_g
            g, d_g = g * entry.slope, bent if entry.bend is None else bent + g * entry.bend * entry.d_z
            if entry.norm is not None:
                units = _units(lanes, lane, index) if self._hidden[index].norm == "layer" else None
                g, d_g = self._normalise_slope(index, g, d_g, entry.norm, batch.rows, units)
            g, d_g = self._write(index, entry.below, g, d_g)

    def _affine(self, index: int, h: Tensor, d_h: Tensor | None) -> Dual:
        weight, d_weight = self._point["values"].weight[index][0], self._tangents["values"].weight[index]
        bias, d_bias = self._point["values"].bias[index], self._tangents["values"].bias[index]
        z, d_z = h @ weight, h @ d_weight
        if d_h is not None:
            d_z = d_z + d_h @ weight
        return (z, d_z) if bias is None or d_bias is None else (z + bias[0], d_z + d_bias)

    def _activate(
        self, lanes: MlpLanes, lane: int, index: int, z: Tensor, d_z: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Value, its tangents, first and second derivative."""
        kind = self._spec.params["activation"]
        a = ACTIVATIONS[kind](z)
        slope, bend = _DERIVATIVES[kind](z, a)
        if kind == "sigmoid" and (mask := lanes.unit[index]) is not None:  # not 0 at 0, as padding should be
            a, slope = a * mask[lane], slope * mask[lane]
        return a, slope * d_z, slope, bend

    def _write(self, index: int, below: tuple[Tensor, Tensor | None], g: Tensor, d_g: Tensor) -> Dual:
        """The gradients of a layer's weights, given those of its outputs; gives those of its inputs."""
        h, d_h = below
        point, tangents = self._point["gradients"], self._tangents["gradients"]
        torch.mm(h.T, g, out=point.weight[index][0])
        d_weight = torch.matmul(h.T, d_g)
        tangents.weight[index].copy_(d_weight if d_h is None else d_weight + d_h.transpose(1, 2) @ g)
        bias, d_bias = point.bias[index], tangents.bias[index]
        if bias is not None and d_bias is not None:
            bias.copy_(g.sum(0).view_as(bias))
            d_bias.copy_(d_g.sum(1, keepdim=True))
        if index == 0:
            return g, d_g
        weight, d_values = self._point["values"].weight[index][0], self._tangents["values"].weight[index]
        return g @ weight.T, d_g @ weight.T + g @ d_values.transpose(1, 2)

    def _norm_of(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight and bias (1, W), and their tangents (H, 1, W)."""
        point, tangents = self._point["values"].norm[index], self._tangents["values"].norm[index]
        assert point is not None
        assert tangents is not None
        return point[0][0], point[1][0], tangents[0], tangents[1]

    def _scaled(self, index: int, standard: Dual) -> Dual:
        weight, bias, d_weight, d_bias = self._norm_of(index)
        return standard[0] * weight + bias, standard[1] * weight + standard[0] * d_weight + d_bias

    def _normalise_batch(self, index: int, z: Tensor, d_z: Tensor, rows: Rows) -> tuple[Tensor, Tensor, _Norm]:
        norm, d_mean, d_variance = _standardise((z, d_z), rows.valid[0], rows.count, -2)
        new = torch.cat([d_mean, d_variance * (rows.count / max(1, rows.count - 1))], 1)
        self._statistics[index].lerp_(new, BATCH_NORM_MOMENTUM)
        return *self._scaled(index, norm.standard), norm

    def _normalise_units(self, index: int, z: Tensor, d_z: Tensor, units: Units) -> tuple[Tensor, Tensor, _Norm]:
        norm, _, _ = _standardise((z, d_z), *units, -1)
        return *self._scaled(index, norm.standard), norm

    def _normalise_slope(
        self, index: int, g: Tensor, d_g: Tensor, norm: _Norm, rows: Rows, units: Units | None
    ) -> Dual:
        """The gradient in front of a norm, given the one behind it; layer norm has `units`. Writes down the norm's own."""
        weight, _, d_weight, _ = self._norm_of(index)
        sums = _sums((g, d_g), norm.standard, -2)
        point, tangents = self._point["gradients"].norm[index], self._tangents["gradients"].norm[index]
        assert point is not None
        assert tangents is not None
        for pair, (value, d_value) in zip(zip(point, tangents, strict=True), sums, strict=True):
            pair[0].copy_(value.view_as(pair[0]))
            pair[1].copy_(d_value.view_as(pair[1]))
        inverse, d_inverse = norm.inverse
        if units is None:
            centred, d_centred = _off_means((g, d_g), norm.standard, sums, rows.count)
            factor = weight * inverse / rows.count * rows.valid[0]
            d_factor = (d_weight * inverse + weight * d_inverse) / rows.count * rows.valid[0]
        else:
            real, count = units
            weighted = g * weight, d_g * weight + g * d_weight
            sums = _sums(weighted, norm.standard, -1)
            centred, d_centred = _off_means(weighted, norm.standard, sums, count)
            factor, d_factor = inverse / count * real, d_inverse / count * real
        return centred * factor, d_centred * factor + centred * d_factor

    def _evaluate(self, lanes: MlpLanes, lane: int, x: Tensor) -> Dual:
        """Logits of rows in evaluation mode, and their tangents."""
        h, d_h = x, None
        for index, layer in enumerate(self._hidden):
            z, d_z = self._affine(index, h, d_h)
            if layer.norm == "batch":
                z, d_z = self._normalised(lanes, lane, index, z, d_z)
            elif layer.norm == "layer":
                z, d_z, _ = self._normalise_units(index, z, d_z, _units(lanes, lane, index))
            h, d_h, _, _ = self._activate(lanes, lane, index, z, d_z)
        logits, d_logits = self._affine(self._output, h, d_h)
        return logits + lanes.gap[0], d_logits

    def _normalised(self, lanes: MlpLanes, lane: int, index: int, z: Tensor, d_z: Tensor) -> Dual:
        """Batch norm in evaluation mode."""
        mean, variance = lanes.statistics[index][lane, :1], lanes.statistics[index][lane, 1:]
        d_mean, d_variance = self._statistics[index][:, :1], self._statistics[index][:, 1:]
        inverse = torch.rsqrt(variance + NORM_EPS)
        d_inverse = -0.5 * inverse**3 * d_variance
        standard, d_standard = (z - mean) * inverse, (d_z - d_mean) * inverse + (z - mean) * d_inverse
        return self._scaled(index, (standard, d_standard))


def _units(lanes: MlpLanes, lane: int, index: int) -> Units:
    real, count = lanes.units[index]
    return real[lane], count[lane]


def _standardise(z: Dual, valid: Tensor, count: int | Tensor, dim: int) -> tuple[_Norm, Tensor, Tensor]:
    """What is `valid` with mean 0 and variance 1 along a dimension; and the tangents of that mean and variance."""
    mean, d_mean = ((part * valid).sum(dim, keepdim=True) / count for part in z)
    centred, d_centred = (z[0] - mean) * valid, (z[1] - d_mean) * valid
    variance = (centred * centred).sum(dim, keepdim=True) / count
    d_variance = 2 * (centred * d_centred).sum(dim, keepdim=True) / count
    inverse = torch.rsqrt(variance + NORM_EPS)
    d_inverse = -0.5 * inverse**3 * d_variance
    standard = centred * inverse, d_centred * inverse + centred * d_inverse
    return _Norm(standard, (inverse, d_inverse)), d_mean, d_variance


def _sums(g: Dual, standard: Dual, dim: int) -> tuple[Dual, Dual]:
    """Sums along a dimension: of g times what is standard, and of g."""
    along, d_along = g[0] * standard[0], g[1] * standard[0] + g[0] * standard[1]
    first = along.sum(dim, keepdim=True), d_along.sum(dim, keepdim=True)
    return first, (g[0].sum(dim, keepdim=True), g[1].sum(dim, keepdim=True))


def _off_means(g: Dual, standard: Dual, sums: tuple[Dual, Dual], count: int | Tensor) -> Dual:
    """`count` times g, less its mean and its part along what is standard."""
    (along, d_along), (total, d_total) = sums
    centred = g[0] * count - total - standard[0] * along
    return centred, g[1] * count - d_total - standard[1] * along - standard[0] * d_along
