"""What one process trains: paused runs are held and go on, hand-outs come back in part, what went wrong is let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.execution.contract import segments
from tests.training.cases import STOPPING, arrays, spec
from tracker.errors import ConfigError
from tracker.execution.trainer import HAND_OUT_S, Segment, Trainer, load_own
from tracker.families.family import train, train_cohort
from tracker.families.mlp import MlpEngine
from tracker.records import TrialOutcome, TrialSpec
from tracker.training.engine import Epoch

DATA = arrays()
LOOP = """
from pathlib import Path

HERE = Path({folder!r})


def note(file, line):
    with (HERE / file).open("a") as out:
        out.write(f"{{line}}\\n")


def fit(hyperparameters, train, validation, seed):
    try:
        for epoch in range(hyperparameters["epochs"]):
            note("epochs", seed)
            note("seconds", hyperparameters["seconds"])
            yield {{"cost": seed + epoch}}
    finally:
        note("ended", seed)
"""


class Watch:
    """Which runs trained in each epoch of any network here, by seed; those in `poisoned` raise in place of an epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []
        self.poisoned: set[int] = set()

    @property
    def trained(self) -> int:
        """How many epochs of single runs there were."""
        return sum(map(len, self.epochs))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watches the real engine."""
    found, run_epoch = Watch(), MlpEngine.run_epoch

    def watched(engine: MlpEngine) -> list[Epoch]:
        seeds = sorted(one.seed for one in engine.specs)
        found.epochs.append(seeds)
        if found.poisoned & set(seeds):
            raise RuntimeError("poisoned")
        return run_epoch(engine)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(MlpEngine, "run_epoch", watched)
    yield found
    torch.set_num_threads(before)


def networks(count: int, epochs: int = 6) -> list[TrialSpec]:
    """Networks of one shape that train for so many epochs."""
    return [spec(seed, epochs, dropout=0.2, units=16) for seed in range(count)]


def whole(specs: Sequence[TrialSpec]) -> list[TrialOutcome]:
    """What they give alone."""
    return [train(one, DATA).outcome for one in specs]


def run(trainer: Trainer, specs: Sequence[TrialSpec], until: int | None = None) -> list[TrialOutcome]:
    return [result.outcome for result in trainer.run(segments(specs, until))]


def test_held_cohorts_go_on_without_training_again(watch: Watch) -> None:
    """From pause to pause, with fewer and fewer runs: each epoch of each is trained once, with the same bits."""
    specs, trainer = networks(6), Trainer(DATA)
    expected = whole(specs)
    watch.epochs.clear()
    paused = run(trainer, specs, 2)
    assert [("paused", 2, one.history[:2]) for one in expected] == [(o.state, o.epochs, o.history) for o in paused]
    run(trainer, specs[:4], 3)
    assert expected[1:3] == run(trainer, specs[1:3])
    assert [[0, 1, 2, 3, 4, 5]] * 2 + [[0, 1, 2, 3]] + [[1, 2]] * 3 == watch.epochs


def test_two_cohorts_wait_side_by_side(watch: Watch) -> None:
    """What paused in one call goes on apart from what paused in another; runs of both, given together, begin again."""
    specs, trainer = networks(4), Trainer(DATA)
    expected = whole(specs)
    run(trainer, specs[:2], 2)
    run(trainer, specs[2:], 2)
    watch.epochs.clear()
    run(trainer, specs[2:], 4)
    assert [[2, 3]] * 2 == watch.epochs
    watch.epochs.clear()
    assert expected == run(trainer, specs)
    assert [[0, 1, 2, 3]] * 6 == watch.epochs


def test_the_same_pause_asked_again_trains_nothing(watch: Watch) -> None:
    """Runs that wait where they are asked to pause give the same outcome at once."""
    specs, trainer = networks(2), Trainer(DATA)
    first = run(trainer, specs, 3)
    watch.epochs.clear()
    assert first == run(trainer, specs, 3)
    assert [] == watch.epochs


def test_an_earlier_pause_begins_again(watch: Watch) -> None:
    """A run cannot go back: asked for an epoch that is behind it, it is trained from the start, and waits there."""
    specs, trainer = networks(2), Trainer(DATA)
    expected = whole(specs)
    run(trainer, specs, 4)
    watch.epochs.clear()
    assert [one.history[:2] for one in expected] == [one.history for one in run(trainer, specs, 2)]
    assert expected == run(trainer, specs)
    assert [[0, 1]] * 6 == watch.epochs


def test_what_is_forgotten_begins_again(watch: Watch) -> None:
    """All of it, or the named runs alone; their neighbours go on."""
    specs, trainer = networks(3), Trainer(DATA)
    expected = whole(specs)
    run(trainer, specs, 2)
    trainer.forget([specs[0].key, "never seen"])
    watch.epochs.clear()
    assert expected[1:] == run(trainer, specs[1:])
    assert [[1, 2]] * 4 == watch.epochs
    run(trainer, specs, 2)
    trainer.forget()
    trainer.forget()
    watch.epochs.clear()
    assert expected == run(trainer, specs)
    assert 18 == watch.trained


def test_what_has_ended_is_not_held(watch: Watch) -> None:
    """Run once more, a run that has ended is trained once more, beside those that wait."""
    short, long = spec(0, 2, units=16), spec(1, 5, units=16)
    trainer = Trainer(DATA)
    assert ["complete", "paused"] == [one.state for one in run(trainer, [short, long], 3)]
    watch.epochs.clear()
    assert ["complete"] == [one.state for one in run(trainer, [short])]
    assert [[0]] * 2 == watch.epochs
    watch.epochs.clear()
    run(trainer, [long])
    assert [[1]] * 2 == watch.epochs


def test_a_cohort_that_raises_is_dropped_from_what_is_held(watch: Watch) -> None:
    """Its runs begin again one by one, the guilty one has failed; when it no longer raises, it is trained from the start."""
    specs, trainer = networks(3), Trainer(DATA)
    expected = whole(specs)
    run(trainer, specs, 2)
    watch.poisoned = {1}
    found = run(trainer, specs)
    assert [expected[0], expected[2]] == [found[0], found[2]]
    assert ("failed", 0, "RuntimeError: poisoned") == (found[1].state, found[1].epochs, found[1].reason)
    watch.poisoned = set()
    watch.epochs.clear()
    assert expected == run(trainer, specs)
    assert [[0, 1, 2]] * 6 == watch.epochs


def test_checkpoints_go_on_in_another_process(watch: Watch) -> None:
    """A trainer that holds nothing goes on from checkpoints of one epoch; where one is missing, all begin again."""
    specs = networks(2)
    expected, paused = whole(specs), train_cohort(networks(2), DATA, until=4)
    given = [Segment(one.spec, None, one.checkpoint) for one in paused]
    watch.epochs.clear()
    assert expected == [result.outcome for result in Trainer(DATA).run(given)]
    assert [[0, 1]] * 2 == watch.epochs
    watch.epochs.clear()
    mixed = [given[0], replace(given[1], checkpoint=None)]
    assert expected == [result.outcome for result in Trainer(DATA).run(mixed)]
    assert [[0, 1]] * 6 == watch.epochs


def test_what_is_held_is_preferred_to_a_checkpoint(watch: Watch) -> None:
    """A process that holds the runs goes on from there, even where the checkpoint is of an earlier epoch."""
    specs, trainer = networks(2), Trainer(DATA)
    early = [Segment(one.spec, None, one.checkpoint) for one in train_cohort(specs, DATA, until=1)]
    expected = whole(specs)
    run(trainer, specs, 4)
    watch.epochs.clear()
    assert expected == [result.outcome for result in trainer.run(early)]
    assert [[0, 1]] * 2 == watch.epochs


def test_early_stopping_is_none_the_wiser(watch: Watch) -> None:
    """Runs that stop by themselves end in the call in which they do, whatever pauses there were."""
    specs = [spec(seed, 60, STOPPING, units=16, learning_rate=0.05) for seed in range(5)]
    expected, trainer = whole(specs), Trainer(DATA)
    found: dict[str, TrialOutcome] = {}
    for until in (1, 3, 6, 10, None):
        going = [one for one in specs if one.key not in found]
        found |= {one.key: one for one in run(trainer, going, until) if one.state != "paused"} if going else {}
    assert expected == [found[one.key] for one in specs]


class Loops:
    """A folder with a loop of the user's own that notes what it does, and a trainer whose clock is what it noted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "loop.py").write_text(LOOP.format(folder=str(root)))
        self.trainer = Trainer(DATA, root, lambda: sum(map(float, self.noted("seconds"))))
        self.identity = load_own(root, "function", "loop:fit")[0].identity

    def specs(self, count: int, seconds: float = 0.0, epochs: int = 3) -> list[TrialSpec]:
        """Runs of the loop, each epoch of which takes so many seconds."""
        training = {"epochs": epochs, "early_stopping": None, "device": "cpu"}
        params = {"seconds": seconds}
        return [TrialSpec("function", params, training, seed, {}, "test", 1, self.identity) for seed in range(count)]

    def noted(self, file: str) -> list[str]:
        """The lines of a file that the loop wrote."""
        path = self.root / file
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def loops(tmp_path: Path) -> Loops:
    return Loops(tmp_path)


