"""Transfer learning: a network begins with a parent's weights; what is frozen stays; it is in the key, and derives again."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load as read_safetensors
from safetensors.torch import save
from sklearn.datasets import load_digits

from tests.families.test_shaped import IMAGE, SEQUENCE, arrays, given_network, spec
from tests.studies.project import SmallProject, make_table
from tests.training.cases import spec as mlp_spec
from tracker import api
from tracker.canonical import digest_bytes
from tracker.config import parse_config, read_yaml
from tracker.errors import ConfigError, TrackerError, TrainingError
from tracker.execution.row_sets import arrays_of
from tracker.execution.trainee import Trainee
from tracker.execution.trainer import Segment, load_own
from tracker.families.family import start_training, train, train_cohort
from tracker.families.transfer import adopt, layers_of
from tracker.records import Trial, TrialSpec
from tracker.store.store import Store
from tracker.studies import fitting
from tracker.studies.fitting import plan_fitting
from tracker.studies.parent import Parent, find_parent
from tracker.studies.parent_fits import other_features, parent_fault
from tracker.studies.plan import Basis, plan_study, propose_trial
from tracker.studies.rehearsal import Read
from tracker.surroundings.environment import asked_of, environment
from tracker.terminal.forecast import forecast
from tracker.training.draws import draw_batches

BN = {"batch_norm": True}


def with_parent(folder: Path, run: TrialSpec, weights: bytes | None, head: str = "kept") -> TrialSpec:
    """A run that begins with these weights, which lie in the folder."""
    assert weights is not None
    digest = digest_bytes(weights)
    (folder / f"{digest}.safetensors").write_bytes(weights)
    return replace(run, parent={"weights": digest, "head": head})


@pytest.mark.parametrize(("family", "shape", "knobs"), [("cnn", IMAGE, BN), ("rnn", SEQUENCE, {"layers": 2})])
def test_frozen_layers_stay_and_the_head_has_a_rate_of_its_own(
    tmp_path: Path, family: str, shape: tuple[int, ...], knobs: dict[str, Any]
) -> None:
    """Three epochs from a parent are those of plain PyTorch with parameter groups; frozen norms keep their statistics."""
    data = replace(arrays(shape), parents=tmp_path)
    parent = read_safetensors(train(spec(family, 1, 2, None, **knobs), data).weights)  # type: ignore[arg-type]
    rates = {"optimizer": "adamw", "learning_rate": 0.02, "head_learning_rate": 0.1, "weight_decay": 0.01, "freeze": 1}
    run = with_parent(tmp_path, spec(family, 2, 3, None, **knobs, **rates), save(parent), "new")
    fresh = given_network(family, replace(run, parent={}, params={**run.params, "freeze": 0}), data).state_dict()
    net = given_network(family, run, data)
    found, layers = net.state_dict(), layers_of([name for name, _ in net.named_parameters()])
    for name, tensor in found.items():
        expected = fresh[name] if name.startswith("head.output") else parent[name]
        assert torch.equal(tensor, expected), name
    frozen = [name for name in found if name.startswith(("blocks.block_0", "recurrent.")) and "_l1" not in name]
    frozen = [name for name in frozen if "block_1" not in name]
    assert layers[0] in {"blocks.block_0", "recurrent.l0"}
    head = [p for name, p in net.named_parameters() if name.startswith("head.output")]
    body = [p for name, p in net.named_parameters() if name not in frozen and not name.startswith("head.output")]
    steps = torch.optim.AdamW([{"params": body}, {"params": head, "lr": 0.1}], lr=0.02, weight_decay=0.01)
    x, y = torch.from_numpy(data.x_train).reshape(-1, *shape), torch.from_numpy(data.y_train)
    for epoch in range(1, 4):
        net.train()
        if family == "cnn":
            net.blocks[0].eval()  # type: ignore[operator, index, union-attr]
        for batch in draw_batches(run.seed, epoch, len(y), 16, 16):
            rows = torch.from_numpy(batch[batch < len(y)])
            steps.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            steps.step()
    ours = read_safetensors(train(run, data).weights)  # type: ignore[arg-type]
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, rtol=2e-4, atol=2e-5, msg=name)
        if name in frozen:
            assert torch.equal(ours[name], parent[name]), name


def test_a_head_that_is_one_module_is_one_layer() -> None:
    """In a network of the user's own `head` may be a single module: its weight is left out of a bare file as its bias is."""
    own = torch.nn.ModuleDict({"conv1": torch.nn.Conv1d(2, 3, 1), "head": torch.nn.Linear(3, 2)}).state_dict()
    assert ["conv1", "head"] == layers_of([*own])
    theirs = {name: tensor + 1 for name, tensor in own.items() if name.startswith("conv1")}
    found = adopt(own, theirs, "head", False)
    assert all(torch.equal(found[name], theirs.get(name, tensor)) for name, tensor in own.items())


