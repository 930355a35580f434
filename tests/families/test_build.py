"""Networks of the user's own: trained by our loop with our knobs, repeatable, opened again by their recorded code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.studies.project import SmallProject, make_table
from tests.training.cases import STOPPING, arrays
from tests.training.cases import spec as mlp_spec
from tracker.errors import ConfigError, TrackerError
from tracker.execution.trainer import Segment, Trainer, load_own
from tracker.families.build import FAMILY
from tracker.families.family import train
from tracker.hyperparameters import FAMILIES, OPTIMIZERS, active
from tracker.records import TrialSpec
from tracker.standalone.load import load_model
from tracker.terminal.forecast import forecast

NET = """
import torch

def build(hyperparameters, input_shape, classes):
    width = hyperparameters["width"]
    return torch.nn.Sequential(
        torch.nn.Linear(*input_shape, width), torch.nn.ReLU(), torch.nn.Dropout(hyperparameters.get("drop", 0.0)),
        torch.nn.Linear(width, classes),
    )
"""
PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who}
model: {family: build, entry: "model:build"}
training: {epochs: 4, early_stopping: {monitor: val_loss, patience: 2}}
hyperparameters: {drop: 0.1}
search_space: {width: [4, 8], learning_rate: {low: 1e-3, high: 1e-1, log: true}, optimizer: [sgd, adamw]}
studies: {own: {sampler: random, trials: 4}}
"""


def own_spec(seed: int = 1, epochs: int = 4, stopping: dict | None = STOPPING, **params: object) -> TrialSpec:
    """A run of a network of the user's own."""
    training = {"epochs": epochs, "early_stopping": stopping, "device": "cpu", "numerics": "native"}
    whole = active("build", {"width": 8, **params})
    return TrialSpec("build", whole, training, seed, {}, "test", FAMILIES["build"].numerics, {"entry": "model:build"})


