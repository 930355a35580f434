"""Residual networks over tables: what their embeddings give, plain PyTorch's numbers, the same bits again, opened alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load as read_safetensors
from torch.utils.flop_counter import FlopCounterMode

from tests.families.plain import assert_same_weights, train_plainly
from tests.studies.project import SmallProject, make_table
from tests.training.cases import STOPPING
from tests.training.cases import arrays as plain_arrays
from tracker.confusion import count_confusion
from tracker.evaluation.compare import compare
from tracker.evaluation.confirm import open_confirming
from tracker.evaluation.preference import Preference
from tracker.execution.executor import one_thread
from tracker.families.costs import ALONE_FLOPS
from tracker.families.family import open_family, start_training, train
from tracker.hyperparameters import FAMILIES, active
from tracker.metrics import scores
from tracker.records import TrialSpec
from tracker.standalone import tabular
from tracker.standalone.load import load_model
from tracker.standalone.transform import NUMBER, blocks_of
from tracker.training.arrays import Arrays
from tracker.training.robustness import disturbed
from tracker.training.size import network_size

COLUMNS = (NUMBER, 1, 5, NUMBER)  # two numbers, a flag, five categories
SMALL = {"blocks": 2, "units": 6, "hidden_factor": 1.5, "batch_size": 16}
KNOBS: list[dict[str, Any]] = [
    {},
    {"number_embedding": "piecewise", "bins": 4, "embedding_width": 3, "category_width": 2, "layer_norm": True},
    {"number_embedding": "periodic", "frequencies": 3, "embedding_width": 2, "batch_norm": True, "activation": "gelu"},
]


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> Iterator[None]:
    """As in training; more would be slower on networks this small."""
    with one_thread():
        yield


def arrays(rows: int = 60, seed: int = 0) -> Arrays:
    """Rows of COLUMNS, of three classes that their first number and their category tell apart."""
    rng = np.random.default_rng(seed)
    count = rows + 30
    y = np.append(np.arange(3), rng.integers(0, 3, count - 3)).astype(np.int64)
    x = np.zeros((count, 8), np.float32)
    x[:, 0] = y + rng.normal(0, 0.5, count)
    x[:, 7] = rng.normal(size=count)
    x[:, 1] = rng.integers(0, 2, count)
    x[np.arange(count), 2 + np.where(rng.random(count) < 0.7, y, 4)] = 1.0
    return Arrays(x[:rows], y[:rows], x[rows:], y[rows:], 3, None, ("a", "b", "c"), blocks=COLUMNS)


def spec(seed: int = 1, epochs: int = 3, stopping: Any = STOPPING, **params: Any) -> TrialSpec:
    training = {"epochs": epochs, "early_stopping": stopping, "device": "cpu"}
    whole = active("tabular", {**SMALL, **params})
    return TrialSpec("tabular", whole, training, seed, {}, "test", FAMILIES["tabular"].numerics)


def by_hand(x: torch.Tensor, p: dict[str, Any], t: dict[str, torch.Tensor]) -> torch.Tensor:
    """A network in evaluation mode, column by column, with torch's functions alone."""
    functional = torch.nn.functional
    parts = [x[:, [0, 7]]]
    if p["number_embedding"] != "none":
        for place, column in enumerate((0, 7)):
            value = x[:, column]
            if p["number_embedding"] == "piecewise":
                edges = t["embedding.encoding.edges"][place]
                bins = [((value - low) / (high - low)).clamp(0, 1) for low, high in pairwise(edges)]
                encoded = torch.stack(bins, 1)
            else:
                angle = 2 * torch.pi * value[:, None] * t["embedding.encoding.frequencies"][place]
                encoded = torch.cat([angle.cos(), angle.sin()], 1)
            parts.append(torch.relu(encoded @ t["embedding.linear.weight"][place] + t["embedding.linear.bias"][place]))
    one_hot = x[:, 2:7]
    has_embedding = p["category_width"] > 0
    parts += [x[:, 1:2], one_hot @ t["categories.0.weight"].T] if has_embedding else [x[:, 1:2], one_hot]
    h = functional.linear(torch.cat(parts, 1), t["entrance.weight"], t.get("entrance.bias"))

    def normed(name: str, z: torch.Tensor) -> torch.Tensor:
        if p["batch_norm"]:
            entries = ("running_mean", "running_var", "weight", "bias")
            return functional.batch_norm(z, *[t[f"{name}.{entry}"] for entry in entries])
        return functional.layer_norm(z, [6], t[f"{name}.weight"], t[f"{name}.bias"]) if p.get("layer_norm") else z

    act = getattr(functional, p["activation"])
    for block in range(p["blocks"]):
        name = f"blocks.block_{block}"
        wide = act(functional.linear(normed(f"{name}.norm", h), t[f"{name}.wide.weight"], t[f"{name}.wide.bias"]))
        h = h + functional.linear(wide, t[f"{name}.narrow.weight"], t.get(f"{name}.narrow.bias"))
    return functional.linear(act(normed("head.norm", h)), t["head.output.weight"], t["head.output.bias"])


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_the_network_is_what_its_hyperparameters_say(knobs: dict[str, Any]) -> None:
    """Forward, numbers, flags and categories go through what their knobs name, and through blocks with torch's functions."""
    params, data = active("tabular", {**SMALL, **knobs}), arrays()
    torch.manual_seed(3)  # noqa: TID251
    net = tabular.network(params, COLUMNS, 3, data.x_train)
    net(torch.from_numpy(data.x_train))  # so that norms have statistics of their own
    net.eval()
    x = torch.from_numpy(data.x_validation)
    with torch.no_grad():
        torch.testing.assert_close(net(x), by_hand(x, params, net.state_dict()), rtol=1e-5, atol=1e-6)


