"""Running is replaying: resume, extend, repeat, and refuse what does not replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.execution.contract import raising
from tests.studies.project import ENVIRONMENT, SmallProject
from tracker.errors import EnvironmentChanged, ReplayError
from tracker.execution.executor import InlineExecutor
from tracker.execution.trainer import Segment, failed
from tracker.records import Proposal, Timing, Trial, TrialOutcome
from tracker.search.samplers import open_sampler, plan_generations
from tracker.search.sampling import Told
from tracker.store.store import Store
from tracker.store.stored import Finished
from tracker.studies.result import StudyResult, best_trial
from tracker.studies.runner import Progress

WILD = {  # half of the trials diverge
    "hyperparameters": {"optimizer": "sgd", "weight_decay": 100.0, "units": 8},
    "search_space": {"learning_rate": [0.01, 1000.0], "dropout": {"low": 0.0, "high": 0.5}},
}


class Forbidden(InlineExecutor):
    """An executor that must not be asked for anything."""

    def run(self, segments):
        assert not segments, "everything is in the store"
        return iter(())


class Interrupted(Exception):
    """Something that ends a study from outside."""


def digests(result: StudyResult) -> list[str]:
    return [trial.outcome.digest for trial in result.trials]


@pytest.mark.parametrize("study", ["manual", "grid", "random", "tpe"])
def test_a_finished_study_is_replayed_from_the_store(fresh: SmallProject, study: str) -> None:
    """Run again, a study trains nothing and has the same digest."""
    plan = fresh.plan(study)
    first = fresh.run(plan)
    again = fresh.run(plan, executor=Forbidden(fresh.data))
    assert (0, plan.trials) == (first.replayed, again.replayed)
    assert first.digest == again.digest
    assert list(range(plan.trials)) == [trial.number for trial in again.trials]
    assert {"complete"} == {trial.outcome.state for trial in first.trials}


@pytest.mark.parametrize(("study", "fewer", "more"), [("random", 3, 8), ("tpe", 6, 16), ("tpe", 12, 20)])
def test_more_trials_extend_a_study(fresh: SmallProject, tmp_path: Path, study: str, fewer: int, more: int) -> None:
    """A short study that is made longer runs the new trials alone, and equals one that was long from the start.

    The short one may end in the middle of a generation.
    """
    name = f"studies__{study}__trials"
    short = fresh.run(fresh.plan(study, **{name: fewer}))
    extended = fresh.run(fresh.plan(study, **{name: more}))
    whole = fresh.run(fresh.plan(study, **{name: more}), store=tmp_path / "another")
    assert (fewer, whole.digest) == (extended.replayed, extended.digest)
    assert digests(short) == digests(whole)[:fewer]


def test_fewer_trials_are_a_view_of_more(fresh: SmallProject, tmp_path: Path) -> None:
    """A study that is made shorter trains nothing and equals one that was short from the start."""
    fresh.run(fresh.plan("tpe"))
    short = fresh.run(fresh.plan("tpe", studies__tpe__trials=9), executor=Forbidden(fresh.data))
    whole = fresh.run(fresh.plan("tpe", studies__tpe__trials=9), store=tmp_path / "another")
    assert (9, whole.digest) == (len(short.trials), short.digest)


@pytest.mark.parametrize("after", [0, 1, 2, 5, 9])
def test_an_interrupted_study_goes_on(fresh: SmallProject, tmp_path: Path, after: int) -> None:
    """Stopped after any number of results, the same study goes on with what is stored, to the same digest."""
    plan = fresh.plan("tpe")
    reports = 0

    def interrupt(_: Progress) -> None:
        nonlocal reports
        reports += 1
        if reports > after:
            raise Interrupted

    with pytest.raises(Interrupted):
        fresh.run(plan, executor=InlineExecutor(fresh.data, most_lanes=1), on_progress=interrupt)
    with Store.open(fresh.paths.store) as store:
        stored = len(store.outcomes([proposal.spec.key for proposal in store.proposals(plan.spec.key)]))
    resumed = fresh.run(plan)
    assert stored == resumed.replayed < plan.trials
    assert fresh.run(plan, store=tmp_path / "another").digest == resumed.digest


def test_a_generation_is_written_down_before_it_runs(fresh: SmallProject) -> None:
    """While trials of a generation train, all of its proposals are in the store and none of the next."""
    plan, seen = fresh.plan("tpe"), []

    class Watching(InlineExecutor):
        def run(self, segments):
            with Store.open(fresh.paths.store) as store:
                seen.append((len(segments), len(store.proposals(plan.spec.key))))
            return super().run(segments)

    fresh.run(plan, executor=Watching(fresh.data))
    assert [(4, 4), (4, 8), (4, 12), (4, 16)] == seen


def test_progress_is_told(fresh: SmallProject) -> None:
    """Progress counts from nothing to all trials and knows the best so far."""
    plan, told = fresh.plan("random"), []
    result = fresh.run(plan, on_progress=told.append)
    assert (0, 6, 0, None) == (told[0].finished, told[0].wanted, told[0].replayed, told[0].best)
    assert sorted(progress.finished for progress in told) == [progress.finished for progress in told]
    assert (6, result.best) == (told[-1].finished, told[-1].best)


@pytest.mark.parametrize("study", ["random", "tpe"])
def test_a_finished_generation_is_not_proposed_again(
    fresh: SmallProject, monkeypatch: pytest.MonkeyPatch, study: str
) -> None:
    """A sampler that goes on from results asks Optuna for new trials alone: for none in a replay, and to the same study."""
    asks, ask = [], optuna.Study.ask
    monkeypatch.setattr(optuna.Study, "ask", lambda *args: asks.append(args) or ask(*args))
    name = f"studies__{study}__trials"
    asked, digests_at = [], []
    for trials in (16, 16, 14, 20):
        result = fresh.run(fresh.plan(study, **{name: trials}))
        asked.append(len(asks))
        digests_at.append(result.digest)
        asks.clear()
    # tpe: 14 trials end in a generation that is logged whole, 20 begin one; the one generation of random grows
    assert {"tpe": [16, 0, 0, 4], "random": [16, 0, 0, 20]}[study] == asked
    at_once = fresh.run(fresh.plan(study, **{name: 20}), store=fresh.paths.root / "another")
    assert (digests_at[0], at_once.digest) == tuple(digests_at[1::2])


class Lying(InlineExecutor):
    """Says that its results come from elsewhere, as a worker on another machine would."""

    def run(self, segments):
        for results in super().run(segments):
            yield [replace(result, environment="0" * 64) for result in results]


def test_results_of_another_environment_are_refused(fresh: SmallProject) -> None:
    """A trial that was computed elsewhere than its key says ends the study, and nothing of it is stored."""
    plan = fresh.plan("random")
    with pytest.raises(EnvironmentChanged, match=f"computed in environment 0{{12}}, planned in {ENVIRONMENT[:12]}"):
        fresh.run(plan, executor=Lying(fresh.data))
    with Store.open(fresh.paths.store) as store:
        proposals = store.proposals(plan.spec.key)
        assert (6, {}) == (len(proposals), store.outcomes([proposal.spec.key for proposal in proposals]))
        assert {"study"} == {item.kind for item in store.items()}
    assert [] == list((fresh.paths.store / "weights").rglob("*.safetensors"))
    assert 0 == fresh.run(plan).replayed


@pytest.mark.parametrize("name", ["params", "seed"])
def test_another_proposal_in_the_store_is_refused(fresh: SmallProject, name: str) -> None:
    """Where the store holds another proposal under a number, the study stops and says what differs; nothing runs."""
    plan = fresh.plan("random")
    specs = fresh.specs("random")
    other = {"seed": specs[2].seed + 1, "params": {**specs[2].params, "units": 64}}[name]
    with Store.open(fresh.paths.store) as store:
        key = store.put_study(plan.spec, {})
        logged = open_sampler(plan.spec).propose(0, 1, 2)[0]
        store.put_proposals(key, [Proposal(2, 0, logged, (replace(specs[2], **{name: other}),))])
    with pytest.raises(ReplayError) as caught:
        fresh.run(plan, executor=Forbidden(fresh.data))
    place, before, now = {
        "seed": ("runs.0.seed", specs[2].seed + 1, specs[2].seed),
        "params": ("runs.0.params.units", 64, specs[2].params["units"]),
    }[name]
    message = str(caught.value)
    assert message.startswith("study random, trial 2: the sampler now proposes something else than was logged: ")
    assert f"logged: {place} was {before}, is {now}. The study cannot go on" in message
    assert "give the study a new name" in message


def test_another_study_of_that_name_shares_nothing(fresh: SmallProject) -> None:
    """After a change of the space the store keeps both studies; none is mixed into the other."""
    before, changed = fresh.plan("random"), fresh.plan("random", search_space={"units": [8, 12, 20]})
    first, second = fresh.run(before), fresh.run(changed)
    assert (0, 0) == (first.replayed, second.replayed)
    assert first.digest == fresh.run(before, executor=Forbidden(fresh.data)).digest
    assert second.digest == fresh.run(changed, executor=Forbidden(fresh.data)).digest


def test_equal_trials_of_two_studies_train_once(fresh: SmallProject, tmp_path: Path) -> None:
    """The objective is no part of a trial: another objective is another study over the outcomes that are there."""
    accuracy = fresh.plan("random", objective={"metric": "val_accuracy"})
    first, second = fresh.run(fresh.plan("random")), fresh.run(accuracy, executor=Forbidden(fresh.data))
    assert digests(first) == digests(second)
    assert [trial.outcome.metrics["val_accuracy"] for trial in first.trials] == [trial.value for trial in second.trials]
    assert first.digest != second.digest == fresh.run(accuracy, store=tmp_path / "another").digest


def test_a_study_shows_the_trials_that_another_one_ran(fresh: SmallProject) -> None:
    """A study that finds all its outcomes in the store queues its own trials for MLflow, each once, run again or not."""
    accuracy = fresh.plan("random", objective={"metric": "val_accuracy"})
    fresh.run(fresh.plan("random"))
    for _ in range(2):
        fresh.run(accuracy, executor=Forbidden(fresh.data))
        with Store.open(fresh.paths.store) as store:
            own = [item for item in store.items() if item.subject == accuracy.spec.key]
        assert ("study", "finish") == (own[0].kind, own[-1].kind)
        assert [("trial", number) for number in range(6)] == sorted((item.kind, item.number) for item in own[1:-1])


def test_failed_trials_are_never_best_and_told_as_failed(fresh: SmallProject) -> None:
    """Diverged trials have no value, are told to TPE as failed, and never win, whatever the direction."""
    plan = fresh.plan("tpe", **WILD, studies__tpe__trials=24)
    result = fresh.run(plan)
    values = [trial.value for trial in result.trials]
    assert {"complete", "failed"} == {trial.outcome.state for trial in result.trials}
    assert [trial.outcome.state == "failed" for trial in result.trials] == [value is None for value in values]
    for direction in ("maximize", "minimize"):
        best = best_trial(result.trials, direction)
        assert best is not None
        assert "complete" == best.outcome.state
    assert proposed(result, values) == [dict(trial.proposal.searched) for trial in result.trials]
    worst = [0.0 if value is None else value for value in values]
    assert proposed(result, worst) != proposed(result, values)


def proposed(result: StudyResult, values: list[float | None]) -> list[dict[str, Any]]:
    """What the study's sampler proposes when it is told these values."""
    sampler, found = open_sampler(result.spec), []
    for generation, (start, count) in enumerate(plan_generations(result.spec, len(values))):
        found += sampler.propose(generation, count, start)
        sampler.tell([Told(number, (values[number],)) for number in range(start, start + count)])
    return found


