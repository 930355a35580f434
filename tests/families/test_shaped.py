"""Convolutional and recurrent networks: plain PyTorch's numbers, repeatable, opened alone; what does not fit is told first."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load as read_safetensors

from tests.families.plain import assert_same_weights, train_plainly
from tests.studies.project import SmallProject
from tests.training.cases import STOPPING
from tracker.config import parse_config, read_yaml
from tracker.datasets.preprocess import fit_preprocessing
from tracker.errors import TrackerError
from tracker.families.family import open_family, start_training, train
from tracker.hyperparameters import FAMILIES, active
from tracker.network_knobs import WEIGHT_INITS
from tracker.records import TrialSpec
from tracker.standalone import cnn, rnn
from tracker.standalone.load import load_model
from tracker.training.arrays import Arrays
from tracker.training.draws import draw_batches
from tracker.training.loop import Training

IMAGE, SEQUENCE = (1, 6, 6), (6, 3)
SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"blocks": 2, "filters": [3, 4], "head_units": 5, "batch_size": 16},
    "rnn": {"units": 5, "head_units": 4, "batch_size": 16},
}


def arrays(shape: tuple[int, ...] = IMAGE, rows: int = 60, seed: int = 0) -> Arrays:
    """Rows of three classes that can be told apart, with noise."""
    rng = np.random.default_rng(seed)
    features = int(np.prod(shape))
    y = np.append(np.arange(3), rng.integers(0, 3, rows + 27)).astype(np.int64)
    x = (rng.normal(size=(3, features))[y] + rng.normal(size=(len(y), features))).astype(np.float32)
    return Arrays(x[:rows], y[:rows], x[rows:], y[rows:], 3, None, ("a", "b", "c"), shape=shape)


def spec(family: str, seed: int = 1, epochs: int = 3, stopping: Any = STOPPING, **params: Any) -> TrialSpec:
    training = {"epochs": epochs, "early_stopping": stopping, "device": "cpu"}
    whole = active(family, {**SMALL[family], **params})
    return TrialSpec(family, whole, training, seed, {}, "test", FAMILIES[family].numerics)


def given_network(family: str, run: TrialSpec, data: Arrays) -> torch.nn.Module:
    """The network of a run with its initial weights, as its engine builds it."""
    engine = open_family(family).start([run], data, None)
    return engine._built()


PLAIN = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=1e-3),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02, weight_decay=1e-3),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.02, weight_decay=1e-3),
}


@pytest.mark.parametrize("optimizer", PLAIN)
@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_training_agrees_with_a_loop_in_plain_pytorch(family: str, optimizer: str) -> None:
    """From the same weights and batches, three epochs of four steps give the weights that torch.optim gives."""
    data = arrays()
    knobs = {"optimizer": optimizer, "learning_rate": 0.02, "momentum": 0.9, "weight_decay": 1e-3}
    run = spec(family, stopping=None, **knobs)
    net = given_network(family, run, data)
    steps = PLAIN[optimizer](net.parameters())
    x, y = torch.from_numpy(data.x_train).reshape(-1, *data.shape), torch.from_numpy(data.y_train)
    train_plainly(net, steps, x, y, run.seed, 3)
    assert_same_weights(train(run, data).weights, net)


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_averaged_weights_are_those_of_torchs_averaged_model(family: str) -> None:
    """What is scored and kept is the moving average of every step's weights, with the buffers of the last step."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    data = arrays()
    knobs = {"optimizer": "sgd", "learning_rate": 0.1, **({"batch_norm": True} if family == "cnn" else {})}
    run = spec(family, stopping=None, weight_averaging=0.8, **knobs)
    net = given_network(family, run, data)
    mean = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    steps = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.from_numpy(data.x_train).reshape(-1, *data.shape), torch.from_numpy(data.y_train)
    for epoch in range(1, 4):
        net.train()
        for batch in draw_batches(run.seed, epoch, len(y), 16, 16):
            rows = torch.from_numpy(batch[batch < len(y)])
            steps.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            steps.step()
            mean.update_parameters(net)
    found = train(run, data)
    assert found.weights is not None
    for name, tensor in mean.module.state_dict().items():
        torch.testing.assert_close(read_safetensors(found.weights)[name], tensor, rtol=2e-4, atol=2e-5, msg=name)
    mean.eval()
    with torch.no_grad():
        logits = mean(torch.from_numpy(data.x_validation).reshape(-1, *data.shape))
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.y_validation))
    assert found.outcome.metrics["val_loss"] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("kind", WEIGHT_INITS)