def test_a_pause_changes_nothing(tmp_path: Path) -> None:
    """Paused and gone on with elsewhere, a run with frozen layers and a parent comes to the same outcome."""
    data = replace(arrays(), parents=tmp_path)
    weights = train(spec("cnn", 1, 2, None, **BN), data).weights
    run = with_parent(tmp_path, spec("cnn", 2, 4, None, **BN, freeze=2, head_learning_rate=0.1), weights)
    [paused] = start_training([run], data).advance(2)
    assert train(run, data).outcome == train(run, data, checkpoint=paused.checkpoint).outcome


def test_lanes_begin_with_parents_too(tmp_path: Path) -> None:
    """Fully connected networks: a lane with a parent beside one without gives the bits of each alone, and begins lower."""
    from tests.training.cases import arrays as table

    data = replace(table(), parents=tmp_path)
    plain = mlp_spec(1, 2, hidden_layers=1, units=9, batch_norm=True, learning_rate=0.01)
    weights = train(plain, data).weights
    child = with_parent(tmp_path, replace(plain, seed=2), weights)
    together = [result.outcome for result in train_cohort([plain, child], data)]
    assert [train(plain, data).outcome, train(child, data).outcome] == together
    assert together[1].history[0]["train_loss"] < together[0].history[0]["train_loss"]


def test_a_parent_is_in_the_key() -> None:
    """Other weights, or another head, are another trial; without a parent the key is what it was."""
    plain = spec("cnn")
    parents = [
        {"weights": "a" * 64, "head": "new"},
        {"weights": "b" * 64, "head": "new"},
        {"weights": "a" * 64, "head": "kept"},
    ]
    assert len({plain.key, *(replace(plain, parent=parent).key for parent in parents)}) == 4
    assert plain.key == replace(plain, parent={}).key


def tensors(*names: str, size: int = 2) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(size, size) for name in names}


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (
            tensors("blocks.block_0.convolution.weight"),
            r"blocks.block_1: the parent has no blocks.block_1.convolution.weight; its",
        ),
        (
            tensors("blocks.block_0.convolution.weight") | tensors("blocks.block_1.convolution.weight", size=3),
            r"is \(2, 2\), the parent's \(3, 3\); take the hyperparameters, the shape of rows and the classes that .*: new$",
        ),
        (
            tensors(*(f"blocks.block_{n}.convolution.weight" for n in range(3))),
            "blocks.block_2: the parent has this layer, the network has none; take the parent's depth",
        ),
        ({}, "blocks.block_0: the parent has no blocks.block_0.convolution.weight; its layers are none$"),
    ],
)
def test_what_does_not_fit_names_its_layer(theirs: dict[str, torch.Tensor], told: str) -> None:
    """A layer that is missing, of another shape or too many; the head matters only where it is kept.

    These are reasons of failed trials, which are derived again to the letter.
    """
    own = tensors("blocks.block_0.convolution.weight", "blocks.block_1.convolution.weight", "head.output.weight")
    with pytest.raises(TrainingError, match=told):
        adopt(own, theirs, "head.output", is_kept=False)


DIGITS = """
seed: 3
data: {source: table.csv, target: digit, shape: [1, 8, 8]}
model: {family: cnn}
training: {epochs: 4, early_stopping: null}
hyperparameters: {blocks: 2, filters: [8, 16], batch_norm: true, head_units: 16, batch_size: 32, learning_rate: 1e-2}
search_space: {augment_noise: [0.0, 0.2]}
studies:
  random: {sampler: random, trials: 1}
compare: {test_looks: 1}
tracking: {experiment: digits}
"""


