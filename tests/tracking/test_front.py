"""What people meet first in MLflow is there after every delivery, and what they changed stays theirs."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.studies import DATA, PROVENANCE, SERVING, STARTED, begin, run_trials, study_spec
from tracker.canonical import digest
from tracker.errors import TrackingError
from tracker.store.store import Store
from tracker.tracking.delivery import Delivery
from tracker.tracking.memory_recorder import MemoryRecorder, MemoryRun
from tracker.tracking.names import differences
from tracker.tracking.notes import experiment_note, final_note
from tracker.tracking.project_files import ProjectFiles, Ties
from tracker.tracking.recorder import Found
from tracker.tracking.run_contents import study_run
from tracker.tracking.seeded import SEEDED
from tracker.tracking.views import FINAL, STUDIES, VIEW, study_view_id, views

NOTE = "mlflow.note.content"
SPACE = {"entries": [{"name": "learning_rate", "kind": "range", "low": 1e-4, "high": 0.1, "log": True, "when": {}}]}


def deliver(store: Store, recorder: MemoryRecorder, *compare: str, files: ProjectFiles | None = None) -> None:
    """One delivery of what waits and of the studies to compare, as tuning makes it."""
    with Delivery(store, recorder, "none", files=files) as delivery:
        assert delivery.deliver(compare).problem is None


def tuned(store: Store, trials: int, **changes: Any) -> str:
    """A study with another space, run to its end; its key."""
    key = store.put_study(study_spec(space=SPACE, **changes), PROVENANCE)
    run_trials(store, key, range(trials))
    store.finish_study(key, {"number": 1, "value": 0.12, "trials": trials, "digest": "d" * 64})
    return key


def by_name(recorder: MemoryRecorder) -> dict[str, MemoryRun]:
    """All runs by name."""
    return {run.name: run for run in recorder.runs()}


def state(tags: Mapping[str, str], view: str) -> dict[str, Any]:
    """What MLflow's page reads of a saved view."""
    packed = json.loads(tags[f"{VIEW}{view}"])["state"].removeprefix("deflate;")
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def test_an_experiment_has_views_a_note_and_its_kind(tmp_path: Path) -> None:
    """Studies, final results and each study have a view sorted by the objective; the note names the best trial."""
    recorder, store = MemoryRecorder(), Store.open(tmp_path, lambda: STARTED)
    with store:
        key = tuned(store, 3)
        deliver(store, recorder)
    tags = recorder.experiment_tags()
    assert (tags["mlflow.experimentKind"], tags["mlflow.experiment.primaryMetric.name"]) == (
        "custom_model_development", "best_val_f1",
    )  # fmt: skip
    for view in ("tracker-studies", "tracker-final", "tracker-study-tpe"):
        shown = state(tags, view)
        assert (shown["orderByKey"], shown["orderByAsc"]) == ("metrics.`best_val_f1`", False)
        assert shown["runsHiddenMode"] == "SHOW_ALL"
    assert state(tags, "tracker-studies")["selectedColumns"][0] == "metrics.`best_val_f1`"
    assert key in state(tags, "tracker-study-tpe")["searchFilter"]
    assert {chart["type"] for chart in state(tags, "tracker-study-tpe")["compareRunCharts"]} == {"SCATTER", "LINE"}
    assert "tpe/1" in tags[NOTE]
    assert "val_f1 0.12" in tags[NOTE]


def test_studies_whose_trials_repeat_do_not_lead_the_columns() -> None:
    """All studies are compared by what every one has; the `value` of a study of folds is a column, no confirmation's."""
    plain, repeated = study_spec(space=SPACE), study_spec(space=SPACE, name="confirm.choose", runs={"repeats": 3})
    tags = views({repeated.key: repeated, plain.key: plain}, {repeated.key: 2, plain.key: 1})
    objective = f"metrics.`best_{plain.objective['metric']}`"
    assert objective == state(tags, STUDIES)["orderByKey"]
    assert [objective, "metrics.`test_f1`"] == state(tags, STUDIES)["selectedColumns"][:2]
    folded = study_spec(space=SPACE, name="folded", runs={"repeats": 3})
    both = views({folded.key: folded, plain.key: plain}, {folded.key: 2, plain.key: 1})
    assert [objective, "metrics.`value`"] == state(both, STUDIES)["selectedColumns"][:2]
    assert objective == state(tags, FINAL)["orderByKey"]
    assert "metrics.`value`" == state(tags, study_view_id("confirm.choose"))["orderByKey"]


