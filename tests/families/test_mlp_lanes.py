"""The written-out backward pass against automatic differentiation, and padding against true sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load
from sklearn.utils.class_weight import compute_class_weight

from tests.families.plain import assert_same_weights, train_plainly
from tests.training.cases import arrays, spec
from tracker.canonical import digest_arrays
from tracker.families.family import train, train_cohort
from tracker.families.mlp_lanes import MlpLanes
from tracker.families.mlp_layout import initial_tensors, lane_sizes, shape_of
from tracker.families.mlp_norms import Rows
from tracker.network_knobs import ACTIVATIONS, WEIGHT_INITS
from tracker.records import TrialSpec
from tracker.standalone.mlp import load_module, padded_width, probabilities
from tracker.training.losses import class_weights

NORMS = {"none": {}, "batch": {"batch_norm": True}, "layer": {"layer_norm": True}}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_automatic_differentiation(activation: str, norm: str) -> None:
    """Loss gradients of a padded, short batch with dropout equal PyTorch's own, to rounding."""
    one = spec(3, units=[9, 6], activation=activation, dropout=0.4, batch_size=16, **NORMS[norm])
    lanes = MlpLanes([one], shape_of(one, 5, 3))
    lanes.initialise()
    rows, padded = 13, 16
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(rows, 5, generator=generator), torch.randint(3, (rows,), generator=generator)
    masks = [(torch.rand(1, padded, 16, generator=generator) > 0.4).float() / 0.6 for _ in range(2)]
    wide, truth = torch.zeros(1, padded, 8), torch.zeros(1, padded, 8)
    wide[0, :rows, :5] = x
    truth[0, torch.arange(rows), y] = 1.0
    lanes.gradient(wide, truth, Rows.of(rows, padded), masks, torch.empty(1, padded, 8))
    mine = lanes.read(0, "gradients")

    tensors = {name: t for name, t in initial_tensors(one, 5, 3).items() if "running" not in name}
    leaves = {name: t.clone().requires_grad_() for name, t in tensors.items()}
    h = x
    for index, mask in enumerate(masks):
        h = torch.nn.functional.linear(h, leaves[f"hidden_{index}.weight"], leaves.get(f"hidden_{index}.bias"))
        if norm == "batch":
            weight, bias = leaves[f"norm_{index}.weight"], leaves[f"norm_{index}.bias"]
            h = torch.nn.functional.batch_norm(h, None, None, weight, bias, training=True)
        elif norm == "layer":
            weight, bias = leaves[f"norm_{index}.weight"], leaves[f"norm_{index}.bias"]
            h = torch.nn.functional.layer_norm(h, weight.shape, weight, bias)
        h = getattr(torch.nn.functional, activation)(h) * mask[0, :rows, : h.shape[1]]
    logits = torch.nn.functional.linear(h, leaves["output.weight"], leaves["output.bias"])
    torch.nn.functional.cross_entropy(logits, y).backward()
    for name, leaf in leaves.items():
        torch.testing.assert_close(mine[name], leaf.grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("norm", NORMS)
def test_ten_steps_are_those_of_a_plain_module(norm: str) -> None:
    """Five epochs of two batches with adamw give the weights that torch's module and optimizer come to from the same ones."""
    data = arrays(rows=23, features=4)
    one = spec(
        3, 5, units=[9, 6], activation="gelu", learning_rate=0.02, weight_decay=0.01, batch_size=16, **NORMS[norm]
    )
    net = load_module(one.params, initial_tensors_of_torch(one))
    steps = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=0.01)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    train_plainly(net, steps, x, y, one.seed, 5)
    assert_same_weights(train(one, data).weights, net)


