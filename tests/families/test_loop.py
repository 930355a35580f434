"""The family of loops of the user's own: what an outcome holds, which epoch is kept, what breaks the contract or could leak."""
# ruff: noqa: NPY002, TID251  these loops are careless on purpose

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from tests.training import cases
from tracker.canonical import digest_bytes
from tracker.errors import TrackerError
from tracker.execution.executor import one_thread
from tracker.families import family
from tracker.families.family import start_training
from tracker.records import TrialOutcome, TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.loop import Checkpoint, Result, Training

STOPPING = {"monitor": "val_loss", "patience": 2}


def arrays() -> Arrays:
    return replace(cases.arrays(), labels=("a", "b", "c"))


def spec(seed: int = 1, epochs: int = 4, stopping: Any = None, **params: Any) -> TrialSpec:
    training = {"epochs": epochs, "early_stopping": stopping, "device": "cpu"}
    return TrialSpec("function", params, training, seed, {}, "test", 1, {"entry": "loop:fit", "loop.py": "0"})


def run(fit: Callable[..., Any], given: TrialSpec | None = None) -> Result:
    with one_thread():
        return family.train(given or spec(), arrays(), fit)


def begun(fit: Callable[..., Any], given: TrialSpec | None = None) -> Training:
    """A run that has not trained yet."""
    return start_training([given or spec()], arrays(), fit)


def outcome(fit: Callable[..., Any], given: TrialSpec | None = None) -> TrialOutcome:
    return run(fit, given).outcome


def reason(fit: Callable[..., Any], given: TrialSpec | None = None) -> str:
    found = outcome(fit, given)
    assert ("failed", None, None, {}) == (found.state, found.weights, found.best_epoch, found.metrics)
    assert len(found.history) == found.epochs
    assert found.reason is not None
    return found.reason