def test_a_study_shows_its_best_trial_and_what_was_asked_in_words(tmp_path: Path) -> None:
    """The best trial's numbers have the names they have in trials; no param is JSON; the search space is a file."""
    recorder, store = MemoryRecorder(), Store.open(tmp_path, lambda: STARTED)
    with store:
        tuned(store, 3)
        deliver(store, recorder)
    run, best = by_name(recorder)["tpe"], by_name(recorder)["tpe/1"]
    values = {point.name: (point.step, point.value) for point in run.points}
    assert values["best_val_f1"] == next((0, p.value) for p in best.points if p.name == "best_val_f1")
    assert values["trials"] == (0, 3)
    assert {"number", "value"}.isdisjoint(values)
    assert run.tags["tracker.best"] == "tpe/1"
    assert {name: run.params[name] for name in ("sampler", "objective_metric", "direction", "generation")} == {
        "sampler": "tpe", "objective_metric": "val_f1", "direction": "maximize", "generation": "4",
    }  # fmt: skip
    assert not [value for value in run.params.values() if value.startswith(("{", "["))]
    assert json.loads(run.files["search_space.json"])["search_space"] == SPACE
    assert "| learning_rate&emsp; | 0.0001 to 0.1 (log)&emsp; |" in run.tags[NOTE]


def test_a_final_result_leads_with_the_score_of_the_objective(tmp_path: Path) -> None:
    """Its note, the experiment's and the tables' columns: recall first where recall was asked for, and over seeds too."""
    recorder, store = MemoryRecorder(), Store.open(tmp_path, lambda: STARTED)
    recall = {"mean": 0.75, "sd": 0.05, "values": []}
    with store:
        tuned(store, 2, objective={"metric": "val_recall", "direction": "maximize"})
        confirm = store.put_study(study_spec("confirm.choose", space=SPACE), PROVENANCE)
        served = run_trials(store, confirm, range(2), "confirm.choose")[1].spec.key  # another seed of tpe/1
        store.put_final({"study": "tpe", "trial": 1, "key": served, "params": {}, "validation": {}, "test_rows": 1,
                         "test": {"accuracy": 0.9, "recall": 0.7, "f1": 0.8, "intervals": {"recall": [0.6, 0.78]}},
                         "test_digest": "7" * 64, "looks": 1, "budget": 2,
                         "seeds": {"keys": ["a", "b"], "recall": recall, "f1": {**recall, "mean": 0.8}}})  # fmt: skip
        deliver(store, recorder)
    tags, final = recorder.experiment_tags(), by_name(recorder)["final tpe/1"]
    assert "recall 0.7 (95 % 0.6 to 0.78), f1 0.8.** Looks: 1 of 2." in tags[NOTE]
    run = re.match(
        r"[*][*]Scored on 1 test row: \[tpe/1\]\(#/experiments/0/runs/(\w+)\?workflowType=machine_learning\)",
        tags[NOTE],
    )
    assert run is not None
    scores = re.findall(r"^[|] (\w+)&emsp; [|]", final.tags[NOTE], re.MULTILINE)
    assert ["recall", "f1", "accuracy"] == scores
    [trial] = [found.run_id for found in recorder.search("tracker.kind", "trial") if found.name == "tpe/1"]
    assert final.tags[NOTE].startswith(
        f"**[tpe/1](#/experiments/0/runs/{trial}?workflowType=machine_learning) was chosen"
    )
    line = "over 2 seeds, on the same rows (mean ± sd): recall 0.7500 ± 0.0500, f1 0.8000 ± 0.0500."
    assert f"The same configuration {line}" in final.tags[NOTE]
    assert ["metrics.`best_val_recall`", "metrics.`test_recall`"] == state(tags, STUDIES)["selectedColumns"][:2]
    assert "metrics.`test_recall`" == state(tags, FINAL)["selectedColumns"][0]


