"""Hypergradients: against finite differences of a training written anew in float64, and what they must leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.cases import arrays, spec
from tracker.execution.executor import one_thread
from tracker.families.family import train, train_cohort
from tracker.families.mlp import Dropout
from tracker.families.mlp_lanes import MlpLanes
from tracker.families.mlp_layout import initial_tensors, shape_of
from tracker.hyperparameters import DIFFERENTIABLE
from tracker.network_knobs import ACTIVATIONS
from tracker.records import HYPERGRADIENT, TrialSpec
from tracker.standalone.mlp import multiple_of_8
from tracker.training.arrays import Arrays
from tracker.training.draws import draw_batches
from tracker.training.losses import class_weights
from tracker.training.optimizer_tangents import differentiable
from tracker.training.schedules import learning_rates

NAMES = ["label_smoothing", "learning_rate", "momentum", "weight_decay"]
DATA = arrays(rows=29, features=4, validation=21)


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> Iterator[None]:
    """As in training; more would be slower on networks this small."""
    with one_thread():
        yield


def asked(one: TrialSpec, names: list[str] = NAMES) -> TrialSpec:
    """The same run with hypergradients."""
    return replace(one, training={**one.training, "hypergradients": names})


def plain_loss(one: TrialSpec, data: Arrays, **changed: float) -> float:
    """The validation loss after the last epoch, in float64, by torch's automatic differentiation and torch's optimizers."""
    p = {**one.params, **changed}
    tensors = {name: t.double() for name, t in initial_tensors(one, data.x_train.shape[1], data.classes).items()}
    leaves = {name: t.requires_grad_() for name, t in tensors.items() if "running" not in name}
    optimizer, means = _optimizer(p, list(leaves.values())), dict[str, torch.Tensor]()
    x, y = torch.from_numpy(data.x_train).double(), torch.from_numpy(data.y_train)
    given = class_weights(p, data)
    weights = None if given is None else torch.from_numpy(given)
    count, size, epochs = len(y), p["batch_size"], one.training["epochs"]
    padded, steps = multiple_of_8(min(size, count)), -(-count // size)
    lanes = MlpLanes([one], shape_of(one, data.x_train.shape[1], data.classes))
    for epoch in range(1, epochs + 1):
        index = draw_batches(one.seed, epoch, count, size, padded)
        masks = Dropout(lanes, epoch, padded).masks(steps)
        rates = learning_rates(p, (epoch - 1) * steps + 1, steps, steps * epochs)
        for step, rate in enumerate(rates):
            rows = torch.from_numpy(index[step][index[step] < count])
            here = None if masks is None else [mask[step, 0, : len(rows)].double() for mask in masks]
            optimizer.zero_grad()
            logits = _logits(p, tensors, x[rows], masks=here, training=True)
            smoothing = p.get("label_smoothing", 0.0)
            truth = (
                torch.nn.functional.one_hot(y[rows], data.classes).double() * (1 - smoothing) + smoothing / data.classes
            )
            share = torch.ones(len(rows)).double() if weights is None else weights[y[rows]]
            losses = -(truth * torch.log_softmax(logits, -1)).sum(-1)
            ((losses * share).sum() / share.sum()).backward()
            if p.get("gradient_clip"):
                torch.nn.utils.clip_grad_norm_(leaves.values(), p["gradient_clip"])
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            decay = p.get("weight_averaging", 0.0) if means else 0.0
            for name, leaf in leaves.items():
                means[name] = decay * means.get(name, 0.0) + (1 - decay) * leaf.detach()
    with torch.no_grad():
        kept = tensors | means if p.get("weight_averaging") else tensors
        logits = _logits(p, kept, torch.from_numpy(data.x_validation).double(), masks=None, training=False)
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.y_validation)))


def _optimizer(p: dict[str, Any], leaves: list[torch.Tensor]) -> torch.optim.Optimizer:
    kind, common = p["optimizer"], {"lr": p["learning_rate"], "weight_decay": p["weight_decay"]}
    if kind == "sgd":
        return torch.optim.SGD(leaves, momentum=p["momentum"], nesterov=p.get("nesterov", False), **common)
    found = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "adagrad": "Adagrad"}[kind]
    made: torch.optim.Optimizer = getattr(torch.optim, found)(leaves, **common)
    return made


def _logits(p: dict[str, Any], t: dict[str, torch.Tensor], x: torch.Tensor, *, masks: Any, training: bool) -> Any:
    h = x
    for index in range(p["hidden_layers"]):
        h = torch.nn.functional.linear(h, t[f"hidden_{index}.weight"], t.get(f"hidden_{index}.bias"))
        if p["batch_norm"]:
            norm = [t[f"norm_{index}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
            h = torch.nn.functional.batch_norm(h, *norm, training=training, momentum=0.1, eps=1e-5)
        elif p.get("layer_norm"):
            weight, bias = t[f"norm_{index}.weight"], t[f"norm_{index}.bias"]
            h = torch.nn.functional.layer_norm(h, weight.shape, weight, bias, eps=1e-5)
        h = getattr(torch.nn.functional, p["activation"])(h)
        h = h if masks is None else h * masks[index][:, : h.shape[1]]
    return torch.nn.functional.linear(h, t["output.weight"], t["output.bias"])


def differences(one: TrialSpec, data: Arrays) -> dict[str, float]:
    """Central differences by each name that can be differentiated."""
    found = {}
    for name in differentiable(one.params, NAMES):
        value = one.params[name]
        far = 1e-5 * max(value, 1e-3)
        high, low = (plain_loss(one, data, **{name: value + sign * far}) for sign in (1, -1))
        found[name] = (high - low) / (2 * far)
    return found


@st.composite
def settings_of_runs(draw: Any) -> TrialSpec:
    """Any optimizer that can be differentiated, with all that training knows."""
    kind = draw(st.sampled_from(["sgd", "adam", "adamw", "rmsprop", "adagrad"]))
    own = {"momentum": draw(st.sampled_from([0.0, 0.5, 0.9])), "nesterov": draw(st.booleans())} if kind == "sgd" else {}
    if own.get("momentum") == 0.0:
        own["nesterov"] = False
    return spec(
        draw(st.integers(0, 50)),
        epochs=draw(st.integers(1, 3)),
        optimizer=kind,
        learning_rate=draw(st.sampled_from([0.03, 0.2] if kind == "sgd" else [1e-3, 1e-2])),
        weight_decay=draw(st.sampled_from([1e-4, 1e-3, 0.1])),
        label_smoothing=draw(st.sampled_from([0.0, 0.1])),
        gradient_clip=draw(st.sampled_from([0.0, 0.5])),
        schedule=draw(st.sampled_from(["constant", "cosine", "one_cycle"])),
        weight_averaging=draw(st.sampled_from([0.0, 0.8])),
        warmup=draw(st.sampled_from([0.0, 0.2])),
        class_weights=draw(st.sampled_from(["none", "balanced"])),
        hidden_layers=draw(st.integers(0, 2)),
        units=draw(st.sampled_from([5, 8])),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        **draw(st.sampled_from([{}, {"batch_norm": True}, {"layer_norm": True}])),
        dropout=draw(st.sampled_from([0.0, 0.3])),
        batch_size=draw(st.sampled_from([8, 20])),
        **own,
    )


@settings(
    max_examples=12, deadline=None, derandomize=True
)  # where a gradient is 0 but for rounding, adam has no derivative
@given(one=settings_of_runs())
def test_hypergradients_are_finite_differences_of_training(one: TrialSpec) -> None:
    """Through all steps, schedules, dropout, norms, clipping and weights: those of a training in float64, to rounding."""
    data = replace(DATA, labels=("a", "b", "c"))
    row = train(asked(one), data).outcome.history[-1]
    expected = differences(one, data)
    assert {HYPERGRADIENT + name for name in expected} == {name for name in row if name.startswith(HYPERGRADIENT)}
    for name, value in expected.items():
        assert row[HYPERGRADIENT + name] == pytest.approx(value, rel=5e-3, abs=1e-4)


def mixed_runs(names: list[str]) -> list[TrialSpec]:
    """Runs of one shape, of several depths, optimizers and activations, which stop early and ask for these names."""
    kinds = [("sgd", "relu"), ("adamw", "gelu"), ("rmsprop", "tanh"), ("sgd", "sigmoid")]
    return [
        asked(
            spec(
                seed,
                epochs=6,
                stopping={"monitor": "val_loss", "patience": 1 + seed},
                hidden_layers=1 + seed % 2,
                units=9 + seed,
                optimizer=optimizer,
                activation=activation,
                batch_norm=True,
                dropout=0.3 * (seed % 2),
                batch_size=8,
                learning_rate=0.05,
                momentum=0.9,
                weight_decay=0.01,
                label_smoothing=0.1 * (seed // 2),
            ),
            names,
        )
        for seed, (optimizer, activation) in enumerate(kinds)
    ]


def test_training_is_untouched_by_them() -> None:
    """The same weights, predictions and epochs bit for bit; what is more is their metrics, and the key says so."""
    for plain, more in zip(train_cohort(mixed_runs([]), DATA), train_cohort(mixed_runs(NAMES), DATA), strict=True):
        assert plain.weights == more.weights
        rows = [
            {name: value for name, value in row.items() if HYPERGRADIENT not in name} for row in more.outcome.history
        ]
        assert rows == list(plain.outcome.history) != list(more.outcome.history)
        assert plain.outcome.predictions == more.outcome.predictions
        assert plain.spec.key != more.spec.key
        assert (
            plain.spec.key
            == replace(plain.spec, training=spec(1, 6, {**plain.spec.training["early_stopping"]}).training).key
        )


def test_lanes_pauses_and_checkpoints_change_no_hypergradient() -> None:
    """Beside others, alone, and from a checkpoint in another process's place: the same numbers to the last bit."""
    runs = mixed_runs(NAMES)
    together = [result.outcome for result in train_cohort(runs, DATA)]
    assert together == [train(one, DATA).outcome for one in runs]
    paused = train_cohort(runs, DATA, until=1)
    checkpoints = [result.checkpoint for result in paused]
    assert together == [result.outcome for result in train_cohort(runs, DATA, checkpoints=checkpoints)]


def test_what_has_no_effect_has_no_derivative() -> None:
    """Momentum belongs to sgd; at 0 it keeps nothing to be differentiated."""
    assert ("learning_rate", "weight_decay") == differentiable(spec(optimizer="adam").params, DIFFERENTIABLE)
    still, moving = spec(optimizer="sgd", momentum=0.0).params, spec(optimizer="sgd", momentum=0.5).params
    assert ("momentum" in differentiable(moving, NAMES)) > ("momentum" in differentiable(still, NAMES))