def test_initial_weights_are_those_of_torchs_functions(kind: str) -> None:
    """Matrices and kernels are filled by torch.nn.init's function of that name, in the order of the network, biases with 0."""
    spread = {"uniform": {"a": -0.05, "b": 0.05}, "normal": {"std": 0.05}}
    rectifier = {"nonlinearity": "relu"} if kind.startswith("kaiming") else {}
    for net, network in ((cnn, SMALL["cnn"]), (rnn, SMALL["rnn"])):
        params = active("cnn" if net is cnn else "rnn", {**network, "weight_init": kind})
        torch.manual_seed(4)  # noqa: TID251
        found = net.network(params, IMAGE, 3).state_dict()
        torch.manual_seed(4)  # noqa: TID251
        plain = net.network({**params, "weight_init": "default"}, IMAGE, 3)
        for name, tensor in plain.state_dict().items():
            if kind != "default" and tensor.dim() > 1:
                getattr(torch.nn.init, f"{kind}_")(tensor, **spread.get(kind, {}), **rectifier)
            expected = torch.zeros_like(tensor) if kind != "default" and tensor.dim() == 1 else tensor
            assert torch.equal(found[name], expected), name


def by_hand(x: torch.Tensor, params: dict[str, Any], tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """A convolutional network in evaluation mode, written with torch's functions alone."""
    functional = torch.nn.functional
    for block in range(params["blocks"]):
        name = f"blocks.block_{block}"
        kernel, stride, side = params["kernel_size"], params["stride"], x.shape[-1]
        total = max(0, (-(-side // stride) - 1) * stride + kernel - side) if params["padding"] == "same" else 0
        around = functional.pad(x, [total // 2, total - total // 2] * 2)
        bias = tensors.get(f"{name}.convolution.bias")
        z = functional.conv2d(around, tensors[f"{name}.convolution.weight"], bias, stride)
        if params["batch_norm"]:
            norm = [tensors[f"{name}.norm.{entry}"] for entry in ("running_mean", "running_var", "weight", "bias")]
            z = functional.batch_norm(z, *norm)
        if params.get("layer_norm"):
            weight, bias = tensors[f"{name}.norm.weight"], tensors[f"{name}.norm.bias"]
            z = functional.layer_norm(z, z.shape[1:]) * weight[:, None, None] + bias[:, None, None]
        if params.get("residual"):
            weight = tensors.get(f"{name}.shortcut.weight")
            z = z + (x if weight is None else functional.conv2d(x, weight, tensors[f"{name}.shortcut.bias"], stride))
        x = torch.relu(z)
        if params["pooling"] != "none":
            pool = functional.max_pool2d if params["pooling"] == "max" else functional.avg_pool2d
            x = pool(x, params["pool_size"])
    x = x.mean((2, 3)) if params["readout"] == "average" else x.flatten(1)
    x = torch.relu(functional.linear(x, tensors["head.hidden.weight"], tensors["head.hidden.bias"]))
    return functional.linear(x, tensors["head.output.weight"], tensors["head.output.bias"])


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"kernel_size": 2, "stride": 2, "pooling": "none"},
        {"kernel_size": 5, "batch_norm": True, "pooling": "average", "readout": "average"},
        {"residual": True, "kernel_size": 4, "stride": 2, "pooling": "none", "filters": 4},
        {"residual": True, "filters": 1, "batch_norm": True, "weight_init": "orthogonal"},
        {"padding": "valid", "kernel_size": 2, "pooling": "none", "weight_init": "kaiming_normal"},
        {"layer_norm": True, "kernel_size": 2},
    ],
    ids=str,
)
def test_the_network_is_what_its_hyperparameters_say(knobs: dict[str, Any]) -> None:
    """Forward, every knob of a block gives what torch's own functions give."""
    params = active("cnn", {**SMALL["cnn"], **knobs})
    torch.manual_seed(3)  # noqa: TID251
    net = cnn.network(params, IMAGE, 3).eval()
    x = torch.randn(7, *IMAGE)
    with torch.no_grad():
        torch.testing.assert_close(net(x), by_hand(x, params, net.state_dict()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("readout", ["last", "average"])
def test_a_recurrent_network_reads_steps_in_order(cell: str, readout: str) -> None:
    """Two layers, both directions: what the head reads is what torch's layer says at both ends, or its mean."""
    knobs = {"cell": cell, "layers": 2, "bidirectional": True, "readout": readout, "layer_norm": cell == "gru"}
    params = active("rnn", {**SMALL["rnn"], **knobs})
    net = rnn.network(params, SEQUENCE, 3).eval()
    x = torch.randn(4, *SEQUENCE)
    with torch.no_grad():
        outputs, _ = net.recurrent(x)
        ends = torch.cat([outputs[:, -1, :5], outputs[:, 0, 5:]], 1)
        read = ends if readout == "last" else outputs.mean(1)
        expected = net.head(torch.nn.functional.layer_norm(read, [10]) if cell == "gru" else read)
        torch.testing.assert_close(net(x), expected)


def test_an_image_is_read_row_by_row() -> None:
    """Rows of an image are the steps of a recurrent network, their pixels its channels."""
    params = active("rnn", SMALL["rnn"])
    net = rnn.network(params, (2, 3, 4), 3).eval()
    x = torch.randn(5, 2, 3, 4)
    steps = torch.stack([torch.cat([x[:, 0, row], x[:, 1, row]], 1) for row in range(3)], 1)
    with torch.no_grad():
        assert torch.equal(net(x), net(steps))


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_a_run_repeats_bit_for_bit(family: str) -> None:
    """The seed decides initial weights, batches and dropout; torch's deterministic algorithms alone give the same bits."""
    data = arrays()
    run = spec(family, 5, dropout=0.3, **({"batch_norm": True} if family == "cnn" else {"layers": 2}))
    first = train(run, data)
    torch.rand(7)
    state = torch.default_generator.get_state()
    torch.use_deterministic_algorithms(True)
    try:
        assert first.outcome == train(run, data).outcome
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(state, torch.default_generator.get_state())
    assert first.outcome.weights != train(replace(run, seed=6), data).outcome.weights


@pytest.mark.parametrize("family", ["cnn", "rnn"])
def test_a_checkpoint_goes_on_with_the_same_bits(family: str) -> None:
    """Paused after any epoch, and gone on with in another process's engine, a run comes to the same outcome."""
    data = arrays()
    run = spec(
        family,
        epochs=5,
        stopping={"monitor": "val_loss", "patience": 9},
        dropout=0.2,
        augment_noise=0.1,
        weight_averaging=0.9,
        schedule="plateau",
        schedule_patience=0,
        **({"batch_norm": True} if family == "cnn" else {}),
    )
    whole = train(run, data).outcome
    for epoch in (1, 3):
        training: Training = start_training([run], data)
        [paused] = training.advance(epoch)
        training.close()
        assert paused.checkpoint is not None
        assert whole == train(run, data, checkpoint=paused.checkpoint).outcome


def test_what_is_told_to_fit_fits() -> None:
    """Over images, sequences and all that decides sizes: a network is built and gives logits exactly where no fault is told."""
    seen = {True: 0, False: 0}
    cases = product((1, 2, 4), (1, 2, 3, 5), (1, 2, 4), ("same", "valid"), (("none", 2), ("max", 2), ("average", 3)))
    for (blocks, kernel, stride, padding, (pooling, pool)), shape in product(cases, ((2, 8, 5), (9, 2))):
        names = {"blocks": blocks, "kernel_size": kernel, "stride": stride, "padding": padding}
        params = active("cnn", {**names, "pooling": pooling, "pool_size": pool, "filters": 1, "head_units": 0})
        fits = cnn.fault(params, shape) is None
        seen[fits] += 1
        if fits:
            assert cnn.network(params, shape, 3).eval()(torch.zeros(2, *shape)).shape == (2, 3)
    assert min(seen.values()) > 30


def images(rows: int = 150, seed: int = 4) -> pd.DataFrame:
    """Images of 4 x 4 with a bright half, left or upper, as columns of a table; a corner that is always 0."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["left", "upper"], rows)
    x = rng.normal(0, 0.6, (rows, 4, 4))
    x[kind == "left", :, :2] += 2
    x[kind == "upper", :2, :] += 2
    x[:, 3, 3] = 0
    names = [f"p{place:02d}" for place in range(16)]
    return pd.DataFrame(x.reshape(rows, 16).round(3), columns=names).assign(kind=kind)


PARAMS = """
seed: 7
data: {source: table.csv, target: kind, shape: SHAPE}
model: {family: FAMILY}
training: {epochs: 4, early_stopping: {monitor: val_loss, patience: 2}}
hyperparameters: {batch_size: 16, learning_rate: 1e-2, head_units: 4}
search_space: {dropout: {low: 0.0, high: 0.5}}
studies: {random: {sampler: random, trials: 2}}
"""


def text(family: str, shape: str) -> str:
    return PARAMS.replace("SHAPE", shape).replace("FAMILY", family)


@pytest.mark.parametrize(("family", "shape"), [("cnn", "[1, 4, 4]"), ("rnn", "[4, 4]")])
def test_from_images_to_a_model_that_is_derived_again(tmp_path: Path, family: str, shape: str) -> None:
    """A study trains, its model opens alone with the predictions it had, and the whole study is derived again identical."""
    from tracker import api

    project = SmallProject.made(tmp_path, images(), text(family, shape))
    here = api.Project(project.paths, "sqlite:///unused.db", 1, "tests")
    study = api.tune(project.config, "random", project=here, deliver=False)
    frame = project.rows()
    opened = load_model(project.paths.models / "random")
    pd.testing.assert_frame_equal(study.best_trial.predict(frame), opened.predict(frame))
    assert (opened.predict(frame)["label"] == frame["kind"]).mean() > 0.8
    with torch.no_grad():
        logits = opened.module(torch.from_numpy(opened.features(frame)).reshape(-1, *project.data.shape))
    np.testing.assert_array_equal(torch.softmax(logits, 1).numpy(), opened.predict_proba(frame))
    [found] = api.verify(project.config, "random", project=here)
    assert ("identical", None) == (found.state, found.first_difference)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """A description and weights that do not belong together open nothing."""
    description = {
        "params": active("cnn", SMALL["cnn"]),
        "labels": ["a", "b", "c"],
        "preprocessing": {"columns": [], "features": [], "shape": list(IMAGE)},
    }
    tensors = cnn.network(description["params"], IMAGE, 3).state_dict()
    assert cnn.open_network(description, tensors).probabilities(np.zeros((2, 36), np.float32)).shape == (2, 3)
    for change in ({"labels": ["a", "b"]}, {"params": active("cnn", {**SMALL["cnn"], "filters": 3})}):
        with pytest.raises(ValueError, match="another network"):
            cnn.open_network({**description, **change}, tensors)
    with pytest.raises(ValueError, match="no shape"):
        rnn.open_network({**description, "preprocessing": {}}, tensors)


def test_a_channel_is_scaled_as_a_whole() -> None:
    """All pixels of a channel have one center and scale, so that a picture keeps its contrasts; gaps count in none."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 8)) * np.repeat([1.0, 10.0], 4) + np.repeat([0.0, 5.0], 4)
    x[3, 0] = np.nan
    names = [f"c{place}" for place in range(8)]
    columns = [{"name": name, "role": "feature", "kind": "numeric"} for name in names]
    config = parse_config(read_yaml(b"seed: 1\nstudies: {a: {sampler: manual, configurations: [{}]}}", "p"), "p")
    frame = pd.DataFrame(x, columns=names)
    state = fit_preprocessing(frame, {"columns": columns, "shape": [2, 2, 2]}, config.preprocessing)
    for channel in (0, 1):
        values = x[:, channel * 4 : channel * 4 + 4]
        values = values[~np.isnan(values)]
        for entry in state["columns"][channel * 4 : channel * 4 + 4]:
            found = [entry["fill"], entry["center"], entry["scale"]]
            np.testing.assert_allclose(found, [np.median(values), values.mean(), values.std()], rtol=1e-12)
    by_step = fit_preprocessing(frame, {"columns": columns, "shape": [4, 2]}, config.preprocessing)["columns"]
    assert by_step[0]["center"] == by_step[2]["center"] != by_step[1]["center"]


def test_a_network_of_ones_own_gets_the_shape(tmp_path: Path) -> None:
    """`build` is told the declared shape and gets rows of it, in training and when the model is opened."""
    from tracker import api

    code = (
        "import torch\n\ndef build(hyperparameters, input_shape, classes):\n    assert input_shape == (1, 4, 4)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, classes))\n"
    )
    tmp_path.joinpath("model.py").write_text(code)
    words = text("build, entry: 'model:build'", "[1, 4, 4]").replace(", head_units: 4", "").replace("dropout", "spare")
    project = SmallProject.made(tmp_path, images(), words)
    here = api.Project(project.paths, "sqlite:///unused.db", 1, "tests")
    study = api.tune(project.config, "random", project=here, deliver=False)
    opened = load_model(project.paths.models / "random")
    pd.testing.assert_frame_equal(study.best_trial.predict(project.rows()), opened.predict(project.rows()))


WRONG = [
    ("data: {shape: 8}", r"data.shape: expected \[channels, height, width\] of images or \[steps, channels\]"),
    ("data: {shape: [16]}", r"data.shape: expected .* found \[16\]"),
    ("data: {shape: [1, 2, 3, 4]}", r"data.shape: expected .* found \[1, 2, 3, 4\]"),
    ("data: {shape: [1, 0, 4]}", r"data.shape: expected .* found \[1, 0, 4\]"),
    ("data: {shape: [1.5, 4]}", r"data.shape: expected .* found \[1.5, 4\]"),
    ("data: {shape: [true, 4, 4]}", r"data.shape: expected .* found \[True, 4, 4\]"),
    ("data: {shape: [1, 5, 4]}", r"data.shape: \[1, 5, 4\] is 20 numbers, the table has 16 features"),
    ("data: {shape: [1, 4, 4], drop: [p03]}", r"data.shape: \[1, 4, 4\] is 16 numbers, the table has 15 features"),
    ("data: {shape: [1, 4, 4], categorical: [p01]}", r"data.shape: 'p01': categorical, .* data.drop: \[p01\]"),
    ("data: {shape: [1, 4, 4], categorical: [p01, p07]}", r"'p01', 'p07': categorical, .* data.drop: \[p01, p07\]$"),
    ("data: {}", r"family cnn reads images or sequences, and the rows have no shape; say data.shape: \[1, 8, 8\]"),
    ("model: {family: rnn}", r"family rnn reads images or sequences, and the rows have no shape"),
    ("hyperparameters: {kernel_size: 5}", "kernel_size 5 is larger than the input .4 x 4.; at most 4"),
    ("search_space: {kernel_size: {low: 2, high: 7}}", "kernel_size 7 is larger than the input .4 x 4.; at most 4"),
    ("hyperparameters: {stride: 6}", "stride 6 steps over the whole input .4 x 4.; at most 4"),
    ("hyperparameters: {blocks: 3}", "block 3 of 3 has maps of 1 x 1, of which pooling by 2 leaves nothing"),
    ("search_space: {blocks: [1, 3]}", "studies.random: block 3 of 3 has maps of 1 x 1"),
    ("hyperparameters: {padding: valid, blocks: 2}", "block 2 of 2 gets maps of 1 x 1, smaller than kernel_size 3"),
    ("hyperparameters: {pooling: median}", "pooling: expected one of none, max, average, found 'median'"),
    ("hyperparameters: {filters: 0}", "filters: expected at least 1, found 0"),
    ("hyperparameters: {filters: [4, 4, 4]}", "filters: 3 values for 2 blocks"),
    ("hyperparameters: {hidden_layers: 2}", "hidden_layers: unknown; this family knows blocks, filters"),
    ("hyperparameters: {cell: gru}", "cell: unknown; this family knows blocks"),
    ("hyperparameters: {dropout: 1.0}", "dropout: expected less than 1, found 1.0"),
    ("hyperparameters: {kernel_size: 2.5}", "kernel_size: expected a whole number, found 2.5"),
    ("model: {family: cnn, entry: 'a:b'}", "entry belongs to a family with code of your own; cnn has none"),
    ("model: {family: transformer}", "expected 'mlp' or 'cnn' or 'rnn' or"),
    (
        "hyperparameters: {augment_shift: 4}",
        "augment_shift: 4 moves images of 4 x 4 out of sight; at most 3, and 1 is usual",
    ),
    ("search_space: {augment_shift: {low: 0, high: 9}}", "studies.random: augment_shift: 9 moves images of 4 x 4 out"),
    ("search_space: {augment_shift: [0, 5, 1]}", "studies.random: augment_shift: 5 moves images of 4 x 4 out of sight"),
    ("hyperparameters: {augment_shift: 1.5}", "augment_shift: expected a whole number, found 1.5"),
    (
        "hyperparameters: {augment_scale: 0.1}",
        "augment_scale: is for sequences, and these are images; take augment_shift",
    ),
    ("search_space: {augment_mask: {low: 0.0, high: 0.5}}", "augment_mask: is for sequences, and these are images"),
    ("hyperparameters: {augment_drop: 0.1}", "augment_drop: is for rows of a table, and these are images"),
    ("hyperparameters: {augment_rotate: 200}", "augment_rotate: expected at most 180, found 200"),
    ("hyperparameters: {augment_flip: 1}", "augment_flip: expected true or false, found 1"),
    ("hyperparameters: {augment_erase: 1.5}", "augment_erase: expected at most 1, found 1.5"),
    ("hyperparameters: {augment_noise: -1}", "augment_noise: expected at least 0, found -1"),
    ("hyperparameters: {augment_mixup: true}", "augment_mixup: expected a number, found True"),
    (
        "hyperparameters: {augment_cutout: 2}",
        "augment_cutout: unknown; this family knows blocks, .*batch_size, augment_",
    ),
    (
        "{data: {shape: [4, 4]}, search_space: {augment_flip: [false, true]}}",
        "augment_flip: is for images, and these are sequences; take augment_scale or augment_mask, augment_noise or",
    ),
    ("hyperparameters: {weight_averaging: 1.0}", "weight_averaging: expected less than 1, found 1.0"),
    ("search_space: {schedule_patience: [3]}", "schedule_patience: has an effect only with schedule plateau"),
    (
        "hyperparameters: {weight_init: lecun}",
        "weight_init: expected one of default, uniform, normal, .* found 'lecun'",
    ),
    ("search_space: {residual: [true], padding: [valid]}", "residual: has an effect only with padding same"),
    (
        "preprocessing: {numeric: {indicator: true}}",
        "preprocessing.numeric.indicator: true adds features, and data.shape",
    ),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    images().to_csv(folder / "table.csv", index=False)
    return folder


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=[wrong for wrong, _ in WRONG])
def test_what_is_wrong_is_told_before_anything_runs(table: Path, wrong: str, told: str) -> None:
    """Shapes that are none, do not match the table, or leave nothing of an image: one line with its place and a remedy."""
    from tracker.terminal.forecast import forecast

    tree = read_yaml(text("cnn", "[1, 4, 4]").encode(), "params.yaml")
    for section, entries in read_yaml(wrong.encode(), "params.yaml").items():
        tree[section] = {**tree.get(section, {}), **entries}
    if "the rows have no shape" in told:
        del tree["data"]["shape"]
    with pytest.raises(TrackerError, match=told) as caught:
        list(forecast(parse_config(tree, "params.yaml"), SmallProject(table, text("cnn", "[1, 4, 4]")).paths))
    assert all(len(line) < 400 for line in str(caught.value).splitlines())