def test_few_ties_are_told_in_words_that_agree() -> None:
    """Of one other trial it is said whether it can be told apart; where there is none, nothing is."""
    final = {"study": "tpe", "trial": 1, "test_rows": 2}
    said = [
        [line for line in final_note(final, (), Ties(*ties), None).splitlines() if line.startswith("How sure")]
        for ties in ((0, 1), (1, 2), (0, 2), (1, 3))
    ]
    rest = "be told from it on the validation rows."
    assert [[], [f"How sure: the only other trial cannot {rest}"], [f"How sure: the only other trial can {rest}"],
            [f"How sure: 1 of the other 2 trials cannot {rest}"]] == said  # fmt: skip


def test_a_final_note_says_how_sure_a_confirmed_choice_is(tmp_path: Path) -> None:
    """As the terminal: whose ties, and what further seeds gave; of a run that is not the one to be scored, nothing."""
    rows = [{"study": "tpe", "trial": number, "key": f"found {number}"} for number in (4, 1, 2)]
    choice = {"study": "tpe", "trial": 1, "mean": 0.9484, "sd": 0.0127}
    ranking = {"rows": rows, "chosen": rows[1], "indistinguishable": {"trials": rows[1:]}}
    ranking |= {"confirmation": {"seeds": 20, "measured": {"choice": choice}, "served": {"key": "served"}}}
    (tmp_path / "ranking.json").write_text(json.dumps(ranking))
    files = ProjectFiles("table.csv", tmp_path, tmp_path)
    assert (None, None) == (files.ties("found 1"), files.ties("found 4"))
    final = {"study": "tpe", "trial": 1, "test_rows": 2}
    [told] = [line for line in final_note(final, (), files.ties("served"), None).splitlines() if "How sure" in line]
    assert told == (
        "How sure: 2 of the other 2 trials cannot be told from tpe/4, the best as found, on the validation rows. "
        "Confirmed: tpe/1 0.9484 ± 0.0127 (mean ± sd) over 20 more seeds."
    )


def test_the_note_of_an_experiment_begins_with_a_line_of_its_own() -> None:
    """MLflow shows the first lines of it above the table: the score, and nothing that would be cut in half."""
    final = {"study": "tpe", "trial": 1, "test_rows": 2, "looks": 1, "budget": 3}
    first, second, third, fourth, *_ = experiment_note((), final, Ties(1, 3), None).splitlines()
    assert first.startswith("**Scored on 2 test rows: tpe/1")
    assert ["", ""] == [second, fourth]
    assert third.startswith("How sure: 1 of the other 2 trials")
    assert "How sure" not in experiment_note((), final, None, None)


def test_which_data_it_was_is_readable(tmp_path: Path) -> None:
    """Source, rows and classes are params and data sets where the project's files hold these very rows, else digests."""
    splits = {
        "train": {"rows": 341, "classes": {"benign": 213, "malignant": 128}, "digest": DATA["train"]},
        "validation": {"rows": 113, "classes": {"benign": 72, "malignant": 41}, "digest": "0" * 64},
    }
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "manifest.json").write_text(json.dumps({"splits": splits}))
    files = ProjectFiles("data/raw/cells.csv", tmp_path / "splits", tmp_path / "reports")
    recorder, (store, _) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        deliver(store, recorder, files=ProjectFiles.from_words(files.words))
    run = by_name(recorder)["tpe"]
    told = {name: run.params[name] for name in ("data", "training_rows", "classes")}
    assert told == {"data": "data/raw/cells.csv", "training_rows": "341", "classes": "benign, malignant"}
    assert "validation_rows" not in run.params  # the files hold other validation rows than the study saw
    assert [(seen.name, seen.digest, seen.context) for seen in run.inputs.values()] == [
        ("data/raw/cells.csv", DATA["train"], "training"),
        ("validation rows", DATA["validation"], "validation"),
    ]


def test_of_studies_of_one_name_the_last_tuned_is_current(tmp_path: Path) -> None:
    """Its settings changed, a study is another one: the first is marked as superseded until it is tuned again."""
    recorder, clock = MemoryRecorder(), iter(range(1_700_000_000, 1_800_000_000))
    with Store.open(tmp_path, lambda: float(next(clock))) as store:
        store.put_serving(DATA, SERVING)
        first = tuned(store, 2)
        deliver(store, recorder, first)
        second = tuned(store, 2, training={"epochs": 60, "early_stopping": None})
        for compared, wanted in (((second,), second), ((), second), ((first,), first), ((), first)):
            deliver(store, recorder, *compared)
            studies = [run for run in recorder.runs() if run.tags["tracker.kind"] == "study"]
            current = {run.tags["tracker.key"]: run.tags["tracker.current"] for run in studies}
            assert current == {first: str(wanted == first).lower(), second: str(wanted == second).lower()}
            assert wanted in state(recorder.experiment_tags(), "tracker-study-tpe")["searchFilter"]
    assert {"tpe", "tpe [epochs 60]", "tpe/1", "tpe/1 [epochs 60]"} <= set(by_name(recorder))