def digits(folder: Path, wanted: range, text: str = DIGITS) -> SmallProject:
    """A project over the handwritten digits of some classes."""
    x, y = load_digits(return_X_y=True)
    table = pd.DataFrame(x.astype(int), columns=[f"p{n:02d}" for n in range(64)]).assign(digit=y)
    folder.mkdir()
    return SmallProject.made(folder, table[table["digit"].isin(wanted)], text)


def here(project: SmallProject) -> api.Project:
    return api.Project(project.paths, "sqlite:///unused.db", 1, "tests")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A network that was tuned on the digits 0 to 4."""
    project = digits(tmp_path_factory.mktemp("digits") / "low", range(5))
    api.tune(project.config, "random", project=here(project), deliver=False)
    return project


CHILD = DIGITS.replace("family: cnn", "family: cnn, transfer: {from: ../low/models/random}").replace(
    "epochs: 4", "epochs: 2"
)
FROZEN = CHILD.replace("search_space: {", "search_space: {freeze: [1, 2], ").replace("trials: 1", "trials: 2")


def same_on_a_node_without_the_folder(project: SmallProject, trial: Trial) -> None:
    """A node of a cluster gets the parent's weights sent; without them it says which file is missing.

    It trains on one thread and leaves its process as it was.
    """
    threads = torch.get_num_threads()
    arrays = replace(arrays_of(project.data), parents=None)
    folder = project.paths.splits.parent / "parents"
    sent = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    [result] = Trainee(arrays, None, None, sent).run((Segment(trial.spec),), [])
    assert trial.outcome == result.outcome
    assert "are not there; tune again" in str(Trainee(arrays, None, None, {}).run((Segment(trial.spec),), []))
    assert threads == torch.get_num_threads()


def test_other_digits_are_learned_from_the_first_ones(parent: SmallProject, tmp_path: Path) -> None:
    """The digits 5 to 9 begin with a network for 0 to 4: the head is new, frozen blocks are the parent's, all derives again."""
    (tmp_path / "low").symlink_to(parent.paths.root)
    project = digits(tmp_path / "high", range(5, 10), FROZEN)
    study = api.tune(project.config, "random", project=here(project), deliver=False)
    assert {trial.trial.spec.parent["head"] for trial in study.trials} == {"new"}
    theirs = read_safetensors((parent.paths.models / "random" / "weights.safetensors").read_bytes())
    best = study.best_trial.trial
    ours = read_safetensors((project.paths.models / "random" / "weights.safetensors").read_bytes())
    for name in (name for name in ours if name.startswith("blocks.block_0")):
        assert torch.equal(ours[name], theirs[name]), name
    assert best.metrics["val_f1"] > 0.9
    same_on_a_node_without_the_folder(project, study.trials[0].trial)
    (parent.paths.models / "random").rename(parent.paths.models / "gone")
    try:
        [found] = api.verify(project.config, "random", project=here(project))
        assert ("identical", None) == (found.state, found.first_difference)
        kept = next((project.paths.splits.parent / "parents").glob("*.safetensors"))
        kept.unlink()
        [found] = api.verify(project.config, "random", project=here(project))
        assert found.state == "cannot"
    finally:
        (parent.paths.models / "gone").rename(parent.paths.models / "random")


def test_a_head_is_kept_where_the_classes_are_the_parents(parent: SmallProject) -> None:
    """From its own model folder a project goes on where it was: the first epoch is better than the first from nothing."""
    config = parent.config.with_("model.transfer", {"from": "models/random"}).with_(
        "studies.again", {"sampler": "random", "trials": 1}
    )
    study = api.tune(config, "again", project=here(parent), deliver=False)
    [trial] = study.trials
    assert trial.trial.spec.parent["head"] == "kept"
    assert trial.history.iloc[0]["val_loss"] < 0.3


