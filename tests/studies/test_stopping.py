"""A study that ends before it has all its trials: after whole generations, the same whoever runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.studies.project import Shuffled, SmallProject, make_config
from tests.studies.test_runner import Forbidden, Interrupted
from tracker import api
from tracker.api import Project
from tracker.canonical import parse_canonical
from tracker.config import Config
from tracker.deriving.find_study import find_study
from tracker.deriving.judge_study import FreshProcesses, verify_recorded
from tracker.errors import ConfigError
from tracker.execution.executor import InlineExecutor
from tracker.reporting.words import studies as page_studies
from tracker.search.stopping import Stopping, stopped
from tracker.store.store import Store
from tracker.studies.runner import Progress
from tracker.terminal.show import study_summary
from tracker.tracking.notes import Ended, study_note
from tracker.tracking.run_contents import study_params

TPE = {"sampler": "tpe", "trials": 40, "generation": 4, "stop": {"plateau": 2}}


def config_of(**stop: int) -> Config:
    return make_config(studies={"tpe": {**TPE, "stop": stop}, "plain": {**TPE, "stop": None}})


def heard(values: Sequence[float | None], direction: str = "maximize", **stop: int) -> list[str | None]:
    """What is said after each generation of two trials of three epochs with these values."""
    return heard_of([(value,) for value in values], [direction], **stop)


def heard_of(rows: Sequence[Sequence[float | None]], directions: Sequence[str], **stop: int) -> list[str | None]:
    """The same of trials with several values each; one is undefined where its first value is."""
    goals = [{"direction": direction} for direction in directions]
    stopping = Stopping(SimpleNamespace(stop=stop, generation=2, objectives=goals))  # type: ignore[arg-type]
    trials = [SimpleNamespace(values=row, ranked=row[0], outcomes=[SimpleNamespace(epochs=3)]) for row in rows]
    return [stopping.after(trials[start : start + 2]) for start in range(0, len(trials), 2)]  # type: ignore[arg-type]


def test_a_plateau_is_generations_without_a_better_value() -> None:
    """An equal value is none, a failed trial neither; a better one begins anew; minimizing looks the other way."""
    why = "2 generations brought no better value"
    assert [None, None, why] == heard([1, 2, 2, 1, None, 2], plateau=2)
    assert [None, None, None, None, why] == heard([1, 2, 2, 1, 0, 3, 1, 1, 3, 3], plateau=2)
    assert [None, None, why] == heard([2, 1, 1, 2, 1, 1], "minimize", plateau=2)
    assert [None, None] == heard([2, 1, 1, 0.5], "minimize", plateau=1)
    assert [None, why] == heard([None] * 4, plateau=2)


def test_of_several_objectives_a_plateau_is_a_front_that_stands_still() -> None:
    """Another point of the front is better, whichever value it has; a point that is dominated, or there already, is none."""
    rows = [(1, 10), (2, 20), (1, 5), (0, 30), (2, 20), (1, 9), (2, 21), (None, 0)]
    why = "2 generations brought no new point of the front"
    assert [None, None, None, why] == heard_of(rows, ["maximize", "minimize"], plateau=2)


def test_a_budget_is_reached_by_a_whole_generation() -> None:
    """Six epochs a generation: 12 are reached by the second, 13 by the third; the beginning of a generation ends nothing."""
    assert [None, "12 of 12 epochs were trained"] == heard([1, 2, 3, 4], epochs=12)
    assert [None, None, "18 of 13 epochs were trained"] == heard([1, 2, 3, 4, 5, 6], epochs=13)
    assert [None, None, None] == heard([1, 2, 3, 4, 5], epochs=13)
    assert ["6 of 6 epochs were trained"] == heard([1, 2], epochs=6, plateau=1)


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project whose study has stopped; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("stopped") / "project")
    api.tune(config_of(plateau=2), "tpe", project=Project(project.paths, "unused", 1, "ada"), deliver=False)
    return project


def plan_of(project: SmallProject, name: str = "tpe", **stop: int) -> Any:
    return project.plan(name, studies=config_of(**(stop or {"plateau": 2})).model_dump(exclude_unset=True)["studies"])


def test_it_ends_at_the_same_trial_whoever_runs_it(small_project: SmallProject, tmp_path: Path) -> None:
    """In any order, killed, again from the store: the same digest; its trials are the first of the study without a rule."""
    plan = plan_of(small_project)
    truth = small_project.run(plan, tmp_path / "truth")
    count = len(truth.trials)
    assert 0 < count < 40
    assert 0 == count % 4
    end = stopped(plan.spec, truth.trials)
    assert end == (count, "2 generations brought no better value")
    assert None is stopped(plan.spec, truth.trials[:-1])
    executor = Shuffled(InlineExecutor(small_project.data, most_lanes=2), 3)
    assert truth.digest == small_project.run(plan, tmp_path / "shuffled", executor).digest

    def die(progress: Progress) -> None:
        if progress.finished > count - 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        small_project.run(plan, tmp_path / "killed", on_progress=die)
    assert truth.digest == small_project.run(plan, tmp_path / "killed").digest
    assert truth.digest == small_project.run(plan, tmp_path / "killed", Forbidden(small_project.data)).digest
    more = replace(plan, trials=60)
    assert truth.digest == small_project.run(more, tmp_path / "killed", Forbidden(small_project.data)).digest


def test_random_keeps_its_trials(small_project: SmallProject, tmp_path: Path) -> None:
    """A budget of epochs gives random generations; the trials are those of the study without, taken from its store."""
    random = {"sampler": "random", "trials": 12}
    small_project.run(small_project.plan("random", studies__random=random), tmp_path / "store")
    plan = small_project.plan("random", studies__random={**random, "generation": 3, "stop": {"epochs": 20}})
    again = small_project.run(plan, tmp_path / "store", Forbidden(small_project.data))
    spent = [trial.outcome.epochs for trial in again.trials]
    assert 0 == len(spent) % 3
    assert sum(spent[:-3]) < 20 <= sum(spent)
    assert 8 == small_project.plan("random", studies__random={**random, "stop": {"epochs": 20}}).spec.generation


def test_summary_report_and_mlflow_say_why(tuned: SmallProject) -> None:
    """The line of the command, the report, the finish in the store, whose texts are tags in MLflow, and the note there."""
    found = find_study("tpe", tuned.paths)
    words = "2 generations brought no better value"
    assert f"stopped: {words}" in study_summary(tuned.study(found.result))
    report = json.loads((tuned.paths.study_reports / "tpe.json").read_text())
    assert ({"plateau": 2}, words) == (report["stop"], report["stopped"])
    with Store.open(tuned.paths.store) as store:
        summary = store.finish(found.spec.key)
    assert summary is not None
    assert words == summary[0]["stopped"]
    shown: Any = SimpleNamespace(studies={"tpe": {**report, "refines": {"study": "random"}}})
    [line] = page_studies(shown)
    assert line["states"].endswith(f"; stopped: {words}")
    assert "tpe, refines random" == line["sampler"]
    assert "2" == study_params(found.spec)["stop_plateau"]
    assert f"Stopped: {words}." in study_note(Ended(found.spec, summary[0], {}), ())
    head = parse_canonical(tuned.paths.records("tpe").read_bytes().splitlines()[0])
    assert {"plateau": 2} == head["study"]["stop"]


def test_verify_knows_where_it_should_have_ended(tuned: SmallProject) -> None:
    """Its own end is identical; a study that went on beyond it is not what its rule says."""
    found = find_study("tpe", tuned.paths)
    with FreshProcesses() as processes:
        assert "identical" == verify_recorded(found, tuned.paths, processes, 1, lambda *_: None).state
        hasty = replace(found.spec, stop={"plateau": 1})
        trials = found.result.trials
        other = replace(found, result=replace(found.result, spec=hasty))
        end = stopped(hasty, trials)
        assert end is not None
        assert end[0] < len(trials)
        verdict = verify_recorded(other, tuned.paths, processes, 1, lambda *_: None)
    assert "differs" == verdict.state
    assert f"after trial {end[0] - 1}, yet there are {len(trials)} trials" in str(verdict.first_difference)


def test_a_refinement_of_a_study_that_stopped(tuned: SmallProject, tmp_path: Path) -> None:
    """It shrinks around the trials that there are; none are missing."""
    project = tuned.copy(tmp_path / "project")
    config = config_of(plateau=2).with_("refinements", {"fine": {"refine": "tpe", "sampler": "random", "trials": 2}})
    fine = api.tune(config, "fine", project=Project(project.paths, "unused", 1, "ada"), deliver=False)
    assert len(find_study("tpe", tuned.paths).result.trials) == fine.result.spec.refines["trials"]


@pytest.mark.parametrize(
    ("study", "fault"),
    [
        ({"stop": {}}, "studies.tpe.stop: expected plateau: generations without improvement, or epochs"),
        ({"stop": {"plateau": 0}}, "studies.tpe.stop.plateau: expected greater than or equal to 1"),
        ({"stop": {"timeout": 5}}, "studies.tpe.stop.timeout: unknown entry"),
        (
            {"sampler": "grid", "trials": None, "generation": None},
            "studies.tpe: stop belongs to samplers that are asked",
        ),
    ],
)
def test_what_is_wrong_is_told(study: dict[str, Any], fault: str) -> None:
    """A rule that says nothing, bad numbers, unknown rules, a sampler with a list."""
    with pytest.raises(ConfigError) as raised:
        make_config(studies={"tpe": {**TPE, **study}})
    assert any(line.startswith(f"params.yaml: {fault}") for line in str(raised.value).splitlines()), raised.value