def network(seed: int = 3) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    net = torch.nn.Linear(arrays().x_train.shape[1], 3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
    return net


def train(hyperparameters, train, validation, seed):
    """A loop as people write it, with every careless use of global generators."""
    net = torch.nn.Sequential(torch.nn.Linear(train.x.shape[1], 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=hyperparameters.get("rate", 0.01) * (1 + random.random()))
    for _ in range(hyperparameters["epochs"]):
        net.train()
        rows = np.random.permutation(len(train.x))
        loss = torch.nn.functional.cross_entropy(net(train.x[rows]), train.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net.eval()
        yield {"train_loss": loss, "val_loss": torch.nn.functional.cross_entropy(net(validation.x), validation.y)}
    return net


def scripted(*losses: float, model: bool = True) -> Callable[..., Any]:
    """A loop with these validation losses, whose model's bias counts the epochs."""

    def fit(hyperparameters, train, validation, seed):
        net = network()
        for epoch, loss in enumerate(losses, start=1):
            with torch.no_grad():
                net.bias.fill_(float(epoch))
            yield {"val_loss": loss, **({"model": net} if model else {})}
        return net

    return fit


def test_an_outcome_is_what_the_loop_yielded_and_returned() -> None:
    """History as yielded, metrics of the last epoch, weights and predictions of the returned model."""

    def fit(hyperparameters, train, validation, seed):
        for epoch in (1, 2):
            yield {"train_loss": 1 / epoch, "val_loss": np.float64(0.5), "odd": torch.tensor(7), "none": None}
        return network()

    result = run(fit)
    found = result.outcome
    row = {"train_loss": 0.5, "val_loss": 0.5, "odd": 7.0, "none": None}
    assert ("complete", 2, 2) == (found.state, found.epochs, found.best_epoch)
    assert ({"epoch": 1, **row, "train_loss": 1.0}, {"epoch": 2, **row}) == found.history
    assert row.items() <= found.metrics.items()
    assert 2 == len(result.timing.epochs)
    assert digest_bytes(result.weights) == found.weights
    assert torch.equal(network().weight, load(result.weights)["weight"])
    x = torch.from_numpy(arrays().x_validation)
    right = (network()(x).argmax(1).numpy() == arrays().y_validation).mean()
    assert right == found.metrics["val_accuracy"]
    assert {"val_precision", "val_recall", "val_f1"} <= set(found.metrics)
    assert found.predictions is not None


def test_what_a_loop_is_given() -> None:
    """The trial's values with `epochs`, copies of the rows, label names, the seed."""
    seen: dict[str, Any] = {}

    def fit(hyperparameters, train, validation, seed):
        seen.update(h=hyperparameters, seed=seed, x=train.x, y=validation.y, labels=train.labels, p=train.positive)
        yield {"val_loss": 0.0}

    outcome(fit, spec(9, 5, a=1, b=0.5, c="x", d=True, e=[1, 2]))
    assert {"epochs": 5, "a": 1, "b": 0.5, "c": "x", "d": True, "e": [1, 2]} == seen["h"]
    assert (9, ("a", "b", "c"), None) == (seen["seed"], seen["labels"], seen["p"])
    assert (torch.float32, torch.int64) == (seen["x"].dtype, seen["y"].dtype)
    outcome(fit, replace(spec(epochs=5), params={"epochs": 2}))
    assert {"epochs": 2} == seen["h"]


def test_a_loop_sees_the_names_of_its_features() -> None:
    """`train.columns` and `validation.columns` name the features of `.x`, in their order."""
    seen: list[tuple[str, ...]] = []

    def fit(hyperparameters, train, validation, seed):
        seen.extend((train.columns, validation.columns))
        yield {"val_loss": 0.0}

    rows = arrays()
    names = tuple(f"c{place}" for place in range(rows.x_train.shape[1]))
    training = start_training([spec(epochs=1)], replace(rows, columns=names), fit)
    training.advance()
    assert [names, names] == seen


def test_equal_specs_give_equal_bits_and_other_seeds_others() -> None:
    """Careless use of global generators repeats from the trial's seed."""
    first, again, other = outcome(train), outcome(train), outcome(train, spec(2))
    assert first.digest == again.digest
    assert first.weights != other.weights


def test_the_state_of_the_world_is_put_back() -> None:
    """Global generators, the default dtype, gradient mode and threads are afterwards as they were."""

    def fit(hyperparameters, train, validation, seed):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(2)
        train.x.zero_()
        validation.y.numpy()[:] = 0
        yield {"val_loss": 0.0}

    given = arrays()
    before = random.getstate(), np.random.get_state(), torch.get_rng_state(), given.x_train.copy()
    with one_thread():
        family.train(spec(), given, fit)
        after = random.getstate(), np.random.get_state(), torch.get_rng_state(), given.x_train
        assert 1 == torch.get_num_threads()
    assert before[0] == after[0]
    assert all(np.array_equal(one, two) for one, two in zip(before[1], after[1], strict=True))
    assert torch.equal(before[2], after[2])
    assert np.array_equal(before[3], after[3])
    assert torch.is_grad_enabled()
    assert torch.float32 == torch.get_default_dtype()
    assert arrays().y_validation.tolist() == given.y_validation.tolist()


def test_a_trial_hears_nothing_of_its_neighbours() -> None:
    """Trials one after the other, in any order, equal trials alone."""
    specs = [spec(seed) for seed in range(3)]
    alone = [outcome(train, one).digest for one in specs]
    with one_thread():
        rows = arrays()
        results = [family.train(one, rows, train) for one in reversed(specs)]
    assert alone == [result.outcome.digest for result in reversed(results)]


def test_a_pause_changes_nothing() -> None:
    """A run that waits between epochs, while others draw from the global generators, ends as one that never did."""
    whole, waiting = outcome(train), begun(train)
    with one_thread():
        for until in (1, 2, 3):
            [paused] = waiting.advance(until)
            assert ("paused", until, None) == (paused.outcome.state, paused.outcome.epochs, paused.weights)
            assert whole.history[:until] == paused.outcome.history
            torch.rand(3), random.random()
            family.train(spec(5), arrays(), train)
        [ended] = waiting.advance()
    assert whole == ended.outcome


def test_a_loop_cannot_be_written_down() -> None:
    """A pause has no checkpoint: a loop that is gone begins again, and one that is given a checkpoint is refused."""
    [paused] = begun(train).advance(1)
    assert paused.checkpoint is None
    with pytest.raises(ValueError, match="has no checkpoint"):
        family.train(spec(), arrays(), train, checkpoint=Checkpoint(save({}), {"history": []}))


def test_a_run_that_is_given_up_is_closed() -> None:
    """Closing reaches the loop at its yield, before it began too; and so does letting go of all runs."""
    closed = []

    def fit(hyperparameters, train, validation, seed):
        try:
            yield {"val_loss": 0.0}
            yield {"val_loss": 0.0}
        finally:
            closed.append(torch.initial_seed())

    never = begun(fit)
    never.close()
    assert [] == closed
    for count, end in enumerate((lambda one: one.close(), lambda one: one.select([])), start=1):
        training = begun(fit)
        training.advance(1)
        end(training)
        assert (count, []) == (len(closed), training.advance())
    assert {torch.initial_seed()} != set(closed)  # the loop ends in its own world of generators


def test_one_loop_at_a_time_and_not_without_its_function() -> None:
    """Loops never share a cohort, and the family says what is missing."""
    assert None is family.open_family("function").shape(spec(), 5, 3)
    with pytest.raises(ValueError, match="cannot run without its function"):
        family.train(spec(), arrays())


def test_early_stopping_keeps_the_best_epoch_of_a_loop_that_yields_its_model() -> None:
    """The loop is closed after `patience` epochs, and the best epoch's weights and metrics are kept."""
    result = run(scripted(3.0, 1.0, 2.0, 2.0, 0.0), spec(stopping=STOPPING))
    assert (4, 2, 1.0) == (result.outcome.epochs, result.outcome.best_epoch, result.outcome.metrics["val_loss"])
    assert [2.0] * 3 == load(result.weights)["bias"].tolist()


@pytest.mark.parametrize(("stopping", "model"), [(None, True), (STOPPING, False), (None, False)])
def test_otherwise_the_last_epoch_is_kept(stopping: Any, model: bool) -> None:
    """Without early stopping, or without models to keep, the loop ends where it ends."""
    result = run(scripted(3.0, 1.0, 2.0, 2.0, 5.0, model=model), spec(stopping=stopping))
    assert (5, 5, 5.0) == (result.outcome.epochs, result.outcome.best_epoch, result.outcome.metrics["val_loss"])
    assert [5.0] * 3 == load(result.weights)["bias"].tolist()


def test_any_metric_can_be_monitored() -> None:
    """Names that do not end in loss are better when higher; epochs without the metric do not improve."""

    def fit(hyperparameters, train, validation, seed):
        for value in (None, 0.2, 0.9, None, 0.5, 1.0):
            yield {"score": value, "model": None}

    found = outcome(fit, spec(stopping={"monitor": "score", "patience": 2}))
    assert (5, 3, {"score": 0.9}, None) == (found.epochs, found.best_epoch, found.metrics, found.weights)


def test_a_pure_objective_has_no_model() -> None:
    """None is a fine return value: metrics alone."""

    def fit(hyperparameters, train, validation, seed):
        yield {"cost": hyperparameters["a"] ** 2}

    result = run(fit, spec(a=3))
    assert ("complete", {"cost": 9.0}, None, None) == (
        result.outcome.state,
        result.outcome.metrics,
        result.outcome.weights,
        result.outcome.predictions,
    )
    assert result.weights is None


def yields(*entries: Any, returns: Any = None) -> Callable[..., Any]:
    def fit(hyperparameters, train, validation, seed):
        yield from entries
        return returns

    return fit


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (3.0, "epoch 1 yielded float; expected a dict of metrics"),
        (None, "epoch 1 yielded NoneType"),
        ({}, "epoch 1 yielded no metric; expected at least one"),
        ({"model": None}, "epoch 1 yielded no metric"),
        ({"val_loss": "low"}, "epoch 1 yielded val_loss as str; expected one number"),
        ({"val_loss": True}, "epoch 1 yielded val_loss as bool"),
        ({"val_loss": [1.0]}, "epoch 1 yielded val_loss as list"),
        ({"val_loss": torch.zeros(2)}, "epoch 1 yielded val_loss as Tensor"),
        ({"val_loss": np.zeros(0)}, "epoch 1 yielded val_loss as ndarray"),
        ({"val_loss": 1j}, "epoch 1 yielded val_loss as complex"),
        ({3: 1.0}, "epoch 1 yielded 3, which is no name of a metric"),
        ({"a b": 1.0}, "epoch 1 yielded 'a b', which is no name of a metric"),
        ({"/a": 1.0}, "epoch 1 yielded '/a', which is no name of a metric"),
        ({"a/../b": 1.0}, "epoch 1 yielded 'a/../b', which is no name of a metric"),
        ({"score": 1.0, "best_score": 1.0}, "epoch 1 yielded 'best_score', which begins with best_, as the numbers of"),
        ({"epoch": 1, "val_loss": 1.0}, "take `epoch` out"),
        ({"val_loss": 1.0, "model": 3}, "epoch 1 yielded as `model` int; expected a torch.nn.Module or None"),
        ({"a": 1.0, "confusion_matrix": [[1]]}, "epoch 1 yielded a confusion_matrix that is not 3 rows of 3 counts"),
        ({"a": 1.0, "confusion_matrix": [[1, 2], [3]]}, "not 3 rows of 3 counts"),
        ({"a": 1.0, "confusion_matrix": [[-1, 0, 0]] * 3}, "not 3 rows of 3 counts"),
        ({"val_loss": float("nan")}, "diverged: the loss was not finite in epoch 1"),
        ({"train_loss": torch.tensor(float("inf"))}, "diverged: the loss was not finite in epoch 1"),
        ({"odd_loss": -float("inf")}, "diverged"),
    ],
)
def test_what_breaks_the_contract_of_an_epoch(entry: Any, words: str) -> None:
    """A trial whose loop yields something else has failed, and its reason says in which epoch and what was expected."""
    assert words in reason(yields(entry))


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (yields(), "ended before it had yielded any metrics"),
        (yields({"a": 1}, returns=3), "the loop returned int; expected a torch.nn.Module or None"),
        (yields({"a": 1}, {"a": 1, "model": None}), "epoch 2: either every epoch yields `model`, or none does"),
        (lambda *_: 3, "the loop must be a generator that yields metrics; it gave int"),
        (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (yields({"a": 1}, returns=torch.nn.Linear(1, 3)), "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (yields({"a": 1}, returns=torch.nn.Identity()), "expected logits"),
        (
            yields({"val_accuracy": 0.99}, returns=network()),
            "the kept epoch yielded val_accuracy 0.99, yet its model has",
        ),
    ],
)
def test_what_breaks_the_contract_of_a_loop(fit: Callable[..., Any], words: str) -> None:
    """Nothing yielded, no generator, no module, a module for other rows, a score that is another model's."""
    assert words in reason(fit)


def test_exceptions_become_reasons_that_repeat() -> None:
    """What was yielded is kept, addresses are left out, and sys.exit() ends the trial alone."""

    def fit(hyperparameters, train, validation, seed):
        yield {"a": 1.0}
        if seed == 2:
            raise SystemExit("enough")
        raise ValueError(f"odd thing {object()}")

    assert "ValueError: odd thing <object object at 0x...>" == reason(fit)
    assert "SystemExit: enough" == reason(fit, spec(2))
    assert ({"epoch": 1, "a": 1.0},) == outcome(fit).history


def test_a_loop_that_does_not_let_itself_be_closed_has_failed() -> None:
    """Early stopping closes the loop; one that goes on yielding breaks the contract."""

    def fit(hyperparameters, train, validation, seed):
        while True:
            try:
                yield {"val_loss": 1.0, "model": None}
            except GeneratorExit:
                yield {"val_loss": 1.0, "model": None}

    assert "RuntimeError: generator ignored GeneratorExit" == reason(fit, spec(stopping=STOPPING))


def test_a_run_that_is_given_up_may_say_what_it_likes() -> None:
    """A loop that raises when it is closed, or goes on yielding, is let go all the same: nobody asks for its outcome."""

    def fit(hyperparameters, train, validation, seed):
        try:
            yield {"val_loss": 1.0}
        except GeneratorExit:
            raise ValueError("no") from None

    training = begun(fit)
    training.advance(1)
    training.close()
    assert () == training.keys


def test_a_model_that_cannot_be_copied_is_a_failed_run() -> None:
    """A state that raises when it is the epoch's to keep: paused or not, the run fails after that epoch, with its reason."""

    class Odd(torch.nn.Linear):
        def state_dict(self, *args, **kwargs):
            raise KeyError("no state")

    def fit(hyperparameters, train, validation, seed):
        for loss in (3.0, 2.0, 1.0):
            yield {"val_loss": loss, "model": network() if loss > 2.0 else Odd(5, 3)}

    given = spec(stopping=STOPPING)
    found = outcome(fit, given)
    assert ("failed", 2, "KeyError: 'no state'") == (found.state, found.epochs, found.reason)
    training = begun(fit, given)
    assert ["paused", "paused"] == [training.advance(until)[0].outcome.state for until in (1, 2)]
    assert [found] == [result.outcome for result in training.advance()]


def test_numbers_that_are_not_finite_count_as_undefined() -> None:
    """Metrics apart from losses may be undefined, as 0/0 is elsewhere; a value of ours takes the place of None."""
    found = outcome(yields({"a": float("nan"), "b": float("inf"), "val_f1": None}))
    assert {"a": None, "b": None, "val_f1": None} == found.metrics


def test_a_confusion_matrix_is_kept_with_its_epoch() -> None:
    """As lists of counts, in the history alone."""
    counts = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    found = outcome(yields({"a": 1, "confusion_matrix": torch.tensor(counts)}))
    assert (counts, {"a": 1.0}) == (found.history[0]["confusion_matrix"], found.metrics)


def test_models_with_shared_or_no_weights_are_kept() -> None:
    """Tied tensors are stored twice, and a model without any parameter has an empty state."""

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = network()
            self.two = self.one

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(x)

    class Constant(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 3)

    assert {"one.weight", "one.bias", "two.weight", "two.bias"} == set(
        load(run(yields({"a": 1}, returns=Tied())).weights)
    )
    assert {} == load(run(yields({"a": 1}, returns=Constant())).weights)


@pytest.mark.parametrize("allocate", [lambda: torch.empty(1 << 55), lambda: np.zeros(1 << 58)], ids=["torch", "numpy"])
def test_too_little_memory_is_no_outcome(allocate: Callable[[], object]) -> None:
    """On another machine the loop would go on, so nothing is recorded and the command ends."""

    def fit(hyperparameters, train, validation, seed):
        yield {"val_loss": 1.0}
        allocate()

    with pytest.raises(TrackerError, match=r"not enough memory for a trial: seed 1, {.*the same command tries again"):
        run(fit)