CHILD_OF = "model: {transfer: {from: models/random}}\nhyperparameters: "
WRONG = [
    (
        "model: {transfer: {}}",
        "model.transfer: from: missing; say whose weights: a model folder, a .safetensors file, or models:/",
    ),
    ("model: {transfer: {form: x}}", "model.transfer: form: unknown entry; did you mean from\\?"),
    ("model: {transfer: {from: up/../bare/model.json}}", "holds no weights; give the folder: [^.]*/bare$"),
    ("model: {transfer: [a]}", "model.transfer: expected entries"),
    ("model: {transfer: {from: 3}}", "model.transfer.source: expected text"),
    ("model: {transfer: {from: ''}}", "model.transfer"),
    ("model: {transfer: {from: x, freeze: 2}}", "model.transfer.freeze: unknown"),
    ("model: {transfer: {from: x, head: both}}", "model.transfer.head: expected 'auto', 'new' or 'keep'"),
    (
        "model: {transfer: {from: absent}}",
        "model.transfer.from: .*absent cannot be read .No such file.*; give a model folder",
    ),
    (
        "model: {transfer: {from: text.safetensors}}",
        "text.safetensors is no safetensors file .*safetensors.torch.save_file",
    ),
    ("model: {transfer: {from: empty.safetensors}}", "empty.safetensors holds no tensors"),
    (
        "model: {transfer: {from: bare}}",
        "bare/model.json cannot be read as a model's description; give the .safetensors file",
    ),
    ("model: {transfer: {from: 'models:/x'}}", "models:/x: expected models:/NAME@ALIAS or models:/NAME/VERSION"),
    (
        "hyperparameters: {freeze: 1}",
        "hyperparameters.freeze: has an effect only with a parent; say model.transfer.from",
    ),
    ("search_space: {freeze: [0, 1]}", "hyperparameters.freeze: has an effect only with a parent"),
    (
        "{model: {transfer: {from: models/random}}, hyperparameters: {freeze: 4}}",
        "freeze: 4 leaves nothing to train of 4 layers",
    ),
    (
        "{model: {transfer: {from: models/random}}, hyperparameters: {freeze: -1}}",
        "freeze: expected at least 0, found -1",
    ),
    (
        "{model: {transfer: {from: models/random}}, hyperparameters: {filters: [4, 8]}}",
        "studies.random: blocks.block_0: blocks",
    ),
    (
        "{model: {transfer: {from: models/random}}, hyperparameters: {batch_norm: false}}",
        "blocks.block_0: the parent has no",
    ),
    (
        "{model: {transfer: {from: models/random}}, hyperparameters: {head_units: 8}}",
        r"head.hidden: head.hidden.weight is \(8, ",
    ),
    (
        "{model: {transfer: {from: models/random}}, hyperparameters: {head_learning_rate: -1}}",
        "head_learning_rate: expected at",
    ),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=[wrong for wrong, _ in WRONG])
def test_what_is_wrong_is_told_before_anything_runs(parent: SmallProject, wrong: str, told: str) -> None:
    """A parent that is none, or does not fit: one line with the place and what to do, before a trial runs."""
    root = parent.paths.root
    (root / "text.safetensors").write_text("no tensors")
    (root / "empty.safetensors").write_bytes(save({}))
    (root / "bare").mkdir(exist_ok=True)
    (root / "bare" / "weights.safetensors").write_bytes(save(tensors("a")))
    tree = read_yaml(DIGITS.encode(), "params.yaml")
    for section, entries in read_yaml(wrong.encode(), "params.yaml").items():
        tree[section] = {**tree.get(section, {}), **entries}
    with pytest.raises(TrackerError, match=told) as caught:
        api.tune(parse_config(tree, "params.yaml"), "random", project=here(parent), deliver=False)
    assert all(len(line) < 400 for line in str(caught.value).splitlines())