def test_hand_outs_come_back_in_part(loops: Loops) -> None:
    """Runs that take long come back one by one, cheap ones together: the first of them, in order."""

    def count(seconds: float) -> int:
        specs = loops.specs(10, seconds, epochs=1)
        done = run(loops.trainer, specs)
        assert [one.key for one in specs[: len(done)]] == [one.key for one in done]
        return len(done)

    assert [1, 3, 10] == [count(2 * HAND_OUT_S), count(HAND_OUT_S * 0.4), count(0.0)]


def test_paused_loops_wait_and_come_back_in_part(loops: Loops) -> None:
    """Loops wait where they yielded; asked for more than there is time for, the others go on waiting."""
    specs = loops.specs(4)
    run(loops.trainer, specs, 1)
    assert 4 == len(loops.noted("epochs"))
    slow = loops.specs(3, 2 * HAND_OUT_S)
    assert ["paused"] == [one.state for one in run(loops.trainer, slow, 1)]
    assert ["paused"] == [one.state for one in run(loops.trainer, slow[1:], 1)]
    assert 6 == len(loops.noted("epochs"))
    assert ["complete"] == [one.state for one in run(loops.trainer, slow)]
    assert [("complete", 3)] * 4 == [(one.state, one.epochs) for one in run(loops.trainer, specs)]
    assert 3 * 4 + 3 + 1 == len(loops.noted("epochs"))