def test_of_confirmations_that_of_the_present_ranking_is_current(tmp_path: Path) -> None:
    """No tuning names them: the ranking's digests say which, also after it went back to an earlier one or confirms no more."""
    recorder, clock = MemoryRecorder(), iter(range(1_700_000_000, 1_800_000_000))
    files = ProjectFiles("table.csv", tmp_path, tmp_path)
    with Store.open(tmp_path / "store", lambda: float(next(clock))) as store:
        store.put_serving(DATA, SERVING)
        tuned(store, 2)
        keys = []
        for digest_of, epochs in (("1" * 64, 30), ("2" * 64, 60)):
            training = {"epochs": epochs, "early_stopping": None}
            key = store.put_study(study_spec("confirm.measure", training=training), PROVENANCE)
            run_trials(store, key, range(2), "confirm.measure")
            store.finish_study(key, {"number": 1, "value": 0.12, "trials": 2, "digest": digest_of})
            keys.append(key)
            deliver(store, recorder)  # no ranking is known: the first one stays
        for told, wanted in (("2" * 64, keys[1]), ("1" * 64, keys[0]), (None, None), ("2" * 64, keys[1])):
            ranking = {"confirmation": None if told is None else {"digests": {"confirm.measure": told}}, "rows": []}
            (tmp_path / "ranking.json").write_text(json.dumps(ranking))
            with Delivery(store, recorder, "none", files=files) as delivery:
                assert delivery.deliver(None).problem is None  # as sync
            studies = [run for run in recorder.runs() if run.tags["tracker.kind"] == "study"]
            current = {run.tags["tracker.key"] for run in studies if run.tags["tracker.current"] == "true"}
            assert ({wanted} - {None}) == current & set(keys)
            note = recorder.experiment_tags()[NOTE]
            assert ("confirm.measure" in note) == (wanted is not None)


def test_the_folds_of_a_nested_score_are_not_ranked_among_studies(tmp_path: Path) -> None:
    """They saw fewer rows: the first view and the experiment's note leave them out; each keeps its note and its own view."""
    recorder, clock = MemoryRecorder(), iter(range(1_700_000_000, 1_800_000_000))
    with Store.open(tmp_path, lambda: float(next(clock))) as store:
        store.put_serving(DATA, SERVING)
        tuned(store, 2)
        fold = store.put_study(study_spec("nested.tpe.1of5", space=SPACE), PROVENANCE)
        run_trials(store, fold, range(2), "nested.tpe.1of5")
        store.finish_study(fold, {"number": 1, "value": 0.99, "trials": 2, "digest": "e" * 64})
        for _ in range(2):
            with Delivery(store, recorder, "none") as delivery:
                assert delivery.deliver(None).problem is None
            runs, tags = by_name(recorder), recorder.experiment_tags()
            assert [runs[name].tags["tracker.current"] for name in ("tpe", "nested.tpe.1of5")] == ["true", "fold"]
            assert "tags.`tracker.current` = 'true'" == state(tags, STUDIES)["searchFilter"]
            assert ("tpe/1" in tags[NOTE], "nested" in tags[NOTE]) == (True, False)
            assert "nested.tpe.1of5/1" in runs["nested.tpe.1of5"].tags[NOTE]
            assert fold in state(tags, study_view_id("nested.tpe.1of5"))["searchFilter"]


def test_a_name_says_what_settings_differ_in() -> None:
    """One word per setting, and only what changed."""
    first = study_spec()
    assert differences(first, study_spec(data=DATA | {"train": "0" * 64})) == ["other data"]
    assert differences(first, study_spec(generation=8, fixed={"hidden_layers": 1})) == ["units none", "generation 8"]
    assert differences(first, study_spec(objective={"metric": "val_loss", "direction": "minimize"})) == [
        "direction minimize", "metric val_loss",
    ]  # fmt: skip
    assert differences(first, study_spec(space={"units": 1})) == ["other space"]


