"""Other devices than the CPU, which are not on this machine: what is refused, what is set, and where tensors would lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.studies.project import SmallProject
from tracker import api
from tracker.config import Config, parse_config
from tracker.errors import ConfigError, InputError
from tracker.families.family import open_family
from tracker.hyperparameters import FAMILIES, active
from tracker.records import TrialSpec
from tracker.surroundings.environment import asked_of, device_name, environment
from tracker.terminal.forecast import forecast
from tracker.training import device
from tracker.training.arrays import Arrays

HERE = [name for name in ("cuda", "mps") if device_name(name) is not None]
pytestmark = pytest.mark.skipif(bool(HERE), reason=f"made for machines without one, and there is {HERE}")
EVERYTHING = {
    "class_weights": "balanced", "label_smoothing": 0.1, "weight_averaging": 0.9, "weight_decay": 0.01,
    "augment_mixup": 0.2, "augment_noise": 0.1, "dropout": 0.2, "batch_size": 16,
}  # fmt: skip
SHAPES = {"cnn": (1, 6, 6), "rnn": (6, 3), "tabular": ()}


def run_of(family: str, where: str, **params: Any) -> TrialSpec:
    training = {"epochs": 2, "early_stopping": None, "device": where}
    return TrialSpec(family, active(family, params), training, 1, {}, "test", FAMILIES[family].numerics)


def rows_of(family: str) -> Arrays:
    shape, rng = SHAPES[family], np.random.default_rng(0)
    x, y = rng.normal(size=(60, int(np.prod(shape or (5,))))).astype(np.float32), (np.arange(60) % 3).astype(np.int64)
    return Arrays(x[:40], y[:40], x[40:], y[40:], 3, None, ("a", "b", "c"), shape=shape)


def config(family: str, training: dict[str, Any], own: dict[str, Any] | None = None) -> Config:
    study = {"sampler": "manual", "configurations": [{}], **({"training": own} if own else {})}
    model = {"model": {"family": family}, "training": training, "studies": {"one": study}}
    data = {"source": "table.csv", "target": "kind", "id": "who"}  # of the small project
    return parse_config({"seed": 7, "data": data, **model}, "params.yaml")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device whose tensors have no numbers: torch refuses to mix them with those of the CPU, or to give their numbers.

    What comes back from it is 0.
    """
    to = torch.Tensor.to

    def move(tensor: torch.Tensor, *where: Any, **options: Any) -> torch.Tensor:
        if tensor.device.type == "meta" and "cpu" in map(str, where):
            tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
        return to(tensor, *where, **options)

    monkeypatch.setattr(torch.Tensor, "to", move)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: tensor.to("cpu"))
    monkeypatch.setattr(device, "device_name", lambda name: name)
    monkeypatch.setattr(device, "seed_device", lambda *_: None)
    return "meta"


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize(("family", "optimizer"), [("cnn", "adamw"), ("rnn", "lion"), ("tabular", "sgd")])
def test_all_tensors_of_a_run_lie_on_its_device(pretended: str, family: str, optimizer: str) -> None:
    """Epochs, scores and copies mix no two devices; what is kept, and what it predicts, is computed on the CPU."""
    given = {name: value for name, value in EVERYTHING.items() if family != "tabular" or "augment" not in name}
    head = {} if family == "tabular" else {"head_learning_rate": 0.01}
    spec = run_of(family, pretended, optimizer=optimizer, **given, **head)
    engine = open_family(family).start([spec], rows_of(family), None)
    for _ in range(2):
        [told] = engine.run_epoch()
        assert hasattr(told, "row"), told
    assert {pretended} == {tensor.device.type for tensor in engine.module.state_dict().values()}
    engine.keep([0])
    state = engine.state(0)
    engine.restore(0, state, 2)
    kept = engine.kept(0)
    assert {"cpu"} == {tensor.device.type for tensor in [*state.values(), *kept.tensors.values()]}
    assert {"cpu"} == {tensor.device.type for tensor in engine.module.state_dict().values()}


def test_on_the_cpu_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither torch's settings nor a variable, so that no bit of what was computed before changes."""
    monkeypatch.delenv(device.WORKSPACE[0], raising=False)
    before = torch.are_deterministic_algorithms_enabled(), device.os.environ.copy()
    with device.Device("cpu", 1).active("epoch", 1):
        assert before == (torch.are_deterministic_algorithms_enabled(), device.os.environ)
    assert environment() == environment(*asked_of({"epochs": 3}, ""))


def test_on_another_device_algorithms_repeat_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside deterministic algorithms alone, no TF32, its generator seeded by run and purpose; outside as it was."""
    monkeypatch.setenv(device.WORKSPACE[0], "")
    monkeypatch.delenv(device.WORKSPACE[0])
    seeded: list[tuple[str, int]] = []
    monkeypatch.setattr(device, "device_name", lambda name: name)
    monkeypatch.setattr(device, "seed_device", lambda *told: seeded.append(told))
    for seed, epoch in ((1, 1), (1, 1), (1, 2), (2, 1)):
        with device.Device("cuda", seed).active("epoch", epoch):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.backends.cudnn.deterministic
            assert not torch.backends.cudnn.allow_tf32
            assert ":4096:8" == device.os.environ[device.WORKSPACE[0]]
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    assert ["cuda"] * 4 == [name for name, _ in seeded]
    assert seeded[0] == seeded[1]
    assert 3 == len(set(seeded))


@pytest.mark.parametrize("where", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_before_anything_runs(small_project: SmallProject, where: str) -> None:
    """By `check`, by a study, and by the process that trains; its place, what was found, what to do."""
    told = rf"training.device: {where}: torch .* finds none on this machine; say cpu, or run where there is one"
    wanted = config("tabular", {"device": where})
    with pytest.raises(InputError, match=told):
        list(forecast(wanted, small_project.paths))
    with pytest.raises(ConfigError, match=told):
        api.tune(wanted, "one", project=api.Project(small_project.paths, "sqlite:///unused.db", 1, "me"), deliver=False)
    with pytest.raises(ConfigError, match=told):
        open_family("rnn").start([run_of("rnn", where)], rows_of("rnn"), None)
    assert environment("native", "rnn", where)[0] != environment("native", "rnn")[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("mlp", {"device": "cuda"}), "training.device: cuda: family mlp trains on the CPU; say cpu, or take one of cnn"),
        (("mlp", {}, {"device": "cuda"}), "studies.one.training.device: cuda: family mlp trains on the CPU"),
        (("rnn", {"device": "mps", "numerics": "portable"}), "training.numerics: portable pins the CPU, not mps; take it out"),
    ],
    ids=["family", "study", "portable"],
)  # fmt: skip
def test_what_a_device_does_not_go_with(given: tuple[Any, ...], told: str) -> None:
    """Lanes of `mlp` and portable numerics are of the CPU; the message says where the entry is."""
    with pytest.raises(ConfigError, match=told):
        config(*given)


def test_the_device_is_in_the_key_unless_it_is_the_cpu() -> None:
    """A trial on a GPU is another trial; one on the CPU has the key that it had before there was a choice."""
    cpu = run_of("rnn", "cpu")
    assert cpu.key == replace(cpu, training={"epochs": 2, "early_stopping": None}).key
    assert cpu.key != run_of("rnn", "cuda").key
