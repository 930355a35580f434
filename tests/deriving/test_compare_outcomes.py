"""On another kind of machine a trial may come out in other bits: within the tolerance it is equivalent, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studies.loops import NETWORK, SMALL, LoopProject
from tests.studies.project import SmallProject
from tracker import api
from tracker.api import Project
from tracker.canonical import digest_arrays
from tracker.deriving.compare_outcomes import EQUIVALENT_WITHIN
from tracker.deriving.derive import Derived, FreshProcess
from tracker.deriving.find_trial import Recorded, find_recorded, recorded_trial
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_target import reproduce_target
from tracker.deriving.judge_trial import judge, reproduce_record
from tracker.deriving.verdict import Verdict, joint_exit_code, verdict_json
from tracker.records import TrialOutcome
from tracker.standalone.load import load_model
from tracker.terminal.verdicts import verdict_lines

STUDIES = {"random": {"sampler": "random", "trials": 4}}
SOUND = {"identical", "equivalent"}
MOVED = 2.0**-20  # what another machine may add to a loss


def here_of(project: SmallProject) -> Project:
    return Project(project.paths, "unused", 1, "ada")


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory) -> SmallProject:
    """A project with a study of this machine, a ranking and a final result; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("equivalent") / "project")
    project.config = project.config.with_("studies", STUDIES)
    api.tune(project.config, "random", project=here_of(project), deliver=False)
    api.compare(project.config, here_of(project)).test()
    return project


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[FreshProcess]:
    """A process that computes like a CPU without vector instructions."""
    with FreshProcess({**os.environ, "ATEN_CPU_CAPABILITY": "default"}) as process:
        yield process


@pytest.fixture
def recorded(tuned: SmallProject) -> Recorded:
    return find_recorded("random/1", tuned.paths)


def moved(outcome: TrialOutcome, by: float = MOVED) -> TrialOutcome:
    """What another machine might give: every loss a little higher, other bits of weights and predictions."""
    history = tuple({**entry, "val_loss": entry["val_loss"] + by} for entry in outcome.history)
    metrics = {**outcome.metrics, "val_loss": outcome.metrics["val_loss"] + by}
    return dataclasses.replace(outcome, history=history, metrics=metrics, weights="1" * 64, predictions="2" * 64)


def judged(recorded: Recorded, derived: TrialOutcome, *, elsewhere: bool = True) -> Verdict:
    """The verdict where this was derived, on another machine or on the one that recorded it."""
    environment = dict(recorded.provenance["environment"]) | ({"cpu_vendor": "AnotherMaker"} if elsewhere else {})
    return judge(recorded, Derived(derived, {**recorded.provenance, "environment": environment}))


def test_trials_of_another_cpu_are_equivalent(tuned: SmallProject, elsewhere: FreshProcess) -> None:
    """Derived with other CPU instructions every trial is identical or equivalent, and the verdict says by how much."""
    for number in range(4):
        recorded = find_recorded(f"random/{number}", tuned.paths)
        found = reproduce_record(recorded, tuned.paths.root, tuned.paths.splits, elsewhere)
        assert found.state in SOUND
        if found.state == "equivalent":
            assert 0 <= found.first_difference.largest <= EQUIVALENT_WITHIN
            assert "variables.ATEN_CPU_CAPABILITY" == found.causes[0].name
            assert recorded.spec.environment != found.environment
            assert 12 == found.exit_code


def test_an_outcome_holds_the_digest_of_its_predicted_labels(tuned: SmallProject) -> None:
    """It is that of the classes which the saved model predicts for the validation rows, as int64 places."""
    described = json.loads((tuned.paths.models / "random" / "model.json").read_text())
    model = load_model(tuned.paths.models / "random")
    places = model.predict_proba(tuned.rows()).argmax(axis=1)
    number = next(n for n in range(4) if find_recorded(f"random/{n}", tuned.paths).spec.key == described["key"])
    outcome = find_recorded(f"random/{number}", tuned.paths).outcome
    assert digest_arrays({"labels": places.astype(np.int64)}) == outcome.labels


def test_loops_of_another_cpu_are_equivalent(elsewhere: FreshProcess, tmp_path: Path) -> None:
    """A training loop of one's own is judged alike; its outcomes have the digest of labels as well."""
    project = LoopProject.with_loop(tmp_path / "own", NETWORK, nets__small=SMALL)
    result = project.run(project.plan("random", studies__random__trials=2), executor=project.executor())
    for trial in result.trials:
        assert trial.outcome.labels is not None
        recorded = recorded_trial(trial, project.paths)
        assert reproduce_record(recorded, project.paths.root, project.paths.splits, elsewhere).state in SOUND


