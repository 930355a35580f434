"""Refinements: studies over what the best trials of another study leave of its space, in chains, derived again."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import PARAMS, SmallProject, make_config
from tests.studies.test_runner import Interrupted
from tracker import api
from tracker.api import Project
from tracker.canonical import canonical_json, parse_canonical
from tracker.config import Config
from tracker.errors import ConfigError, NotFoundError
from tracker.records import StudySpec, record_from
from tracker.search.entries import Interval
from tracker.search.space import space_from
from tracker.studies.result import StudyResult
from tracker.studies.superseded import superseded
from tracker.terminal.forecast import forecast
from tracker.tracking.notes import Ended, study_note
from tracker.tracking.run_contents import study_params

REFINEMENTS = {
    "finer": {"refine": "fine", "keep": 0.5, "sampler": "random", "trials": 3},
    "fine": {"refine": "random", "keep": 0.4, "sampler": "tpe", "trials": 6, "generation": 3},
}
STUDIES = {"random": {"sampler": "random", "trials": 10}}


def config_of(**changes: Any) -> Config:
    """A random study, and two refinements in a chain, of which the second is written first."""
    return make_config(**{"studies": STUDIES, "refinements": REFINEMENTS, **changes})


def here_of(project: SmallProject) -> Project:
    return Project(project.paths, "unused", 1, "ada")


def tune(project: SmallProject, name: str, config: Config | None = None) -> StudyResult:
    return api.tune(config or config_of(), name, project=here_of(project), deliver=False).result


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project whose chain has run; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("refined") / "project")
    for name in config_of().studies:
        tune(project, name)
    return project


def recorded(project: SmallProject, name: str) -> StudySpec:
    head = project.paths.records(name).read_bytes().splitlines()[0]
    return record_from(StudySpec, parse_canonical(head)["study"])


def test_every_study_comes_behind_what_it_refines() -> None:
    """Whatever the order in the file, that of all studies is a chain from coarse to fine; without refinements none changes."""
    assert ["random", "fine", "finer"] == list(config_of().studies)
    assert ["random"] == list(config_of(refinements={}).studies)
    assert 9 == config_of().with_("refinements.fine.trials", 9).studies["fine"].trials
    assert config_of().space_of("finer") == config_of().search_space


def test_each_space_lies_in_the_one_before_and_holds_what_was_kept(tuned: SmallProject) -> None:
    """The space is part of the study's identity, in values, beside the key of the study that decided it."""
    specs = [recorded(tuned, name) for name in ("random", "fine", "finer")]
    for outer, inner in pairwise(specs):
        assert {"study": outer.name, "key": outer.key} == {name: inner.refines[name] for name in ("study", "key")}
        around = {entry.name: entry.domain for entry in space_from(outer.space, outer.fixed, "mlp").entries}
        for entry in space_from(inner.space, inner.fixed, "mlp").entries:
            if isinstance(entry.domain, Interval):
                assert around[entry.name].low <= entry.domain.low <= entry.domain.high <= around[entry.name].high
    assert specs[1].space != specs[0].space
    trials = tune(tuned, "random").trials
    best = sorted(trials, key=lambda trial: (-(trial.value or 0), trial.metrics["val_loss"]))[:4]
    [rate] = [entry.domain for entry in space_from(specs[1].space, {}, "mlp").entries if entry.name == "learning_rate"]
    assert all(rate.allows(trial.proposal.searched["learning_rate"]) for trial in best)


def test_it_is_the_same_study_killed_elsewhere_and_from_records_alone(tuned: SmallProject, tmp_path: Path) -> None:
    """Killed and run again; from the files beside the best model, without a store: the same digest."""
    truth = tune(tuned, "fine").digest
    elsewhere = tuned.copy(tmp_path / "elsewhere")
    shutil.rmtree(elsewhere.paths.store)
    shutil.rmtree(elsewhere.paths.models / "fine")

    def die(progress: Any) -> None:
        if progress.finished > 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        api.tune(config_of(), "fine", project=here_of(elsewhere), deliver=False, on_progress=die)
    assert truth == tune(elsewhere, "fine").digest


def test_what_it_refines_comes_first(fresh: SmallProject) -> None:
    """Before its study has run, and after what decides that study has changed, the message names what to run."""
    with pytest.raises(NotFoundError, match=r"random comes first: its 10 trials.* tune[@ ]random"):
        tune(fresh, "fine")
    tune(fresh, "random")
    with pytest.raises(NotFoundError, match=r"fine comes first: its 6 trials.* (refine@|tracker tune )fine"):
        tune(fresh, "finer")
    with pytest.raises(NotFoundError, match=r"random comes first: its 11 trials"):
        tune(fresh, "fine", config_of(studies__random__trials=11))


def test_check_foresees_it_over_the_whole_space(small_project: SmallProject) -> None:
    """Nothing has run, so trials and generations are known, and the space is said to be that of the other study."""
    lines = list(forecast(config_of(), small_project.paths))
    assert any(line.split()[:4] == ["fine", "tpe", "6", "2"] for line in lines)
    assert "fine searches what the best 40% of random leave of its space; its time is that of the whole space" in lines
    assert any(line.startswith("19 trials") for line in lines)