def initial_tensors_of_torch(one: TrialSpec) -> dict[str, torch.Tensor]:
    """Initial weights of four features and three classes, with what a plain batch norm counts besides."""
    tensors = initial_tensors(one, 4, 3)
    counts = [name.replace("running_mean", "num_batches_tracked") for name in tensors if "running_mean" in name]
    return {**tensors, **{name: torch.tensor(0) for name in counts}}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_with_class_weights_are_those_of_torch(batch_norm: bool) -> None:
    """An epoch of one batch moves plain sgd by the gradient of `cross_entropy(weight=...)`, a sum of weights below it."""
    data, rate = arrays(rows=23, features=4, classes=3), 0.5
    weights = {"a": 0.5, "b": 4.0, "c": 1.0}
    data = replace(data, labels=("a", "b", "c"))
    knobs = {"units": 6, "hidden_layers": 1, "batch_norm": batch_norm, "optimizer": "sgd", "learning_rate": rate}
    one = spec(3, 1, batch_size=64, class_weights=weights, **knobs)
    found = load(train(one, data).weights)
    leaves = {
        name: t.clone().requires_grad_() for name, t in initial_tensors(one, 4, 3).items() if "running" not in name
    }
    h = torch.nn.functional.linear(
        torch.from_numpy(data.x_train), leaves["hidden_0.weight"], leaves.get("hidden_0.bias")
    )
    if batch_norm:
        h = torch.nn.functional.batch_norm(h, None, None, leaves["norm_0.weight"], leaves["norm_0.bias"], training=True)
    logits = torch.nn.functional.linear(torch.relu(h), leaves["output.weight"], leaves["output.bias"])
    scale = torch.tensor([weights[label] for label in data.labels])
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.y_train), weight=scale).backward()
    for name, leaf in leaves.items():
        torch.testing.assert_close(found[name], leaf.detach() - rate * leaf.grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("batch_size", [1, 8, 31, 200])
def test_lanes_with_and_without_class_weights_do_not_touch_one_another(batch_size: int) -> None:
    """Weighted lanes beside others give the bits of each alone; those without have the bits of a cohort without any."""
    data = replace(arrays(rows=61, classes=3), labels=("a", "b", "c"))
    wanted = ("none", "balanced", {"a": 3.0}, "none", "balanced")
    specs = [
        spec(seed, 3, class_weights=weights, batch_size=batch_size, units=9 + seed, dropout=0.2 * (seed % 2))
        for seed, weights in enumerate(wanted)
    ]
    together = train_cohort(specs, data)
    assert [train(one, data).outcome for one in specs] == [result.outcome for result in together]
    plain = [one for one in specs if "class_weights" not in one.params]
    assert [together[0].weights, together[3].weights] == [result.weights for result in train_cohort(plain, data)]
    unweighted = train(spec(1, 3, batch_size=batch_size, units=10, dropout=0.2), data)
    assert (batch_size > 1) == (unweighted.weights != together[1].weights)  # of one row the weight cancels


def test_balanced_weights_are_scikit_learns() -> None:
    """Rows over classes times rows of the class, from the training rows; a class that is not named counts 1."""
    data = replace(arrays(rows=50, classes=4), labels=("a", "b", "c", "d"))
    expected = compute_class_weight("balanced", classes=np.arange(4), y=data.y_train)
    assert expected.tolist() == class_weights({"class_weights": "balanced"}, data).tolist()
    assert [1.0, 2.5, 1.0, 1.0] == class_weights({"class_weights": {"b": 2.5}}, data).tolist()
    assert None is class_weights({}, data) is class_weights({"class_weights": "none"}, data)


def test_losses_are_told_without_weights() -> None:
    """`train_loss` and `val_loss` are one measure for all trials: those of the first epoch's weights, whatever counts."""
    data, one = arrays(rows=40, classes=3), spec(2, 1, batch_size=64, class_weights="balanced", units=8)
    outcome = train(one, data).outcome
    plain = train(spec(2, 1, batch_size=64, units=8), data).outcome
    assert plain.metrics["train_loss"] == outcome.metrics["train_loss"]  # before the one step
    p = probabilities(one.params, load(train(one, data).weights), data.x_validation)
    mean = -np.log(p[np.arange(len(p)), data.y_validation]).mean()
    assert mean == pytest.approx(outcome.metrics["val_loss"], rel=1e-5)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_model_that_travels_gives_the_recorded_probabilities(activation: str, norm: str, depth: int) -> None:
    """The standalone forward pass repeats the validation predictions bit for bit, a plain torch module to rounding."""
    one = spec(4, units=33, hidden_layers=depth, activation=activation, **NORMS[norm])
    data = arrays()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    result = train(one, data)
    torch.set_num_threads(before)
    assert result.weights is not None
    tensors = load(result.weights)
    found = probabilities(one.params, tensors, data.x_validation)
    assert digest_arrays({"probabilities": found}) == result.outcome.predictions
    plain = torch.softmax(load_module(one.params, tensors)(torch.from_numpy(data.x_validation)), -1).detach().numpy()
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", WEIGHT_INITS)
def test_initial_weights_come_from_the_seed_alone(kind: str) -> None:
    """Equal seeds give equal weights, other seeds others; the global generator is not touched."""
    state = torch.get_rng_state()
    one, two = (initial_tensors(spec(5, weight_init=kind), 5, 3) for _ in range(2))
    other = initial_tensors(spec(6, weight_init=kind), 5, 3)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["hidden_0.weight"], other["hidden_0.weight"])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_padding_never_learns(norm: str) -> None:
    """Padded weights stay zero through training, whatever the activation."""
    from tests.training.cases import any_spec

    rng = np.random.default_rng(0)
    one = any_spec(rng, 1, 12, 8, norm, 0)
    lanes = MlpLanes([one], shape_of(one, 5, 3))
    lanes.initialise()
    x, truth = torch.ones(1, 8, 8), torch.zeros(1, 8, 8)
    x[..., 5:], truth[..., 0] = 0.0, 1.0
    lanes.gradient(x, truth, Rows.of(8, 8), None, torch.empty(1, 8, 8))
    sizes = lane_sizes(one, lanes.shape)
    for index, layer in enumerate(lanes.plan):
        gradient = lanes.gradients.weight[index][0].clone()
        inputs = sizes[-2] if layer.name == "output" else sizes[index]
        outputs = sizes[-1] if layer.name == "output" else sizes[index + 1]
        gradient[:inputs, :outputs] = 0.0
        assert not gradient.any()


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 8), (8, 8), (9, 16), (17, 32), (33, 64), (65, 96), (128, 128), (129, 160)]
)
def test_padded_widths(size: int, expected: int) -> None:
    """The padded width is part of what is computed, so it is pinned."""
    assert padded_width(size) == expected