CNN = "model: {transfer: {from: models/random}}"
MISFITS = [
    (f"{{{CNN}, hyperparameters: {{filters: [4, 8]}}}}", ("blocks.block_0: blocks.block_0.convolution.weight is (4, 1, 3, 3), "
     "the parent's (8, 1, 3, 3); set hyperparameters: {filters: [8, 16]}, as the parent has")),
    (f"{{{CNN}, hyperparameters: {{filters: 16, head_units: 8, dropout: 0.1}}}}",
     "; set hyperparameters: {filters: [8, 16], head_units: 16}, as the parent has"),
    (f"{{{CNN}, hyperparameters: {{blocks: 1, filters: 8}}}}", "; set hyperparameters: {blocks: 2, filters: [8, 16]}, as"),
    (f"{{{CNN}, hyperparameters: {{batch_norm: false}}}}",
     "its layers are blocks.block_0, blocks.block_1, head.hidden, head.output; set hyperparameters: {batch_norm: true}, as"),
    (f"{{{CNN}, search_space: {{head_units: [8, 16]}}}}", ("head.hidden: head.hidden.weight is (8, 64), the parent's (16, 64); "
     "what shapes the network cannot be searched: take head_units (8, 16) out of search_space, and set hyperparameters: "
     "{head_units: 16}, as the parent has")),
    (f"{{{CNN}, search_space: {{filters: {{low: 8, high: 16}}}}}}", ("take filters (8 to 16) out of search_space, and set "
     "hyperparameters: {filters: [8, 16]}, as the parent has")),
    (f"{{{CNN}, search_space: {{freeze: {{low: 0, high: 4}}}}}}", ("freeze: 4 leaves nothing to train of 4 layers "
     "(blocks.block_0, blocks.block_1, head.hidden, head.output); at most 3")),
    ("model: {transfer: {from: bare.safetensors}}\nhyperparameters: {head_units: 8}",
     "the parent's (16, 64); set hyperparameters: {head_units: 16}, as the parent has"),
    ("model: {transfer: {from: bare.safetensors}}\nsearch_space: {batch_norm: [true, false]}",
     "take batch_norm (true, false) out of search_space, and set hyperparameters: {batch_norm: true}, as the parent has"),
    ("model: {transfer: {from: bare.safetensors}}\nhyperparameters: {filters: [4, 4], head_units: 8}",
     "the parent's (8, 1, 3, 3); take the hyperparameters, the shape of rows and the classes that the parent has"),
    ("model: {family: rnn, transfer: {from: models/random}}\ndata: {shape: [8, 8]}",
     ("recurrent.l0: the parent has no recurrent.weight_ih_l0; its layers are blocks.block_0, blocks.block_1, head.hidden, "
     "head.output; the parent is of family cnn: set model.family: cnn, or take a parent of family rnn")),
    (f"{{{CNN}, data: {{shape: [4, 4, 4]}}}}",
     "the parent reads rows of shape [1, 8, 8], these are [4, 4, 4]; bring them to one (data.shape)"),
    ("model: {transfer: {from: models/random, head: keep}}\ndata: {classes: 3}",
     ("head.output: head.output.weight is (3, 16), the parent's (5, 16); the parent has 5 classes, the target 3; say "
     "model.transfer.head: new")),
    (f"{{{CNN}, search_space: {{dropout: {{low: 0.0, high: 0.5}}, freeze: [0, 1, 2, 3], weight_init: [default, normal]}}}}",
     None),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "told"), MISFITS, ids=[wrong for wrong, _ in MISFITS])
def test_what_does_not_fit_says_what_to_set(parent: SmallProject, wrong: str, told: str | None) -> None:
    """The layer with both shapes; then which hyperparameters to set to what, searched or not, or how the rows differ."""
    root = parent.paths.root
    (root / "bare.safetensors").write_bytes((root / "models" / "random" / "weights.safetensors").read_bytes())
    tree, given = read_yaml(DIGITS.encode(), "params.yaml"), read_yaml(wrong.encode(), "params.yaml")
    classes = given.get("data", {}).pop("classes", 5)
    ours = given.get("model", {}).get("family", "cnn") == "cnn"
    tree = {**tree, **({} if ours else {"hyperparameters": {}})}
    for section, entries in given.items():
        tree[section] = {**tree[section], **entries}
    config = parse_config(tree, "params.yaml")
    shape = tree["data"]["shape"]
    numbers = {"features": [f"p{n}" for n in range(64)], "columns": [{"kind": "numeric"}] * 64, "shape": shape}
    begins = find_parent(config, parent.paths)
    assert begins is not None
    assert config.model.transfer is not None
    spec = plan_study(config, "random", Basis({}, "here")).spec
    labels = [str(label) for label in range(classes)]
    found = parent_fault(spec, begins, config.model.transfer.head, Read(labels, numbers))
    assert (found is None) == (told is None), found
    assert (told or "") in (found or "")
    assert "\n" not in (found or "")