def test_loops_that_are_let_go_are_closed(loops: Loops) -> None:
    """A loop is ended when it is forgotten, and when it must begin again."""
    specs = loops.specs(3)
    run(loops.trainer, specs, 2)
    assert [] == loops.noted("ended")
    loops.trainer.forget([specs[1].key])
    assert ["1"] == loops.noted("ended")
    run(loops.trainer, specs[2:], 1)
    assert ["1", "2"] == loops.noted("ended")
    loops.trainer.forget()
    assert ["1", "2", "0", "2"] == loops.noted("ended")


def test_code_that_changed_since_is_refused(loops: Loops) -> None:
    """The loop that was read first is the one that runs; a spec of another text is refused, and names the file."""
    [one] = loops.specs(1)
    with pytest.raises(ConfigError, match=r"loop\.py: changed since the study began"):
        loops.trainer.run(segments([replace(one, code={**one.code, "loop.py": "0" * 64})]))
    (loops.root / "loop.py").write_text("")
    loops.trainer.run(segments([one]))
    with pytest.raises(ConfigError, match=r"model\.entry: loop\.py has no function fit"):
        Trainer(DATA, loops.root).run(segments([one]))
    with pytest.raises(ConfigError, match=r"loop:fit needs the folder of params\.yaml"):
        Trainer(DATA).run(segments([one]))