def test_a_study_of_failures_ends_without_a_best(fresh: SmallProject) -> None:
    """Every trial raises or diverges: the study ends, says why each failed, and has no best trial."""

    class Raising(InlineExecutor):
        def run(self, segments):
            by_seed = {segment.spec.seed: segment.spec for segment in segments}
            for batch in super().run([Segment(raising(segment.spec)) for segment in segments]):
                yield [failed(by_seed[result.spec.seed], str(result.outcome.reason)) for result in batch]

    plan = fresh.plan("tpe", studies__tpe__max_failed_trials=None)
    result = fresh.run(plan, executor=Raising(fresh.data))
    assert (16, None) == (len(result.trials), result.best)
    assert all("Error: " in str(trial.outcome.reason) for trial in result.trials)
    assert result.digest == fresh.run(plan, executor=Forbidden(fresh.data)).digest


def trial(number: int, value: float | None, loss: float | None) -> Trial:
    """A trial with nothing but a value and a validation loss."""
    metrics: Mapping[str, float | None] = {"val_loss": loss}
    outcome = TrialOutcome("k", "complete" if value is not None else "failed", 1, 1, metrics, (), None, None)
    return Trial("study", Proposal(number, 0, {}, ()), (outcome,), (value,))


@pytest.mark.parametrize(
    ("direction", "trials", "best"),
    [
        ("maximize", [(0.5, 0.1), (0.7, 0.9), (0.6, 0.0)], 1),
        ("minimize", [(0.5, 0.9), (0.7, 0.1), (0.6, 0.0)], 0),
        ("maximize", [(0.7, 0.3), (0.7, 0.2), (0.7, 0.2)], 1),
        ("minimize", [(0.7, 0.3), (0.7, 0.2), (0.7, 0.2)], 1),
        ("maximize", [(0.7, None), (0.7, 0.9)], 1),
        ("maximize", [(0.7, None), (0.7, None)], 0),
        ("maximize", [(None, 0.0), (0.0, 5.0)], 1),
        ("minimize", [(None, 0.0), (1.0, 5.0)], 1),
        ("maximize", [(None, 0.0)], None),
        ("maximize", [], None),
    ],
)
def test_ties_go_to_the_lower_loss_then_to_the_lower_number(direction: str, trials: list, best: int | None) -> None:
    """The best value wins; equal values: the lower val_loss; equal losses: the lower number; in whatever order they come."""
    made = [trial(number, *values) for number, values in enumerate(trials)]
    for order in (made, made[::-1]):
        found = best_trial(order, direction)
        assert best == (None if found is None else found.number)