def test_what_another_machine_gives_is_equivalent(recorded: Recorded) -> None:
    """The verdict names the first difference, the largest deviation, the tolerance and what is another machine's."""
    found = judged(recorded, moved(recorded.outcome))
    gaps = [abs(entry["val_loss"] + MOVED - entry["val_loss"]) for entry in recorded.outcome.history]
    assert ("equivalent", max(gaps)) == (found.state, found.first_difference.largest)
    assert ["environment.cpu_vendor"] == [cause.name for cause in found.causes]
    told = json.loads(json.dumps(verdict_json(found)))
    assert ("equivalent", EQUIVALENT_WITHIN) == (told["state"], told["tolerance"])
    words = "kept epoch, predicted labels; the largest deviation of any metric is 9.54e-07, at most 0.001)"
    assert verdict_lines(found)[0] == f"random/1: equivalent ({len(gaps)} epochs, {words}"
    assert "AnotherMaker" in "\n".join(verdict_lines(found))


def test_the_same_machine_has_no_tolerance(recorded: Recorded) -> None:
    """In the environment that recorded a trial another bit is a difference."""
    assert "differs" == judged(recorded, moved(recorded.outcome), elsewhere=False).state


def test_another_machine_may_not_go_beyond_the_tolerance(recorded: Recorded) -> None:
    """Right below it is equivalent, above it differs."""
    assert "equivalent" == judged(recorded, moved(recorded.outcome, EQUIVALENT_WITHIN * 0.999)).state
    assert "differs" == judged(recorded, moved(recorded.outcome, EQUIVALENT_WITHIN * 1.001)).state


def test_a_record_without_a_digest_of_labels_goes_by_its_matrix(recorded: Recorded) -> None:
    """Older records have none: the confusion matrix of the kept epoch must be equal then, and a missing one is not."""
    older = dataclasses.replace(recorded, outcome=dataclasses.replace(recorded.outcome, labels=None))
    assert "identical" == judged(older, recorded.outcome).state
    assert "equivalent" == judged(older, moved(recorded.outcome)).state
    history = [dict(entry) for entry in older.outcome.history]
    for entry in history:
        del entry["confusion_matrix"]
    bare = dataclasses.replace(older, outcome=dataclasses.replace(older.outcome, history=tuple(history)))
    assert "differs" == judged(bare, moved(recorded.outcome)).state


Edit = Callable[[dict[str, Any], list[dict[str, Any]]], object]


def flipped(entry: dict[str, Any]) -> None:
    """Takes rows from the cell of a confusion matrix that has most, and gives them to its neighbour."""
    matrix = [list(row) for row in entry["confusion_matrix"]]
    matrix[0][0], matrix[0][1] = matrix[0][1], matrix[0][0]
    entry["confusion_matrix"] = matrix if matrix[0][0] != matrix[0][1] else [[99, 0], [0, 1]]