def test_a_parent_of_other_columns(small_project: SmallProject) -> None:
    """Of a table the parent must have as many features; where they are others, `check` warns."""
    plan, data = (
        small_project.plan("manual", studies={"manual": {"sampler": "manual", "configurations": [{}]}}),
        small_project.data,
    )
    state, labels = data.preprocessing, list(data.labels)
    run = propose_trial(plan.spec, 0, 0, {}).runs[0]
    weights = train(run, arrays_of(data)).weights
    assert weights is not None
    parent = Parent(weights, {"family": "mlp", "params": run.params, "labels": labels, "preprocessing": state})
    assert parent_fault(plan.spec, parent, "auto", Read(labels, state)) is None
    assert other_features(parent, Read(labels, state)) is None
    more = {**state, "features": [*state["features"], "height"], "columns": [*state["columns"], {"kind": "numeric"}]}
    found = str(parent_fault(plan.spec, parent, "auto", Read(labels, more)))
    said = "the parent reads 6 features, these rows have 7: the parent does not know height; take the same columns"
    assert found.endswith(said)
    wider = small_project.plan("manual", studies={"manual": {"sampler": "manual", "configurations": [{"units": 24}]}})
    both = str(parent_fault(wider.spec, parent, "auto", Read(labels, more)))
    needed = f"{{units: {run.params['units']}}}, as the parent has: change units there"
    assert both.endswith(f"{said}; and each of its configurations needs {needed}")
    first, *rest = state["features"]
    for features, told in (
        ([*rest, first], "their order is another"),
        ([*state["features"], "height"], "the parent does not know height"),
        (rest, f"these lack {first}"),
        ([*rest, "height"], f"these lack {first}; the parent does not know height"),
    ):
        odd = str(other_features(parent, Read(labels, {**state, "features": features})))
        assert f"the parent's features are not these ({told}), so the weights" in odd


NET = """
import torch

def build(hyperparameters, input_shape, classes):
    if hyperparameters["width"] == 3:
        raise ValueError("three is odd")
    width = hyperparameters["width"]
    return torch.nn.Sequential(torch.nn.Linear(*input_shape, width), torch.nn.Linear(width, classes))
"""
OWN = """
seed: 3
data: {source: table.csv, target: kind, id: who}
model: {family: build, entry: "net:build", transfer: {from: parent.safetensors}}
search_space: {width: [3, 4, 8]}
studies: {random: {sampler: random, trials: 2}, one: {sampler: manual, configurations: [{width: 4}], search_space: {}}}
"""