def test_bins_are_quantiles_of_the_training_rows() -> None:
    """A value is 1 in the bins below it, its share in its own, 0 above; where a value repeats, a bin without width says 0."""
    encoding = tabular.Piecewise(2, {"bins": 4})
    encoding.fit(np.array([[0, 0], [1, 0], [2, 0], [3, 0], [10, 5]], np.float32))
    assert [[0, 1, 2, 3, 10], [0, 0, 0, 0, 5]] == encoding.edges.tolist()
    found = encoding(torch.tensor([[2.5, 0.0], [-1.0, 9.0], [6.5, 2.5]]))
    assert [[1, 1, 0.5, 0], [0, 0, 0, 0], [1, 1, 1, 0.5]] == found[:, 0].tolist()
    assert [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0.5]] == found[:, 1].tolist()


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_training_agrees_with_a_loop_in_plain_pytorch(knobs: dict[str, Any]) -> None:
    """From the same weights and batches, three epochs of four steps give the weights that torch.optim gives."""
    data = arrays()
    run = spec(stopping=None, optimizer="adamw", learning_rate=0.02, weight_decay=1e-3, **knobs)
    net = open_family("tabular").start([run], data, None)._built()  # type: ignore[attr-defined]
    steps = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=1e-3)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    train_plainly(net, steps, x, y, run.seed, 3)
    assert_same_weights(train(run, data).weights, net)


def test_a_run_repeats_and_goes_on_bit_for_bit() -> None:
    """Dropout at both places, batch norm, averaged weights: the same again and from a checkpoint; other seeds differ."""
    data = arrays()
    common = {"dropout": 0.3, "residual_dropout": 0.1, "weight_averaging": 0.9}
    run = spec(5, 4, {"monitor": "val_loss", "patience": 9}, **KNOBS[2], **common)
    whole = train(run, data).outcome
    torch.rand(3)
    assert whole == train(run, data).outcome
    training = start_training([run], data)
    [paused] = training.advance(2)
    training.close()
    assert paused.checkpoint is not None
    assert whole == train(run, data, checkpoint=paused.checkpoint).outcome
    assert whole.weights != train(replace(run, seed=6), data).outcome.weights


def test_a_last_batch_of_one_row_is_normalised_by_what_was_seen() -> None:
    """49 rows in batches of 16: batch norm of one row has no variance, and the run is complete all the same."""
    data = arrays(rows=49)
    assert "complete" == train(spec(batch_norm=True), data).outcome.state


def test_rows_without_named_columns_are_numbers_and_rows_with_a_shape_are_refused() -> None:
    """Arrays that say nothing of their columns hold numbers alone; images belong to another family."""
    run = spec(number_embedding="periodic", embedding_width=2)
    weights = train(run, plain_arrays(features=5)).weights
    assert weights is not None
    assert (5, 2) == tuple(read_safetensors(weights)["embedding.linear.bias"].shape)
    fault = open_family("tabular").input_fault(run.params, (1, 8, 8))
    assert fault is not None
    assert "take family cnn or rnn" in fault
    assert open_family("tabular").input_fault(run.params, ()) is None