def linear(hyperparameters: dict, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A network without hidden layers."""
    net = torch.nn.Sequential()
    net.add_module("output", torch.nn.Linear(*input_shape, classes))
    return net


def small(hyperparameters: dict, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A hidden layer with dropout."""
    width = hyperparameters["width"]
    return torch.nn.Sequential(
        torch.nn.Linear(*input_shape, width), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(width, classes)
    )


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    tmp_path.joinpath("model.py").write_text(NET)
    return SmallProject.made(tmp_path, make_table(), PARAMS)


LATER = {
    "weight_averaging": 0.9,
    "schedule": "plateau",
    "schedule_patience": 0,
    "augment_noise": 0.1,
    "augment_mixup": 0.5,
}
KNOBS = {"label_smoothing": 0.2, "gradient_clip": 0.3, "schedule": "cosine", "warmup": 0.1, "nesterov": True}


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize(
    ("optimizer", "knobs"),
    [
        *((kind, {}) for kind in OPTIMIZERS),
        ("sgd", KNOBS),
        ("adamw", {name: KNOBS[name] for name in [*KNOBS][:4]}),
        ("adam", LATER),
    ],
    ids=str,
)
def test_a_linear_network_trains_as_ours_does(optimizer: str, weights: str, knobs: dict) -> None:
    """The same start, batches and formula: the losses agree with our own family's to the last digits, for every knob."""
    data = arrays(90)
    params = {"optimizer": optimizer, "learning_rate": 0.02, "batch_size": 16, "weight_decay": 1e-3, "momentum": 0.5}
    params |= {"class_weights": weights, **knobs}
    ours = train(mlp_spec(3, 4, STOPPING, hidden_layers=0, **params), data).outcome

    def same_start(hyperparameters: dict, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from tracker.families.mlp_layout import initial_tensors

        net = linear(hyperparameters, input_shape, classes)
        net.load_state_dict(initial_tensors(mlp_spec(3, hidden_layers=0), *input_shape, classes))
        return net

    theirs = train(own_spec(3, **params), data, same_start).outcome
    assert [row["epoch"] for row in ours.history] == [row["epoch"] for row in theirs.history]
    for one, other in zip(ours.history, theirs.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-5)


def test_its_parameters_are_counted_where_it_was_trained() -> None:
    """A study may ask for them; buffers are none, and what is counted moves no weight."""

    def normed(hyperparameters: dict, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(linear(hyperparameters, input_shape, classes), torch.nn.BatchNorm1d(classes))

    data, run = arrays(40), own_spec()
    found = train(replace(run, training={**run.training, "costs": ["parameters"]}), data, normed).outcome
    assert (data.input_shape[0] + 3) * data.classes == found.metrics["parameters"]
    assert train(run, data, normed).outcome.weights == found.weights


WRONG = {
    "[1, 2]": r"build must give a torch.nn.Module; it gave list",
    "torch.nn.Linear(*input_shape, classes + 1)": r"the model gives \(2, 3\) for 2 rows; expected logits \(2, 2\)",
    "torch.nn.Linear(4, classes)": r"RuntimeError: mat1 and mat2 shapes cannot be multiplied \(2x\d+ and 4x2\)",
    "hyperparameters['depth']": "KeyError: 'depth'",
    "torch.nn.Linear(*input_shape, classes).double()": "parameters must be torch.float32, found torch.float64",
    "torch.nn.Identity()": "the module has no parameters to train",
}


def test_check_says_what_no_network_could_be_trained_with(project: SmallProject) -> None:
    """A module that is none, other outputs or inputs, an error: told where every configuration has it; else it may run."""
    head = "import torch\ndef build(hyperparameters, input_shape, classes):\n"
    where = (
        r"^studies.own: model.entry: model:build with {drop: 0.1, width: 4}, on rows of shape \[\d+\] in 2 classes: "
    )
    for wrong, told in WRONG.items():
        (project.paths.root / "model.py").write_text(f"{head}    return {wrong}\n")
        with pytest.raises(TrackerError, match=where + told):
            list(forecast(project.config, project.paths))
    some = "    return torch.nn.Linear(*input_shape, classes) if hyperparameters['width'] == 8 else None\n"
    (project.paths.root / "model.py").write_text(head + some)
    assert any(line.startswith("4 trials") for line in forecast(project.config, project.paths))


def test_a_run_repeats_bit_for_bit_whatever_was_drawn_before() -> None:
    """The seed decides initial weights, batches and dropout; the process's own generators neither matter nor change."""
    data = arrays(90)
    first = train(own_spec(5), data, small)
    torch.rand(7)
    state = torch.default_generator.get_state()
    assert first.outcome == train(own_spec(5), data, small).outcome
    assert torch.equal(state, torch.default_generator.get_state())
    assert first.outcome.weights != train(own_spec(6), data, small).outcome.weights


def test_paused_and_gone_on_with_it_is_the_same(project: SmallProject) -> None:
    """Held at an epoch or begun again, a run comes to the same outcome."""
    specs = project_specs(project)
    trainer = Trainer(arrays_of_project(project), project.paths.root)
    whole = {one.spec.key: one.outcome for one in run_all(trainer, [Segment(spec) for spec in specs])}
    paused = run_all(trainer, [Segment(spec, 2) for spec in specs])
    assert all(one.outcome.history == whole[one.spec.key].history[:2] for one in paused)
    assert whole == {one.spec.key: one.outcome for one in run_all(trainer, [Segment(spec) for spec in specs])}
    run_all(trainer, [Segment(spec, 2) for spec in specs])
    trainer.forget()
    assert whole == {one.spec.key: one.outcome for one in run_all(trainer, [Segment(spec) for spec in specs])}


def project_specs(project: SmallProject) -> list[TrialSpec]:
    from tests.studies.project import ENVIRONMENT
    from tracker.families.own_code import read_code
    from tracker.search.samplers import open_sampler
    from tracker.studies.plan import Basis, Planner, plan_study

    code = read_code(project.paths.root, "model:build").identity
    plan = plan_study(project.config, "own", Basis(project.data.digests, ENVIRONMENT, code))
    searched = open_sampler(plan.spec).propose(0, plan.trials, 0)
    return [Planner(plan.spec).propose(number, 0, values).spec for number, values in enumerate(searched)]


def arrays_of_project(project: SmallProject):
    from tracker.execution.row_sets import arrays_of

    return arrays_of(project.data)


def run_all(trainer: Trainer, segments: list[Segment]) -> list:
    results = []
    while len(results) < len(segments):
        results += trainer.run(segments[len(results) :])
    return results


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda h, s, c: "no module", "build must give a torch.nn.Module; it gave str"),
        (lambda h, s, c: torch.nn.ReLU(), "no parameters to train"),
        (lambda h, s, c: torch.nn.Linear(s[0], c + 1), "expected logits"),
        (lambda h, s, c: torch.nn.Linear(s[0], c).double(), "parameters must be torch.float32"),
        (lambda h, s, c: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda h, s, c: torch.nn.Linear(s[0] + 1, c), "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_what_goes_wrong_fails_the_run_with_its_reason(build, reason: str) -> None:
    """A network that cannot be trained is a failed run that says why; nothing else is disturbed."""
    outcome = train(own_spec(), arrays(), build).outcome
    assert "failed" == outcome.state
    assert reason in str(outcome.reason)


def test_a_function_with_other_arguments_is_refused(tmp_path: Path) -> None:
    """`build` takes hyperparameters, input_shape and classes."""
    (tmp_path / "model.py").write_text("def build(a, b):\n    return None\n")
    with pytest.raises(ConfigError, match=r"must take three arguments, build\(hyperparameters, input_shape, classes\)"):
        load_own(tmp_path, "build", "model:build")
    with pytest.raises(ConfigError):
        FAMILY.require(lambda: None, "model:build")


def test_study_model_and_page(project: SmallProject) -> None:
    """From a table to a model folder that opens by its recorded code alone, with the predictions it had in training."""
    from tracker import api
    from tracker.api import Project

    here = Project(project.paths, "sqlite:///unused.db", 1, "tests")
    study = api.tune(project.config, "own", project=here, deliver=False)
    frame = project.rows()
    expected = study.best_trial.predict(frame)
    (project.paths.root / "model.py").unlink()  # the folder needs it no more
    opened = load_model(project.paths.models / "own")
    pd.testing.assert_frame_equal(expected, opened.predict(frame))
    assert isinstance(opened.module, torch.nn.Sequential)


def test_a_network_may_ask_for_the_names_of_its_features(project: SmallProject) -> None:
    """An argument `columns` gets them in training and when the model is opened again, as `train.columns` of a loop."""
    from tracker import api
    from tracker.api import Project

    names = ("a", "b", "c", "d", "city=Bern", "city=Ulm")
    text = NET.replace("classes):", "classes, columns):").replace(
        "    width = hyper", f"    assert columns == {names}, columns\n    width = hyper"
    )
    (project.paths.root / "model.py").write_text(text)
    here = Project(project.paths, "sqlite:///unused.db", 1, "tests")
    study = api.tune(project.config, "own", project=here, deliver=False)
    assert ["complete"] * 4 == [trial.state for trial in study.trials]
    pd.testing.assert_frame_equal(
        study.best_trial.predict(project.rows()), load_model(project.paths.models / "own").predict(project.rows())
    )


def test_a_changed_code_or_example_is_refused(project: SmallProject) -> None:
    """What runs is what the key covers; a network that is another than was trained is no model."""
    from tracker import api
    from tracker.api import Project

    api.tune(project.config, "own", project=Project(project.paths, "sqlite:///unused.db", 1, "tests"), deliver=False)
    path = project.paths.models / "own" / "model.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "code": {"model.py": NET.replace("ReLU", "Tanh")}}))
    with pytest.raises(ValueError, match=r"is not what its key names: model\.py"):
        load_model(path.parent)
    wrong = (np.asarray(told["check"])[:, ::-1]).tolist()
    path.write_text(json.dumps({**told, "check": wrong}))
    with pytest.raises(ValueError, match="gives other probabilities than it gave when it was trained"):
        load_model(path.parent)


def test_knobs_at_their_neutral_value_are_not_in_the_key() -> None:
    """Own names stand beside our training knobs, whose neutral values change no key."""
    plain = own_spec()
    assert plain.key == replace(plain, params={**plain.params, "weight_decay": 0.0}).key
    assert plain.key != replace(plain, params={**plain.params, "weight_decay": 0.1}).key
    assert {"width", "optimizer", "learning_rate", "weight_decay", "batch_size"} == set(plain.params)


def test_a_sure_and_wrong_prediction_is_no_divergence() -> None:
    """A probability that rounds to 0 costs as much as its logit says, as it does for our own networks."""
    data = arrays(90, classes=2)
    far = replace(data, x_validation=data.x_validation * 1e4)
    outcome = train(own_spec(3, stopping=None), far, linear).outcome
    assert "complete" == outcome.state
    assert outcome.metrics["val_loss"] > 100


def test_settings_of_torch_come_back(tmp_path: Path) -> None:
    """Code that sets something in torch, when it is loaded or while it runs, leaves the environment as it was."""
    from tracker.surroundings.environment import settings

    (tmp_path / "model.py").write_text(
        "import torch\ntorch.use_deterministic_algorithms(True)\n"
        "def build(hyperparameters, input_shape, classes):\n"
        "    torch.set_float32_matmul_precision('medium')\n    torch.backends.mkldnn.enabled = False\n"
        "    return torch.nn.Linear(*input_shape, classes)\n"
    )
    before = settings()
    code, build = load_own(tmp_path, "build", "model:build")
    assert before == settings()
    with code.importable():
        assert "complete" == train(own_spec(), arrays(), build).outcome.state
    assert before == settings()
