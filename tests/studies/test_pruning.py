"""A study that stops weak trials early is as much a function of its spec as any other: whoever runs it, however often."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.search.curves import Curve, stops_by_hand
from tests.studies.project import Shuffled, SmallProject
from tests.studies.test_runner import Forbidden, Interrupted
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs
from tracker import api
from tracker.canonical import canonical_json, parse_canonical
from tracker.deriving.judge_study import FreshProcesses, verify_study
from tracker.errors import NotFoundError
from tracker.execution.executor import Executor, InlineExecutor
from tracker.execution.processes import ProcessExecutor
from tracker.execution.trainer import Segment
from tracker.records import Proposal, StudySpec, TrialOutcome, record_from, record_json, records_from
from tracker.store.store import Store
from tracker.store.stored import Decision
from tracker.studies.adopt import adopt_studies
from tracker.studies.pull import pull_studies
from tracker.studies.result import StudyResult, study_result
from tracker.studies.rungs import curve_of
from tracker.studies.runner import Progress
from tracker.terminal.leaderboard import describe_trial, read_trial
from tracker.terminal.show import study_summary
from tracker.tracking.report import Delivered
from tracker.training.early_stopping import paused_outcome
from tracker.training.loop import Result

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
MEDIAN = {"name": "median", "n_startup_trials": 3}
EPOCHS = 6


def plan_of(
    project: SmallProject, sampler: str = "tpe", trials: int = 24, pruner: Mapping[str, Any] | None = MEDIAN
) -> Any:
    """A study of six epochs in generations of eight."""
    study = {"sampler": sampler, "trials": trials, "generation": 8, "pruner": pruner}
    if pruner is None and sampler != "tpe":
        del study["generation"]
    early = {"monitor": "val_loss", "patience": 3}
    training = {"epochs": EPOCHS, "early_stopping": early if sampler == "tpe" else None}
    name = f"studies__{sampler}"
    return project.plan(sampler, **{name: {k: v for k, v in study.items() if v is not None}, "training": training})


def stops(result: StudyResult) -> list[tuple[int, int]]:
    """Epoch and number of every stop, in the order of generations, epochs and numbers."""
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    ordered = sorted(pruned, key=lambda trial: (trial.proposal.generation, trial.outcome.epochs, trial.number))
    return [(trial.outcome.epochs, trial.number) for trial in ordered]


def digests(result: StudyResult) -> list[tuple[str, str]]:
    return [(trial.state, trial.outcome.digest) for trial in result.trials]


@pytest.fixture(scope="module")
def base(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project whose store has the study `tpe` of 24 trials; only for tests that write nothing into it."""
    project = small_project.copy(tmp_path_factory.mktemp("pruned") / "project")
    project.report(project.run(plan_of(project)))
    return project


@pytest.fixture(scope="module")
def truth(base: SmallProject) -> StudyResult:
    """That study."""
    return base.run(plan_of(base), executor=Forbidden(base.data))


def test_weak_trials_stop_early(truth: StudyResult) -> None:
    """Some stop after an epoch, none in the start-up generation; they have a curve that far, no weights and no value."""
    assert {"complete", "pruned"} == {trial.state for trial in truth.trials}
    assert 1 < len({epoch for epoch, _ in stops(truth)})
    assert min(number for _, number in stops(truth)) >= 8
    for trial in truth.trials:
        if trial.state == "pruned":
            outcome = trial.outcome
            assert outcome.epochs == len(outcome.history) < EPOCHS
            assert (None, None, None) == (trial.value, outcome.weights, outcome.best_epoch)
            assert outcome.metrics["val_f1"] == outcome.history[-1]["val_f1"]
    assert truth.best is not None
    assert max(t.value for t in truth.trials if t.state == "complete") == truth.best.value


def executors(project: SmallProject) -> dict[str, Executor]:
    return {
        "solo": InlineExecutor(project.data, most_lanes=1),
        "two workers": ProcessExecutor(project.data, 2),
        "shuffled": Shuffled(InlineExecutor(project.data, most_lanes=3), 3),
    }


@pytest.mark.parametrize("name", ["solo", "two workers", "shuffled"])
def test_workers_and_order_do_not_matter(base: SmallProject, truth: StudyResult, tmp_path: Path, name: str) -> None:
    """One lane at a time, two processes, another order of completion: the same study, pruned trials included."""
    found = base.run(plan_of(base), tmp_path / "store", executors(base)[name])
    assert truth.digest == found.digest
    assert truth.digest == base.run(plan_of(base), tmp_path / "store", Forbidden(base.data)).digest