def test_the_digest_sees_every_bit(fresh: SmallProject) -> None:
    """Another outcome, proposal, or spec gives another digest; times, hosts and the store's place do not enter."""
    result = fresh.run(fresh.plan("random"))
    one = result.trials[0]
    outcome = replace(one, outcomes=(replace(one.outcome, predictions="0" * 64),))
    proposal = replace(one, proposal=replace(one.proposal, generation=1))
    changed = [
        replace(result, trials=(outcome, *result.trials[1:])),
        replace(result, trials=(proposal, *result.trials[1:])),
        replace(result, trials=result.trials[:-1]),
        replace(result, spec=replace(result.spec, numerics=result.spec.numerics + 1)),
    ]
    assert 1 + len(changed) == len({other.digest for other in (result, *changed)})
    assert result.digest == replace(result, replayed=3).digest


def test_times_and_provenance_are_kept_beside(fresh: SmallProject) -> None:
    """Who computed a trial and when is in the store, by the trial's key."""
    result = fresh.run(fresh.plan("manual"))
    with Store.open(fresh.paths.store) as store:
        for one in result.trials:
            assert {"who": "tests"} == store.provenance(one.spec.key)
            assert one.outcome.epochs == len(store.timing(one.spec.key).epochs)
        assert {"number", "value", "trials", "digest"} <= set(store.finish(result.spec.key)[0])


def test_another_outcome_under_a_key_is_refused(fresh: SmallProject) -> None:
    """Should a trial ever give other bits than the store has, that is an error and not a silent choice."""
    result = fresh.run(fresh.plan("manual"))
    other = replace(result.trials[0].outcome, predictions="0" * 64)
    with Store.open(fresh.paths.store) as store, pytest.raises(ReplayError):
        store.put_outcomes(result.spec.key, [Finished(result.trials[0].spec, other, Timing(0.0, 0.0), None, {})])