def test_verify_derives_proposals_from_the_shrunk_space_and_the_space_from_trials(
    tuned: SmallProject, tmp_path: Path
) -> None:
    """All is identical; a space that does not follow from the trials is found; without them nothing can be said."""
    names = ["random", "fine", "finer"]
    found = list(api.verify(config_of(), names, sample=1, project=here_of(tuned)))
    assert ["identical"] * 3 == [one.state for one in found]
    forged = tuned.copy(tmp_path / "forged")
    shutil.rmtree(forged.paths.store)
    (forged.paths.study_reports / "random.json").unlink()
    other = tune(forged, "random", config_of(studies__random__trials=5))
    path = forged.paths.records("fine")
    head, *lines = path.read_bytes().splitlines()
    tree = json.loads(head)
    tree["study"]["refines"] |= {"key": other.spec.key, "trials": 5}
    study = record_from(StudySpec, tree["study"])
    tree["digest"] = StudyResult(study, tune(tuned, "fine").trials, 0).digest
    path.write_bytes(b"\n".join([canonical_json(tree), *lines]) + b"\n")
    (forged.paths.study_reports / "fine.json").unlink()
    [one] = api.verify(config_of(), "fine", project=here_of(forged))
    assert "differs" == one.state
    assert "follows from the trials of random" in str(one.first_difference)
    shutil.rmtree(forged.paths.store)
    shutil.rmtree(forged.paths.models / "random")
    with pytest.raises(NotFoundError, match="fine refines study random"):
        list(api.verify(config_of(), "fine", project=here_of(forged)))


def test_what_changes_the_coarse_study_supersedes_the_fine_one(tuned: SmallProject) -> None:
    """More trials of the coarse study, or another space, say what became of the refinement's report."""
    assert {} == superseded(config_of(), tuned.paths)
    found = superseded(config_of(search_space__units=[8, 12]), tuned.paths)
    assert found["random"] == "search_space changed"
    assert found["fine"] == "random, which it refines, changed"
    assert found["finer"] == "fine, which it refines, changed"
    assert {"fine", "finer"} == set(superseded(config_of(refinements__fine__keep=0.9), tuned.paths))


def test_the_ranking_and_mlflow_know_it(tuned: SmallProject) -> None:
    """It is ranked like any study; its run in MLflow says what it refines, with the space that is left."""
    ranking = api.compare(config_of(), here_of(tuned))
    assert {"random", "fine", "finer"} == {row.study for row in ranking.rows}
    spec = recorded(tuned, "fine")
    assert {"refines": "random", "keep": "0.4"} == {name: study_params(spec)[name] for name in ("refines", "keep")}
    note = study_note(Ended(spec, {}, {}), ())
    assert "Refines `random`: its space, shrunk around the best 0.4 of its first 10 trials." in note
    report = json.loads((tuned.paths.study_reports / "fine.json").read_text())
    assert dict(spec.refines) == report["refines"]
    assert "refines" not in json.loads((tuned.paths.study_reports / "random.json").read_text())


@pytest.mark.parametrize(
    ("refinements", "fault"),
    [
        ({"a": {"refine": "nothing"}}, "refinements.a.refine: there is no study nothing; there are random, manual"),
        (
            {"fine": {"refine": "rnadom"}},
            "refinements.fine.refine: there is no study rnadom; there are random, manual; did you mean r",
        ),
        ({"a": {"refine": "a"}}, "refinements.a.refine: a refines a: such a chain has no beginning"),
        ({"a": {"refine": "b"}, "b": {"refine": "a"}}, "refinements.a.refine: a refines b refines a: such a chain"),
        ({"random": {"refine": "random"}}, "refinements.random: studies has a random too"),
        ({"a": {"refine": "manual"}}, "refinements.a.refine: manual lists its configurations"),
        (
            {"a": {"refine": "random", "search_space": {"units": [8]}}},
            "refinements.a: a refinement searches what is left",
        ),
        ({"a": {"refine": "random", "keep": 0}}, "refinements.a.keep: expected greater than 0"),
        ({"a": {"refine": "random", "trials": 0}}, "refinements.a.trials: expected greater than or equal to 1"),
        ({"a": {"refine": "random", "pruner": {"name": "median", "x": 1}}}, "refinements.a.pruner.x: unknown"),
        ({"RANDOM": {"refine": "random"}}, "refinements.RANDOM: differs from random in case alone"),
        ({"a.b": {"refine": "random"}}, "refinements: 'a.b' is no name"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(refinements: dict[str, Any], fault: str) -> None:
    """Unknown names, cycles, a name that is taken, a space of its own, wrong entries."""
    studies = {**STUDIES, "manual": {"sampler": "manual", "configurations": [{}]}}
    filled = {name: {"sampler": "random", "trials": 2, **one} for name, one in refinements.items()}
    with pytest.raises(ConfigError) as raised:
        make_config(PARAMS, studies=studies, refinements=filled)
    assert any(line.startswith(f"params.yaml: {fault}") for line in str(raised.value).splitlines()), raised.value