def test_check_builds_networks_of_the_users_own(tmp_path: Path) -> None:
    """A width that is not the parent's is told before any trial; what else the code does not like is a trial's failure."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "parent.safetensors").write_bytes(save({"0.weight": torch.zeros(4, 5), "0.bias": torch.zeros(4)}))
    project = SmallProject.made(tmp_path, make_table(), OWN)
    features = len(project.data.preprocessing["features"])
    told = rf"0: 0.weight is \(8, {features}\), the parent's \(4, 5\); take the hyperparameters, the shape of rows"
    with pytest.raises(TrackerError, match=f"studies.random: {told}"):
        api.tune(project.config, "random", project=here(project), deliver=False)
    with pytest.raises(TrackerError) as caught:
        list(forecast(project.config, project.paths))
    assert ["studies.random", "studies.one"] == [line.partition(":")[0] for line in str(caught.value).splitlines()]
    fits = save({"0.weight": torch.zeros(4, features), "0.bias": torch.zeros(4)})
    (tmp_path / "parent.safetensors").write_bytes(fits)
    config = project.config.with_(
        "studies", {"one": {**project.config.model_dump(exclude_unset=True)["studies"]["one"]}}
    )
    assert [line for line in forecast(config, project.paths) if line.startswith("1 trial")]


def test_the_steps_of_a_rehearsed_sequence_are_there() -> None:
    """The last channel says which steps a sequence has; one of no steps is none that anybody trains with."""
    features = [f"s{step}" for step in range(6)]
    x = Read(["a", "b"], {"features": features, "columns": [], "shape": [2, 3], "mask": True}).arrays({}).x_train
    assert [[0, 0, 0, 1, 1, 1]] * 2 == x.tolist()


def test_a_study_that_was_begun_is_not_refused(tmp_path: Path) -> None:
    """What an earlier release recorded, trials that could not begin among it, is taken, and `check` warns; new is refused."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "parent.safetensors").write_bytes(save({"0.weight": torch.zeros(4, 5), "0.bias": torch.zeros(4)}))
    project = SmallProject.made(tmp_path, make_table(), OWN)
    code = load_own(tmp_path, "build", "net:build")[0].identity
    place = environment(*asked_of(project.config.training_of("one").model_dump(), "build"))[0]
    plan = partial(plan_fitting, project.config, "one", project.data, place, code, project.paths, lambda *_: b"")
    with pytest.raises(ConfigError, match=r"0\.weight is"):
        plan()
    with pytest.MonkeyPatch.context() as patch, Store.open(project.paths.store) as store:
        patch.setattr(fitting, "parent_fault", lambda *_: None)
        key = store.put_study(plan().spec, {"who": "tests"})
        store.put_proposals(key, [propose_trial(plan().spec, 0, 0, {"width": 4})])
    assert key == plan().spec.key
    one = project.config.model_dump(exclude_unset=True)["studies"]["one"]
    lines = list(forecast(project.config.with_("studies", {"one": one}), project.paths))
    [told] = [line for line in lines if line.startswith("warning: studies.one: 0: 0.weight is (4, ")]
    assert told.endswith(
        "; tuning goes on all the same, for it has begun; trials that cannot begin fail with their reason"
    )
    with pytest.raises(TrackerError, match=r"^studies\.random: 0: 0\.weight is"):  # which is new
        list(forecast(project.config, project.paths))


def test_check_tells_what_fits_nowhere(parent: SmallProject) -> None:
    """`tracker check` says it as `tracker tune` does, once for all studies; what a server has is looked at later."""
    wrong = {"hyperparameters.filters": [4, 8], "model.transfer": {"from": "models/random"},
             "studies.again": {"sampler": "random", "trials": 2}}  # fmt: skip
    config = parent.config
    for place, value in wrong.items():
        config = config.with_(place, value)
    with pytest.raises(
        TrackerError, match=r"^studies.random, studies.again: blocks.block_0: .*set hyperparameters: {filt"
    ):
        list(forecast(config, parent.paths))
    remote = parent.config.with_("model.transfer", {"from": "models:/x@champion"})
    told = "model.transfer.from: models:/x@champion is fetched when tuning begins; whether it fits is said then, before"
    assert any(line.startswith(told) for line in forecast(remote, parent.paths))


def test_a_listed_configuration_that_does_not_fit_is_changed_there(parent: SmallProject) -> None:
    """What a manual study lists is no matter of the hyperparameters that all studies share."""
    config = parent.config.with_("model.transfer", {"from": "models/random"})
    listed = {"sampler": "manual", "search_space": {}, "configurations": [{"filters": [8, 16]}, {"filters": [4, 8]}]}
    config = config.with_("studies", {"one": listed})
    told = re.escape("each of its configurations needs {filters: [8, 16]}, as the parent has: change filters there")
    with pytest.raises(TrackerError, match=told):
        list(forecast(config, parent.paths))


def test_check_misses_the_parent(parent: SmallProject) -> None:
    """`tracker check` tells a parent that is not there beside all other faults."""
    config = parent.config.with_("model.transfer", {"from": "absent"})
    with pytest.raises(TrackerError, match=r"model.transfer.from: .*absent cannot be read"):
        list(forecast(config, parent.paths))
