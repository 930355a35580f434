"""Studies whose trials fail alike end early and say so; studies with fewer configurations than trials say that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tracker
from tests.studies.loops import COST, PARAMS, LoopProject
from tests.studies.project import SmallProject, command, make_config
from tests.studies.test_runner import WILD
from tests.test_identities import Untouched
from tracker.errors import StudyFailed
from tracker.store.store import Store
from tracker.terminal.forecast import forecast
from tracker.terminal.show import refuse_failed, study_summary

FAILS = """
def fit(hyperparameters, train, validation, seed):
    raise FileNotFoundError("pixels.npy")
    yield {}
"""
SOON = FAILS.replace("    raise", "    if seed != SEED:\n        raise").replace("yield {}", 'yield {"cost": 1.0}')
ALIKE = "its first 8 trials all failed alike: FileNotFoundError: pixels.npy"


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> LoopProject:
    """A project of 12 random trials whose loop always raises; only for tests that write nothing into it."""
    return LoopProject.with_loop(tmp_path_factory.mktemp("failing") / "project", FAILS)


@pytest.mark.parametrize("study", ["random", "tpe"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_study_whose_first_trials_fail_alike_ends(
    failing: LoopProject, tmp_path: Path, study: str, workers: int
) -> None:
    """With any number of workers and in any generation: the reason, once; run again it ends so without training."""
    plan = failing.plan(study)
    for executor in (failing.executor(workers), Untouched()):
        with pytest.raises(StudyFailed, match=ALIKE) as end:
            failing.run(plan, tmp_path / "store", executor)
    assert f"studies.{study}.max_failed_trials" in str(end.value)
    with Store.open(tmp_path / "store") as store:
        assert store.finish(plan.spec.key) is None
        assert store.check() > 0


@pytest.mark.parametrize("most", [None, 12])
def test_it_runs_to_its_end_where_that_is_wanted(failing: LoopProject, tmp_path: Path, most: int | None) -> None:
    """`max_failed_trials: null`, or as many as there are trials: all are run, under the same key; ended, it never stops."""
    whole = failing.plan("random", studies__random__max_failed_trials=most)
    assert failing.plan("random").spec.key == whole.spec.key
    result = failing.run(whole, tmp_path / "store", failing.executor())
    assert ["failed"] * 12 == [trial.state for trial in result.trials]
    again = failing.run(failing.plan("random"), tmp_path / "store", Untouched())
    assert result.digest == again.digest


def test_one_success_among_the_first_lets_it_go_on(failing: LoopProject, tmp_path: Path) -> None:
    """Only the first trials in order count, and only where all of them fail."""
    seeds = [run.seed for run in failing.specs("random")]
    for place, ends in ((7, True), (8, False)):
        root = tmp_path / str(place)
        project = LoopProject.with_loop(root / "project", SOON.replace("SEED", str(seeds[place])))
        if ends:
            result = project.run(project.plan("random"), root / "store", project.executor())
            assert (12, place) == (len(result.trials), result.best.number if result.best else None)
        else:
            with pytest.raises(StudyFailed, match=ALIKE):
                project.run(project.plan("random"), root / "store", project.executor())


def test_other_reasons_are_no_reason_to_end(tmp_path: Path) -> None:
    """Trials that fail each in its own way may be about the configurations."""
    project = LoopProject.with_loop(tmp_path / "project", FAILS.replace('"pixels.npy"', "str(seed)"))
    result = project.run(project.plan("random"), tmp_path / "store", project.executor())
    assert ["failed"] * 12 == [trial.state for trial in result.trials]


def test_trials_that_diverge_end_no_study(fresh: SmallProject) -> None:
    """A loss that is not finite speaks of a configuration: the search goes on, though all trials so far diverged alike."""
    space = {"learning_rate": [1000.0], "dropout": {"low": 0.0, "high": 0.5}}
    wild = {**WILD, "search_space": space, "studies__random__trials": 4, "studies__random__max_failed_trials": 1}
    result = fresh.run(fresh.plan("random", **wild))
    assert ["failed"] * 4 == [trial.state for trial in result.trials]
    assert all(str(trial.reason).startswith("diverged: ") for trial in result.trials)


def test_a_study_without_any_success_leaves_with_code_7(tmp_path: Path) -> None:
    """Both ways: ended early, and run to an end at which all trials had failed; the reason is told, no traceback."""
    text = PARAMS.replace("random, trials: 12", "random, trials: 3")
    project = LoopProject.with_loop(tmp_path / "project", FAILS, text)
    (project.paths.root / "params.yaml").write_text(text)
    for words, said in (
        (
            ["tracker.cli", "tune", "random"],
            "study random: all 3 trials failed: FileNotFoundError: pixels.npy (3 of 3 alike)",
        ),
        (["tracker.cli", "stage", "tune", "tpe"], f"study tpe: {ALIKE}; the others were not begun. Mend the cause"),
    ):
        done = command(project.paths.root, "-m", *words)
        assert 7 == done.returncode, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_study_with_a_success_is_no_failure(tmp_path: Path) -> None:
    """One complete trial is enough."""
    project = LoopProject.with_loop(tmp_path / "project", COST)
    refuse_failed(tracker.tune(project.config, "manual", project=project.here, deliver=False))


@pytest.mark.parametrize(
    ("space", "distinct"),
    [
        ({"units": [8, 16]}, 2),
        ({"units": [8, 16], "batch_norm": [True, False, True]}, 4),
        ({"hidden_layers": {"low": 1, "high": 2}, "units": {"choices": [8, 16], "per": "hidden_layers"}}, None),
        ({"learning_rate": {"low": 0.01, "high": 0.02}}, None),
        ({"optimizer": ["sgd", "adam"], "momentum": {"choices": [0.0, 0.5], "when": {"optimizer": "sgd"}}}, 3),
    ],
    ids=["choice", "doubles", "as many as trials", "continuous", "condition"],
)
def test_fewer_configurations_than_trials_are_counted(
    small_project: SmallProject, space: dict[str, Any], distinct: int | None
) -> None:
    """`check` warns of a study of 6 trials over fewer configurations, with their number; else it says nothing."""
    config = make_config(studies__random__search_space=space)
    assert distinct == small_project.plan("random", studies__random__search_space=space).distinct
    warned = [line for line in forecast(config, small_project.paths) if line.startswith("warning: random: ")]
    expected = [] if distinct is None else [f"warning: random: 6 trials, {distinct} distinct configurations"]
    assert expected == [line.rpartition(": the others")[0] for line in warned]


def test_the_end_of_a_study_says_how_many_configurations_it_tried(fresh: SmallProject) -> None:
    """Six trials over two widths: the line says so; over a continuum it does not."""
    few = fresh.study(fresh.run(fresh.plan("random", studies__random__search_space={"units": [4, 8]})))
    assert study_summary(few).startswith("random: 6 trials, 2 distinct configurations, best ")
    assert "distinct" not in study_summary(fresh.study(fresh.run(fresh.plan("random"))))
