"""Pictures of studies, trials and results: well-formed SVG with the numbers of the records, beside the right runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.tracking.studies import PROVENANCE, begin, finished, proposal, run_trials, settle, study_spec
from tracker.store.store import Store
from tracker.tracking.delivery import Delivery
from tracker.tracking.figures import history_figure, matrix_file, run_figures
from tracker.tracking.memory_recorder import MemoryRecorder
from tracker.tracking.run_contents import MODEL_TAG, study_run, trial_run

SVG = "{http://www.w3.org/2000/svg}"
LABELS = ["benign", "malignant"]


def texts(content: bytes) -> list[str]:
    return [found.text or "" for found in ET.fromstring(content).iter(f"{SVG}text")]


def points(content: bytes) -> list[list[tuple[float, float]]]:
    lines = ET.fromstring(content).iter(f"{SVG}polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()] for line in lines]  # type: ignore[misc]


def test_a_curve_has_a_point_per_epoch_and_the_counts_of_the_kept_one() -> None:
    """Two losses of three epochs, falling; the confusion matrix says rows and shares of the actual class."""
    found = run_figures("tpe/3", finished(proposal(3)).outcome, LABELS)
    train, validation = points(found["figures/learning_curve.svg"])
    assert (3, 3) == (len(train), len(validation))
    assert sorted(y for _, y in train) == [y for _, y in train]  # downwards in a picture is upwards in numbers
    assert {"tpe/3: loss by epoch", "train_loss", "val_loss", "epoch"} <= set(
        texts(found["figures/learning_curve.svg"])
    )
    told = texts(found["figures/confusion_matrix.svg"])
    assert ["5 (83%)", "1 (17%)", "2 (33%)", "4 (67%)"] == [text for text in told if "%" in text]
    assert "tpe/3: validation rows, epoch 2" in told


def test_the_history_follows_the_direction() -> None:
    """The best so far never gets worse, whichever way is better; one value alone is drawn as well."""
    values = [(0, 0.5), (1, 0.25), (2, 0.75)]
    for direction, turns in (("maximize", [0.5, 0.5, 0.75]), ("minimize", [0.5, 0.25, 0.25])):
        [content] = history_figure("tpe", "val_f1", direction, values).values()
        best, trials = points(content)
        heights = {value: y for (_, value), (_, y) in zip(values, trials, strict=True)}
        assert [heights[value] for value in turns] == [y for _, y in best]
    assert [1, 1] == [len(line) for line in points(*history_figure("tpe", "val_f1", "maximize", [(0, 0.5)]).values())]
    assert {} == history_figure("tpe", "val_f1", "maximize", [])


def test_labels_cannot_break_the_picture() -> None:
    """Signs of markup in a class are text; many classes, or counts of other classes, give no picture."""
    [content] = matrix_file("<t>", ["<b>&", '"'], [[1, 0], [0, 1]]).values()
    assert {"<t>", "<b>&", '"'} <= set(texts(content))
    assert {} == matrix_file("t", ["a"], [[1, 0], [0, 1]])
    assert {} == matrix_file("t", ["a"] * 40, [[1] * 40] * 40)


@pytest.fixture
def delivered(tmp_path: Path) -> MemoryRecorder:
    """A study of four trials that ended, and the result of a run that confirmed it, which is no trial's first."""
    recorder = MemoryRecorder()
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(4))
        store.finish_study(key, {"number": 2, "value": 0.92, "trials": 4})
        _confirmed(store)
        with Delivery(store, recorder, "none") as delivery:
            report = delivery.deliver(None)
    assert (0, None) == (report.waiting, report.problem)
    return recorder


def _confirmed(store: Store) -> None:
    key = store.put_study(study_spec("confirm.measure"), PROVENANCE)
    run = proposal(7, "confirm.measure")
    store.put_proposals(key, [run])
    settle(store, key, [run])
    test = {"labels": LABELS, "confusion_matrix": [[9, 1], [0, 5]], "positive": "malignant", "f1": 0.9}
    store.put_final({"study": "tpe", "trial": 2, "key": run.spec.key, "test": test, "test_digest": "d"})


def test_pictures_lie_beside_study_best_trial_and_result(delivered: MemoryRecorder) -> None:
    """The study has its history, its best trial curve and counts, no other trial any; the result has its test rows."""
    runs = {run.name.partition(" (")[0]: run for run in delivered.runs()}
    found = {name: sorted(path for path in run.files if path.startswith("figures/")) for name, run in runs.items()}
    both = ["figures/confusion_matrix.svg", "figures/learning_curve.svg"]
    assert (["figures/optimisation_history.svg"], both) == (found["tpe"], found["tpe/2"])
    assert [] == found["tpe/0"]
    assert both == found["final tpe/2"]
    assert "tpe/2: test rows" in texts(runs["final tpe/2"].files["figures/confusion_matrix.svg"])


def test_the_result_of_a_confirmed_choice_has_its_model(delivered: MemoryRecorder) -> None:
    """The run that was scored is one of the confirmation's, not the trial's own: its weights are the ones beside it."""
    [final] = [run for run in delivered.runs() if run.tags["tracker.kind"] == "final"]
    assert finished(proposal(7, "confirm.measure")).outcome.weights == final.tags[MODEL_TAG]
    assert "model/MLmodel" in final.files
    [entry] = delivered.entries.values()  # the policy keeps no model of the study's best
    assert ("scored on the test rows", final.tags["tracker.key"]) == (
        entry.tags["tracker.role"],
        entry.tags["tracker.key"],
    )
    assert {("test_f1", 0.9, "test")} == {(p.name, p.value, rows.context) for p, rows in entry.points if rows}


def test_runs_name_the_experiment_of_dvc(tmp_path: Path) -> None:
    """Study and trial say which `dvc exp run` they are of, as tags, by which MLflow finds them."""
    about = {"user": "ada", "source": "tune.py", "dvc_experiment": "woods-coos", "dvc_baseline": "f" * 40}
    with Store.open(tmp_path / ".tracker") as store:
        key = store.put_study(study_spec(), about)
        planned = proposal(0)
        store.put_proposals(key, [planned])
        store.put_outcomes(key, [replace(finished(planned), provenance=about)], [0])
        for run in (study_run(store, key), trial_run(store, key, 0)):
            assert ("woods-coos", "f" * 40) == tuple(
                run.tags[f"tracker.{name}"] for name in ("dvc_experiment", "dvc_baseline")
            )