EDITS: dict[str, Edit] = {
    "a score of an epoch": lambda outcome, history: history[0].update(val_f1=0.99999),
    "a loss of an epoch": lambda outcome, history: history[0].update(train_loss=history[0]["train_loss"] + 0.01),
    "no score": lambda outcome, history: history[0].update(val_loss=None),
    "no number": lambda outcome, history: history[0].update(val_loss=math.nan),
    "a whole number": lambda outcome, history: history[0].update(val_accuracy=1),
    "one more metric": lambda outcome, history: history[0].update(val_more=0.5),
    "a matrix": lambda outcome, history: flipped(history[0]),
    "no matrix": lambda outcome, history: history[0].update(confusion_matrix="none"),
    "an epoch less": lambda outcome, history: history.pop(),
    "another number of epochs": lambda outcome, history: outcome.update(epochs=99),
    "another kept epoch": lambda outcome, history: outcome.update(best_epoch=1 + outcome["best_epoch"] % 2),
    "the best score alone, by little": lambda outcome, history: outcome.update(
        metrics={**outcome["metrics"], "val_loss": outcome["metrics"]["val_loss"] - 1e-5}
    ),
    "the state": lambda outcome, history: outcome.update(state="pruned"),
    "the reason": lambda outcome, history: outcome.update(reason="why"),
    "the labels": lambda outcome, history: outcome.update(labels="0" * 64),
    "no weights": lambda outcome, history: outcome.update(weights=None),
    "no predictions": lambda outcome, history: outcome.update(predictions=None),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_altered_record_stays_a_difference(recorded: Recorded, name: str) -> None:
    """Whatever was edited beyond the tolerance, or contradicts the rest, is no matter of another machine."""
    outcome = {field.name: getattr(recorded.outcome, field.name) for field in dataclasses.fields(TrialOutcome)}
    history = [dict(entry) for entry in recorded.outcome.history]
    EDITS[name](outcome, history)
    altered = TrialOutcome(**{**outcome, "history": tuple(history)})
    found = judged(dataclasses.replace(recorded, outcome=altered), moved(recorded.outcome))
    assert ("differs", 10) == (found.state, found.exit_code)


@pytest.mark.parametrize("name", ["val_loss", "train_loss"])
def test_equal_weights_and_predictions_tell_an_altered_score(recorded: Recorded, name: str) -> None:
    """Where the bits that scores follow from are equal, a score that is not was altered, however little."""
    history = [dict(entry) for entry in recorded.outcome.history]
    history[0][name] += 1e-6
    if recorded.outcome.best_epoch == 1:
        history[0][name] -= 1e-6
        history[1][name] += 1e-6
    altered = dataclasses.replace(recorded.outcome, history=tuple(history))
    found = judged(dataclasses.replace(recorded, outcome=altered), recorded.outcome)
    assert "differs" == found.state
    assert found.causes[0].name.startswith("outcome.epoch")


@pytest.mark.parametrize("name", ["weights", "predictions"])
def test_one_other_digest_alone_was_altered(recorded: Recorded, name: str) -> None:
    """All scores of all epochs are equal to the bit: then the machine computes the same, and the digest was edited."""
    altered = dataclasses.replace(recorded.outcome, **{name: "0" * 64})
    assert "differs" == judged(dataclasses.replace(recorded, outcome=altered), recorded.outcome).state


def test_a_spec_whose_key_does_not_follow_stays_a_difference(recorded: Recorded) -> None:
    """Whoever writes another environment, or anything else, into the spec of a record makes no equivalent of it."""
    spec = dataclasses.replace(recorded.spec, environment="0" * 64)
    altered = dataclasses.replace(recorded, spec=spec)
    for derived in (recorded.outcome, moved(recorded.outcome)):
        assert "differs" == judged(altered, derived).state


def test_a_project_of_another_cpu_is_sound(tuned: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Study, ranking, looks and final result: derived by processes of another CPU nothing differs."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")  # of the processes; this one has loaded torch
    found = list(api.verify(tuned.config, "random", pipeline=True, project=here_of(tuned)))
    assert ["store", "study", "ranking", "looks", "final"] == [one.kind for one in found]
    assert all(one.is_sound for one in found)
    study, final = found[1], found[4]
    assert (4, 4) == (study.derived, study.counted)
    if study.state == "equivalent":
        assert "equivalent" == study.inner.state
        assert study.first_difference.words.startswith(f"trial {study.inner.name[-1]}: epoch ")
        assert "  the trial that deviates most:" == verdict_lines(study)[1]
    assert joint_exit_code(found) == (12 if "equivalent" in {study.state, final.state} else 0)


def test_an_edited_record_of_a_study_differs_on_another_cpu(
    tuned: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is compared with the record there as well, to the bit."""
    copy = tuned.copy(tmp_path / "copy")
    copy.config = tuned.config
    path = copy.paths.study_reports / "random.json"
    report = json.loads(path.read_text())
    report["trials"][2]["metrics"]["val_loss"] += 1e-6
    path.write_text(json.dumps(report))
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    with FreshProcess() as process:
        assert "differs" == reproduce_target("random/2", copy.paths, "unused", process).state
        assert reproduce_target("random/1", copy.paths, "unused", process).state in SOUND
    [found] = api.verify(copy.config, "random", project=here_of(copy))
    assert ("differs", "trials.2.metrics.val_loss") == (found.state, found.first_difference.metric.split(", ")[1])


@pytest.mark.parametrize("name", ["f1", "confusion_matrix"])
def test_an_edited_final_result_differs_on_another_cpu(
    tuned: SmallProject, tmp_path: Path, elsewhere: FreshProcess, name: str
) -> None:
    """The scored trial may be equivalent; its scores on the test rows follow from a confusion matrix that must be the same."""
    copy = tuned.copy(tmp_path / "copy")
    assert reproduce_final(copy.paths, elsewhere).state in SOUND
    path = copy.paths.reports / "final.json"
    final = json.loads(path.read_text())
    value = final["test"][name]
    final["test"][name] = [[value[0][0] - 1, value[0][1] + 1], value[1]] if name == "confusion_matrix" else 0.999
    path.write_text(json.dumps(final))
    found = reproduce_final(copy.paths, elsewhere)
    assert ("final", "differs") == (found.kind, found.state)
    assert found.first_difference.metric.startswith(f"test.{name}")


def test_a_difference_comes_before_what_is_equivalent() -> None:
    """Of several verdicts the command leaves with that of a difference, then of what cannot be derived."""
    states = [Verdict("study", "a", state) for state in ("identical", "equivalent", "cannot", "differs")]
    assert [0, 12, 11, 10] == [joint_exit_code(states[:count]) for count in (1, 2, 3, 4)]


def test_studies_may_be_called_like_the_parts_of_a_project(small_project: SmallProject, tmp_path: Path) -> None:
    """Studies called `store`, `looks`, `ranking` and `final` have the verdicts of studies."""
    project = small_project.copy(tmp_path / "project")
    names = ("store", "looks", "ranking", "final")
    project.config = project.config.with_("studies", {name: {"sampler": "random", "trials": 2} for name in names})
    for name in names:
        api.tune(project.config, name, project=here_of(project), deliver=False)
    found = list(api.verify(project.config, project=here_of(project)))
    assert [("study", name) for name in names] == [(one.kind, one.name) for one in found]
    for one in found:
        counts = f"2 of 2 trials derived again; digest {one.digest[:12]}"
        assert [f"{one.name}: identical ({counts})"] == verdict_lines(one)