def test_its_cost_counts_every_layer() -> None:
    """Six numbers with an encoding of four bins to three, an entrance, a block there and back, the output."""
    run = spec(number_embedding="piecewise", bins=4, embedding_width=3, blocks=1)
    found = open_family("tabular").cost(run, 6, 3, ())
    products = 6 * 4 * 3 + 24 * 6 + 6 * 9 + 9 * 6 + 6 * 3
    assert found is not None
    assert found.row_s == pytest.approx(6 * products / ALONE_FLOPS)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    columns=st.lists(st.sampled_from([NUMBER, 1, 2, 7]), min_size=1, max_size=6),
    knobs=st.fixed_dictionaries(
        {
            "blocks": st.integers(0, 3),
            "units": st.integers(1, 9),
            "hidden_factor": st.sampled_from([0.5, 2.0]),
            "batch_norm": st.booleans(),
            "layer_norm": st.booleans(),
            "category_width": st.sampled_from([0, 1, 3]),
            "number_embedding": st.sampled_from(["none", "piecewise", "periodic"]),
            "embedding_width": st.integers(1, 4),
            "bins": st.integers(2, 5),
            "frequencies": st.integers(1, 4),
        }
    ),
    classes=st.integers(2, 4),
)
def test_its_size_is_that_of_the_module(columns: list[int], knobs: dict[str, Any], classes: int) -> None:
    """Parameters are those of the module, multiplications those that torch counts, with one for each frequency."""
    params, features = active("tabular", knobs), sum(max(1, width) for width in columns)
    net = tabular.network(params, columns, classes).eval()
    frequencies = sum(one.frequencies.numel() for one in net.modules() if isinstance(one, tabular.Periodic))
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        net(torch.zeros(1, features))
    found = network_size("tabular", params, (features,), classes, widths=columns)
    assert sum(one.numel() for one in net.parameters()) == found.parameters
    assert counted.get_total_flops() / 2 + frequencies == found.multiplications


def test_the_kept_model_is_scored_on_other_rows_and_counted() -> None:
    """Rows that only rank, disturbed rows and costs: scores are those of the module that the weights make; no weight moves."""
    data, run = arrays(), spec(**KNOBS[1])
    asked = {"robustness": {"noise": 0.3, "drop": 0.2, "metrics": ["f1"]}, "costs": ["parameters", "training_flops"]}
    half = replace(data, x_selection=data.x_validation[:15], y_selection=data.y_validation[:15])
    result = train(replace(run, training={**run.training, **asked}), half)
    assert result.weights is not None
    plain, metrics = train(run, data).outcome, result.outcome.metrics
    assert (plain.weights, plain.history) == (result.outcome.weights, result.outcome.history)
    net = tabular.network(run.params, COLUMNS, 3)
    net.load_state_dict(read_safetensors(result.weights))
    net.eval()
    for name, rows in (("val_f1", half.x_selection), ("val_robust_f1", disturbed(half.x_selection, half, 0.3, 0.2))):
        with torch.no_grad():
            called = net(torch.from_numpy(rows)).argmax(1).numpy()
        assert metrics[name] == scores(count_confusion(half.y_selection, called, 3), None)["f1"]
    size = network_size("tabular", run.params, (8,), 3, widths=COLUMNS)
    assert sum(one.numel() for one in net.parameters()) == size.parameters == metrics["parameters"]
    assert 6 * size.multiplications * len(data.x_train) * plain.epochs == metrics["training_flops"]


PARAMS = """
seed: 7
data: {source: table.csv, target: kind}
model: {family: tabular}
training:
  epochs: 4
  early_stopping: {monitor: val_loss, patience: 2}
  robustness: {noise: 0.1, drop: 0.1, metrics: [f1]}
preprocessing: {numeric: {impute: median, scale: standard, indicator: true}}
hyperparameters: {batch_size: 16, learning_rate: 1e-2, units: 8, blocks: 1, category_width: 2, number_embedding: piecewise}
search_space: {dropout: {low: 0.0, high: 0.5}, units: [4, 8]}
studies: {random: {sampler: random, trials: 3, objectives: [val_f1, parameters, val_robust_f1]}}
compare: {prefer: simplest, test_looks: 1}
"""


def rank(project: SmallProject) -> Preference:
    """What the project's rule takes."""
    config = project.config
    confirm = open_confirming(config, project.paths, 1, None)
    found = compare(
        project.paths, config.compare, clock=lambda: 0.0, studies=config.studies, confirm=confirm
    ).preference
    assert found is not None
    return found


def test_from_a_table_to_a_model_that_is_derived_again(tmp_path: Path) -> None:
    """A study trains, its model opens alone with the predictions it had, and the whole study is derived again identical."""
    from tracker import api

    project = SmallProject.made(tmp_path, make_table(), PARAMS)
    here = api.Project(project.paths, "sqlite:///unused.db", 1, "tests")
    study = api.tune(project.config, "random", project=here, deliver=False)
    opened, frame = load_model(project.paths.models / "random"), project.rows()
    pd.testing.assert_frame_equal(study.best_trial.predict(frame), opened.predict(frame))
    widths = blocks_of(opened.description["preprocessing"])
    assert sum(max(1, width) for width in widths) == opened.features(frame).shape[1]
    assert any(name.startswith("categories.") for name in opened.module.state_dict()) == (max(widths) > 2)
    [found] = api.verify(project.config, "random", project=here)
    assert ("identical", None) == (found.state, found.first_difference)
    counts = {trial.trial.number: trial.trial.metrics["parameters"] for trial in study.trials}
    preferred = rank(project)
    assert {"rule": "simplest", "least": "parameters"}.items() <= preferred.json.items()
    assert preferred.weights
    for row in (preferred.row, preferred.best):
        assert counts[row.trial] == preferred.weights[row.key].parameters