def test_what_people_changed_stays_theirs(tmp_path: Path) -> None:
    """Notes and views of somebody's own, names, tags and deleted views stay as they are when a study is tuned again."""
    recorder, store = MemoryRecorder(), Store.open(tmp_path, lambda: STARTED)
    with store:
        key = tuned(store, 2)
        deliver(store, recorder, key)
        run = by_name(recorder)["tpe"]
        run.tags |= {NOTE: "mine", "reviewed": "yes"}
        run.name = "my name"
        recorder.tag_experiment(NOTE, "my words")
        recorder.tag_experiment(f"{VIEW}mine", "a view")
        recorder.tag_experiment(f"{VIEW}tracker-studies", "my own studies")
        recorder.tag_experiment(f"{VIEW}tracker-final", "")  # as good as deleted
        before = recorder.experiment_tags()
        run_trials(store, key, [2])
        store.finish_study(key, {"number": 2, "value": 0.22, "trials": 3, "digest": "e" * 64})
        deliver(store, recorder, key)
    changed = {name for name, value in recorder.experiment_tags().items() if before.get(name) != value}
    assert changed <= {SEEDED, f"{VIEW}tracker-study-tpe"}
    assert (run.tags[NOTE], run.tags["reviewed"], run.name) == ("mine", "yes", "my name")
    assert run.tags["tracker.best"] == "tpe/2"


@pytest.mark.parametrize("killed", [False, True], ids=["refused", "killed"])
@pytest.mark.parametrize("answer_lost", [False, True], ids=["not done", "answer lost"])
def test_a_failure_at_any_call_leaves_no_view_or_note_behind(tmp_path: Path, answer_lost: bool, killed: bool) -> None:
    """Whichever call fails: two more deliveries have all views and notes as if nothing had happened."""
    store = Store.open(tmp_path, lambda: STARTED)
    with store:
        tuned(store, 2)
        deliver(store, whole := MemoryRecorder())
        for call in range(whole.calls):
            recorder = MemoryRecorder(f"memory {call}")
            recorder.fail(call, KeyboardInterrupt() if killed else None, answer_lost=answer_lost)
            with contextlib.suppress(KeyboardInterrupt), Delivery(store, recorder, "none") as delivery:
                delivery.deliver()
            for _ in range(2):
                deliver(store, recorder)
            assert without_ids(recorder.experiment_tags()) == without_ids(whole.experiment_tags()), call


def without_ids(tags: Mapping[str, str]) -> dict[str, str]:
    """What people see in the tags of an experiment; ids of runs follow the order in which they were created."""
    return {name: re.sub("runs/[0-9a-f]{32}", "runs/ID", text) for name, text in tags.items() if name != SEEDED}


class _Narrow(MemoryRecorder):
    """A server that takes no views."""

    def tag_experiment(self, name: str, value: str) -> None:
        if name.startswith(VIEW):
            raise TrackingError("memory: the value is too long")
        super().tag_experiment(name, value)


def test_a_server_that_refuses_views_has_the_rest(tmp_path: Path) -> None:
    """Views are decoration: their refusal is no problem, and the note is there."""
    recorder, store = _Narrow(), Store.open(tmp_path, lambda: STARTED)
    with store:
        tuned(store, 2)
        deliver(store, recorder)
    assert "tpe/" not in str([name for name in recorder.experiment_tags() if name.startswith(VIEW)])
    assert NOTE in recorder.experiment_tags()


def test_params_of_an_older_release_stay(tmp_path: Path) -> None:
    """It wrote the sampler as JSON; a param never changes, so the study ends again without it."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path)
    with store:
        deliver(store, recorder)
        old: Found = recorder.search("tracker.key", key)[0]
        recorder._runs[old.run_id].params["sampler"] = '{"name":"tpe"}'
        assert study_run(store, key).params["sampler"] == "tpe"
        run_trials(store, key, range(2))
        store.finish_study(key, {"number": 1, "value": 0.12, "trials": 2, "digest": digest("any", 1)})
        deliver(store, recorder)
    run = by_name(recorder)["tpe"]
    assert (run.status, run.params["sampler"]) == ("FINISHED", '{"name":"tpe"}')