def test_a_finished_study_is_replayed_from_the_store(truth: StudyResult) -> None:
    """Run again, all 24 trials come from the store: those that were stopped as well as those that ended."""
    assert 24 == truth.replayed


def progress_calls(project: SmallProject, folder: Path) -> int:
    calls: list[Progress] = []
    project.run(plan_of(project, trials=16), folder, on_progress=calls.append)
    return len(calls)


def test_an_interrupted_study_goes_on(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """Stopped at any progress call and run again, it comes to the same digest, and then replays."""
    plan = plan_of(base, trials=16)
    for after in range(progress_calls(base, tmp_path / "whole")):
        heard = 0

        def interrupt(_: Progress) -> None:
            nonlocal heard
            heard += 1
            if heard > after:  # noqa: B023  it is called in this turn of the loop
                raise Interrupted

        folder = tmp_path / f"after-{after}"
        with pytest.raises(Interrupted):
            base.run(plan, folder, on_progress=interrupt)
        assert digests(truth)[:16] == digests(base.run(plan, folder))
        assert 16 == base.run(plan, folder, Forbidden(base.data)).replayed


class Dying(InlineExecutor):
    """Trains run by run, and dies after so many results, in the middle of a generation's rungs."""

    left = 0

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        for results in super().run(segments):
            if self.left == 0:
                raise Interrupted
            self.left -= 1
            yield results


@pytest.mark.parametrize("left", [0, 5, 9, 13, 30, 47, 55, 60])
def test_a_study_that_dies_between_two_rungs_goes_on(
    base: SmallProject, truth: StudyResult, tmp_path: Path, left: int
) -> None:
    """Killed after any number of segments, in whatever rung, the next run takes what was stored, to the same digest."""
    plan, dying = plan_of(base, trials=16), Dying(base.data, most_lanes=1)
    dying.left = left
    with pytest.raises(Interrupted):
        base.run(plan, tmp_path / "store", dying)
    assert digests(truth)[:16] == digests(base.run(plan, tmp_path / "store"))


@pytest.mark.parametrize("fewer", [24, 20])
def test_more_trials_extend_a_study(base: SmallProject, truth: StudyResult, tmp_path: Path, fewer: int) -> None:
    """From 24 trials, or from within a generation, to 28: what was there stays bit for bit, and equals 28 at once."""
    store = tmp_path / "store"
    short = base.run(plan_of(base, trials=fewer), store)
    extended = base.run(plan_of(base, trials=28), store)
    whole = base.run(plan_of(base, trials=28), tmp_path / "another")
    assert digests(truth)[:fewer] == digests(short) == digests(extended)[:fewer]
    assert (fewer, whole.digest) == (extended.replayed, extended.digest)
    assert [trial.proposal for trial in short.trials] == [trial.proposal for trial in extended.trials[:fewer]]


def test_fewer_trials_are_a_view_of_more(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """A study that is made shorter, in the middle of a generation, trains nothing and equals one that was short at once."""
    project = base.copy(tmp_path / "project")
    short = project.run(plan_of(project, trials=13), executor=Forbidden(project.data))
    assert digests(truth)[:13] == digests(short)
    assert short.digest == project.run(plan_of(project, trials=13), tmp_path / "another").digest


def test_decisions_are_optunas_driven_by_hand(base: SmallProject, tmp_path: Path) -> None:
    """Told the same curves in the order of epochs and trials, Optuna's own MedianPruner stops the same trials."""
    whole = base.run(plan_of(base, "random", pruner=None), tmp_path / "store")
    curves = [Curve(tuple(value for _, value in curve_of(whole.spec, trial.outcome))) for trial in whole.trials]
    generations = [curves[start : start + 8] for start in range(0, 24, 8)]
    expected = stops_by_hand(optuna.pruners.MedianPruner(n_startup_trials=3), "maximize", generations)
    assert expected == stops(base.run(plan_of(base, "random"), tmp_path / "another"))
    assert expected


def test_a_trial_that_another_study_ran_to_its_end_is_cut(base: SmallProject, tmp_path: Path) -> None:
    """Nothing is trained, the pruned study is the same as alone, and the complete outcomes stay what they were."""
    alone = base.run(plan_of(base, "random"), tmp_path / "alone")
    whole = base.run(plan_of(base, "random", pruner=None), tmp_path / "store")
    pruned = base.run(plan_of(base, "random"), tmp_path / "store", Forbidden(base.data))
    assert alone.digest == pruned.digest
    assert stops(pruned)
    keys = [trial.spec.key for trial in whole.trials]
    assert keys == [trial.spec.key for trial in pruned.trials]
    with Store.open(tmp_path / "store") as store:
        outcomes = store.outcomes(keys)
        for epoch, number in stops(pruned):
            stored = store.trial(pruned.spec.key, number)
            assert (epoch, "paused") == (stored.outcomes[0].epochs, stored.outcomes[0].state)
            assert epoch == len(stored.timings[0].epochs)
    assert [trial.outcome for trial in whole.trials] == [outcomes[key] for key in keys]
    again = base.run(plan_of(base, "random", pruner=None), tmp_path / "store", Forbidden(base.data))
    assert whole.digest == again.digest


def test_a_trial_that_was_stopped_here_ends_elsewhere(base: SmallProject, tmp_path: Path) -> None:
    """A study without the pruner trains on what was stopped, and the stopped outcomes stay what they were."""
    pruned = base.run(plan_of(base, "random"), tmp_path / "store")
    whole = base.run(plan_of(base, "random", pruner=None), tmp_path / "store")
    assert 24 - len(stops(pruned)) == whole.replayed
    assert whole.digest == base.run(plan_of(base, "random", pruner=None), tmp_path / "another").digest
    assert pruned.digest == base.run(plan_of(base, "random"), tmp_path / "store", Forbidden(base.data)).digest


@pytest.fixture
def clone(base: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy whose store is gone: its reports and models alone came along."""
    project = base.copy(tmp_path / "clone")
    shutil.rmtree(project.paths.store)
    return project


def test_adopted_records_are_replayed(base: SmallProject, clone: SmallProject, truth: StudyResult) -> None:
    """From trials.jsonl into an empty store and tuned again: nothing is trained, the digest and the files are the same."""
    with Store.open(clone.paths.store) as store:
        assert ["tpe"] == adopt_studies(clone.paths.models, store, {"who": "a clone"}, lambda: 1.0)
        assert [] == adopt_studies(clone.paths.models, store, {"who": "a clone"}, lambda: 1.0)
    again = clone.run(plan_of(clone), executor=Forbidden(clone.data))
    assert (24, truth.digest) == (again.replayed, again.digest)
    clone.report(again)
    assert base.written() == clone.written()
    longer = clone.run(plan_of(clone, trials=28))
    assert (24, digests(truth)) == (longer.replayed, digests(longer)[:24])


def test_a_pulled_study_is_replayed(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """MLflow shows stopped trials as killed with the curve that they had; from there the study comes back whole."""
    project = base.copy(tmp_path / "project")
    uri = f"sqlite:///{project.paths.root / 'mlflow.db'}"
    assert Delivered(26, 0) == sync(project.paths.store, uri, "tests", "none")
    shown = {run.info.run_name: run for run in all_runs(uri, "tests")}
    for trial in truth.trials:
        run = shown[f"tpe/{trial.number}"]
        status = "KILLED" if trial.state == "pruned" else "FINISHED"
        assert (status, trial.state) == (run.info.status, run.data.tags["tracker.state"])
        assert trial.outcome.history[-1]["val_loss"] == run.data.metrics["val_loss"]
        assert ("best_val_f1" in run.data.metrics) == (trial.state == "complete")
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert [24] == [pulled.trials for pulled in pull_studies(store, uri, "tests")]
    again = project.run(plan_of(project))  # its best weights alone are derived again
    assert (24, truth.digest) == (again.replayed, again.digest)
    assert Delivered(0, 0) == sync(project.paths.store, uri, "tests", "none")


def test_the_report_says_what_stopped(base: SmallProject, truth: StudyResult) -> None:
    """The report counts pruned trials, names the rule with all its settings, and a stopped trial's model is refused."""
    [report] = [parse_canonical(base.written()["reports/studies/tpe.json"].decode())]
    assert len(stops(truth)) == report["states"]["pruned"]
    assert {**MEDIAN, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1} == report["pruner"]
    rows = [row for row in report["trials"] if row["state"] == "pruned"]
    assert sorted(number for _, number in stops(truth)) == [row["number"] for row in rows]
    assert {(None, None)} == {(row["value"], row["weights"]) for row in rows}
    with pytest.raises(NotFoundError, match="has no model: it was pruned"):
        base.study(truth).trials[rows[0]["number"]].load()


@pytest.fixture(scope="module")
def processes() -> Iterator[FreshProcesses]:
    with FreshProcesses() as started:
        yield started


def forge(project: SmallProject, number: int, outcome: TrialOutcome) -> None:
    """Puts another outcome into the records beside the model, digest and all."""
    path = project.paths.models / "tpe" / "trials.jsonl"
    head, *records = [parse_canonical(line) for line in path.read_text().splitlines()]
    records[number]["outcomes"] = [record_json(outcome)]
    proposals = [record_from(Proposal, record["proposal"]) for record in records]
    outcomes = [records_from(TrialOutcome, record["outcomes"]) for record in records]
    head["digest"] = study_result(record_from(StudySpec, head["study"]), proposals, outcomes).digest
    path.write_bytes(b"\n".join(map(canonical_json, [head, *records])) + b"\n")
    (project.paths.study_reports / "tpe.json").unlink()


def test_a_study_is_verified_with_its_decisions(base: SmallProject, processes: FreshProcesses) -> None:
    """Derived again, stopped trials up to where they stopped, everything is identical."""
    found = verify_study("tpe", base.paths, processes)
    assert ("identical", 24, 24) == (found.state, found.derived, found.counted)
    stopped = next(number for _, number in stops(base.run(plan_of(base), executor=Forbidden(base.data))))
    assert "identical" == api.reproduce(f"tpe/{stopped}", api.Project(base.paths, "unused", 1, "ada")).state


def test_an_altered_decision_is_found(clone: SmallProject, truth: StudyResult, processes: FreshProcesses) -> None:
    """A trial that is told to have stopped one rung early, with its true curve: every number is derived, the rung is not."""
    trial = next(trial for trial in truth.trials if trial.proposal.generation and trial.state == "complete")
    forge(clone, trial.number, paused_outcome(trial.spec.key, trial.outcome.history[:1]))
    found = verify_study("tpe", clone.paths, processes, sample=3)
    assert "differs" == found.state
    assert (
        f"trial {trial.number} stopped after epoch 1, the pruner now decides otherwise" == found.first_difference.words
    )


def test_logged_decisions_win(base: SmallProject, processes: FreshProcesses, tmp_path: Path) -> None:
    """What was decided under another rule is not decided again when the study goes on; `verify` names it."""
    project = base.copy(tmp_path / "project")
    shutil.rmtree(project.paths.store)
    plan = plan_of(project, "random", 16)
    free = project.run(plan, tmp_path / "free")
    second = [trial for trial in free.trials if trial.proposal.generation == 1]
    spared = next(trial for trial in second if trial.state == "pruned")
    victim = next(trial for trial in second if trial.state == "complete")
    with Store.open(project.paths.store) as store:
        key = store.put_study(plan.spec, {})
        for decision in (
            Decision(1, 1, (victim.number,)),
            Decision(1, spared.outcome.epochs, (), (spared.number,)),
        ):
            store.put_outcomes(key, [], rung=decision)
    held = project.run(plan)
    assert ("pruned", 1) == (held.trials[victim.number].state, held.trials[victim.number].outcome.epochs)
    assert held.trials[spared.number].outcome.epochs > spared.outcome.epochs
    assert held.digest == project.run(plan, executor=Forbidden(project.data)).digest
    found = verify_study("random", project.paths, processes, sample=1)
    assert "differs" == found.state
    assert "the pruner now decides otherwise" in found.first_difference.words
    assert found.first_difference.words.startswith((f"trial {victim.number} stopped", f"trial {spared.number} went on"))


def test_optuna_and_the_terminal_show_what_stopped(base: SmallProject, truth: StudyResult) -> None:
    """The exported study has pruned trials with their curves and no value; the line about the study counts them."""
    shown = base.study(truth).to_optuna().trials
    names = {"complete": "COMPLETE", "pruned": "PRUNED"}
    assert [names[trial.state] for trial in truth.trials] == [trial.state.name for trial in shown]
    for trial, other in zip(truth.trials, shown, strict=True):
        assert {epoch: value for epoch, value in curve_of(truth.spec, trial.outcome) if value is not None} == (
            other.intermediate_values
        )
    line = study_summary(base.study(truth))
    assert line.startswith(f"tpe: 24 trials, 24 of them from the store, {len(stops(truth))} pruned, best val_f1 ")
    epoch, number = stops(truth)[0]
    found = read_trial(base.paths, f"tpe/{number}")
    assert epoch == len(found["history"])
    assert describe_trial(found)[0] == f"tpe/{number}  pruned  val_f1 undefined"


def test_the_rule_is_part_of_the_study(base: SmallProject) -> None:
    """Another setting, or none, is another study; the trials keep their keys, so what was computed serves both."""
    plan, other = plan_of(base), plan_of(base, pruner={**MEDIAN, "n_startup_trials": 4})
    assert 3 == len({plan.spec.key, other.spec.key, plan_of(base, pruner=None).spec.key})
    assert plan.spec.key == plan_of(base, pruner={**MEDIAN, "interval_steps": 1}).spec.key
    assert replace(plan.spec, pruner=other.spec.pruner).key == other.spec.key
