"""The comparison as a user meets it: one look, recorded first, at the chosen trial and no other."""

from __future__ import annotations

import json
import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from tests.evaluation.project import Project, fit_linear, report, trial, write_study
from tracker.config import Compare
from tracker.errors import DataError, InputError, NotFoundError, SealError, TestLooksSpent
from tracker.evaluation.compare import compare
from tracker.paths import Paths
from tracker.standalone.load import load_model
from tracker.store.store import Store


def edit(path, **entries):
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **entries}))


def test_the_final_report_is_what_scikit_learn_says_of_the_reloaded_model(project):
    """Precision, recall, F1, accuracy and the matrix are those of the model in models/NAME on the sealed rows."""
    final = project.compare().test()
    rows = pd.read_parquet(project.paths.sealed / "test.parquet")
    guess = load_model(project.paths.models / "tpe").predict(rows)["label"]
    assert final.precision == precision_score(rows["kind"], guess, pos_label="spam")
    assert final.recall == recall_score(rows["kind"], guess, pos_label="spam")
    assert final.f1 == f1_score(rows["kind"], guess, pos_label="spam")
    assert final.accuracy == float(np.mean(rows["kind"] == guess))
    assert final.confusion_matrix.loc["ham", "spam"] == int(((rows["kind"] == "ham") & (guess == "spam")).sum())
    low, high = final.interval("f1")
    assert low < final.f1 < high
    assert (final.study, final.trial, final.stale) == ("tpe", 0, False)


def test_the_report_has_the_fixed_names_and_no_times(project):
    """reports/final.json holds what other tools rely on, and nothing that differs between two equal runs."""
    project.compare().test()
    content = project.final()
    fixed = {"study", "trial", "key", "params", "validation", "test", "test_digest", "looks", "stale"}
    scores = {"positive", "average", "precision", "recall", "f1", "accuracy", "support", "confusion_matrix"}
    assert fixed <= set(content)
    assert scores <= set(content["test"])
    assert (content["looks"], content["budget"], content["stale"]) == (1, 1, False)
    assert (content["test"]["positive"], content["test"]["average"]) == ("spam", "binary")
    rows = content["test"]["confusion_matrix"]
    assert content["test"]["support"] == sum(rows[1])
    assert "2027-" not in json.dumps(content)


def test_three_classes_are_averaged(tmp_path):
    """With three classes the scores are means over classes and the report says so."""
    project = Project(Paths.of(tmp_path, {}))
    project.write_table(classes=3)
    project.tune("tpe")
    ranking = project.compare()
    content = ranking.test()
    test = project.final()["test"]
    assert (test["positive"], test["average"], test["support"]) == (None, "macro", content.result["test_rows"])
    assert ranking.interval[0] < ranking.chosen.value < ranking.interval[1]


def test_the_ranking_opens_nothing_sealed(project):
    """Ranking needs no sealed split, no store and no look; it can be had as often as one likes."""
    shutil.rmtree(project.paths.sealed)
    first = project.compare()
    again = (project.paths.reports / "ranking.json").read_bytes()
    assert first == project.compare()
    assert again == (project.paths.reports / "ranking.json").read_bytes()
    assert not project.looks()
    assert not project.paths.store.exists()


def test_the_ranking_says_what_it_cannot_tell_apart(project):
    """Trials inside the chosen one's 95 % interval are listed with the interval; without a model there is none."""
    best = json.loads((project.paths.study_reports / "tpe.json").read_bytes())["trials"][0]["value"]
    write_study(project.paths.study_reports, report("near", [trial(0, best - 0.01), trial(1, 0.1)]))
    assert [(row.study, row.trial) for row in project.compare().indistinguishable] == [("near", 0)]
    shutil.rmtree(project.paths.models)
    assert project.compare().interval is None
    assert json.loads((project.paths.reports / "ranking.json").read_bytes())["indistinguishable"] is None


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss", "train_loss"])
def test_other_objectives_have_an_interval_where_rows_give_one(project, metric):
    """Accuracy and loss have an interval over validation rows; a loss on train rows has none."""
    path = project.paths.study_reports / "tpe.json"
    content = json.loads(path.read_bytes())
    content["objective"] = {"metric": metric, "direction": "maximize"}
    path.write_text(json.dumps(content))
    interval = project.compare().interval
    assert interval is None if metric == "train_loss" else interval[0] < interval[1]


def test_the_look_is_recorded_before_the_split_is_opened(project):
    """When the sealed rows cannot be read the look is already there, and finishing it takes no second one."""
    path = project.paths.sealed / "test.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(DataError):
        project.compare().test()
    assert len(project.looks()) == 1
    path.write_bytes(content)
    assert project.compare().test().looks == 1
    assert len(project.looks()) == 1


def test_no_file_of_the_sealed_split_but_its_manifest_is_opened_before_the_look(project):
    """An audit of every opened file: the look is written and renamed before test.parquet is opened."""
    events = []
    watched = (str(project.paths.root), str(project.paths.home))

    def watch(event, args):
        if events is not None and event in {"open", "os.rename"} and str(args[0]).startswith(watched):
            events.append((event, os.fspath(args[0 if event == "open" else 1])))

    sys.addaudithook(watch)
    project.compare().test()
    seen, events = events, None
    opened = [i for i, (event, path) in enumerate(seen) if event == "open" and path.endswith("test.parquet")]
    recorded = [i for i, (event, path) in enumerate(seen) if event == "os.rename" and "/looks/" in path]
    assert opened
    assert recorded
    assert recorded[0] < opened[0]


def test_a_repeated_run_adds_no_look_and_changes_no_byte(project):
    """The same candidate again: one look, the same reports byte for byte, one `final` run for MLflow."""
    project.compare().test()
    names = ("final.json", "ranking.json", "confusion.csv")
    before = [(project.paths.reports / name).read_bytes() for name in names]
    project.compare().test()
    assert before == [(project.paths.reports / name).read_bytes() for name in names]
    assert len(project.looks()) == 1
    with Store.open(project.paths.store) as store:
        assert len(store.finals()) == 1


def test_a_spent_budget_repeats_the_last_result_marked_stale(project):
    """Another candidate on a spent budget: unchanged numbers, marked stale, with what changed and the remedy."""
    first = project.compare().test()
    project.tune("tpe", "better")
    ranking = project.compare()
    stale = ranking.test(or_stale=True)
    content = project.final()
    assert (content["stale"], content["looks"], content["test"]) == (True, 1, dict(first.result["test"]))
    because = content["stale_because"]
    assert because["chosen"]["key"] == ranking.chosen.key
    assert because["changed"]["params.learning_rate"] == {"scored": 0.0, "chosen": 6.0}
    assert because["looks_taken"][0]["candidate"] == first.result["candidate"]
    assert "compare.test_looks in params.yaml to 2" in because["remedy"]
    assert "tpe/0 on 2027-01-15T09:00:00Z by ada" in stale.message
    assert len(project.looks()) == 1
    assert "2027-" not in json.dumps(content)


def test_in_a_notebook_a_spent_budget_raises(project):
    """`ranking.test()` raises TestLooksSpent rather than give the numbers of another trial."""
    project.compare().test()
    project.tune("tpe", "better")
    with pytest.raises(TestLooksSpent, match="raise compare"):
        project.compare().test()


def test_a_raised_budget_is_used_and_shown(project):
    """With `test_looks: 2` a second candidate is scored; the report says 2 looks of 2."""
    project.compare().test()
    project.tune("tpe", "better", units=5)
    final = project.compare(looks=2).test(or_stale=True)
    assert (final.stale, final.looks, final.budget) == (False, 2, 2)
    assert len({json.loads(path.read_bytes())["candidate"] for path in project.looks()}) == 2


def test_going_back_to_a_scored_candidate_takes_no_look(project):
    """A candidate that was scored once can be scored again after another was chosen, on a spent budget."""
    first = project.compare().test()
    project.tune("tpe", "better")
    project.compare().test(or_stale=True)
    project.tune("tpe")
    again = project.compare().test(or_stale=True)
    assert (again.stale, again.result) == (False, first.result)


def test_a_look_without_a_result_is_finished_only_by_its_own_candidate(project):
    """After a crash between look and result another candidate gets TestLooksSpent, no stale numbers of nothing."""
    path = project.paths.sealed / "test.parquet"
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(DataError):
        project.compare().test()
    path.write_bytes(content)
    project.tune("tpe", "better")
    with pytest.raises(TestLooksSpent, match="takes no further look"):
        project.compare().test(or_stale=True)


def test_appended_rows_buy_no_look(project):
    """New data behind the old rows: the candidate is another one, the old test rows are seen, so it is stale."""
    project.compare().test()
    before = project.final()
    project.write_table(extra=40)
    project.tune("tpe")
    final = project.compare().test(or_stale=True)
    assert (final.stale, final.result["test"]) == (True, before["test"])
    assert final.stale_because["changed"]["test_digest"]["scored"] == before["test_digest"]


def test_stale_works_in_a_fresh_clone(project, tmp_path):
    """What git carries (reports/looks with its results) is enough to repeat the last result without the store."""
    first = project.compare().test()
    lines = (project.paths.reports / "final.json").read_text().splitlines()
    shutil.rmtree(project.paths.store)
    (project.paths.reports / "final.json").unlink()
    project.tune("tpe", "better")
    assert project.compare().test(or_stale=True).result == first.result
    told = (project.paths.reports / "final.json").read_text().splitlines()
    start = told.index(lines[1])  # what is not scored stands before
    result = lines[1 : lines.index('  "stale": false,')]
    assert told[start : start + len(result)] == result


def test_a_look_in_a_temporary_workspace_counts_at_home(project, tmp_path):
    """Under `dvc exp run --temp` looks, results and store go to the folder DVC came from."""
    root = tmp_path / "workspace"
    shutil.copytree(project.paths.root, root)
    away = Project(Paths.of(root, {"DVC_ROOT": str(project.paths.root)}))
    away.tune("tpe", "better")
    away.compare().test()
    assert (root / "reports" / "final.json").exists()
    assert not (root / "reports" / "looks").exists()
    assert project.compare().test(or_stale=True).stale


@pytest.mark.parametrize("entry", ["key", "weights"])
def test_a_model_that_is_not_the_chosen_trials_is_refused(project, entry):
    """model.json of another trial, or of other weights, is refused before a look is taken."""
    edit(project.paths.models / "tpe" / "model.json", **{entry: "0" * 64})
    with pytest.raises(SealError, match="run `tracker run`"):
        project.compare().test()
    assert not project.looks()


def test_other_weights_are_refused(project):
    """One flipped bit in the weights file is refused, also where model.json was made to agree."""
    from tracker.canonical import digest_file

    path = project.paths.models / "tpe" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SealError, match="expected weights"):
        project.compare().test()
    edit(path.with_name("model.json"), weights=digest_file(path))
    with pytest.raises(SealError, match="expected weights"):
        project.compare().test()
    assert not project.looks()


def test_a_model_that_scores_otherwise_on_validation_is_refused(project):
    """Altered preprocessing passes every digest but not the validation scores, and costs no look."""
    path = project.paths.models / "tpe" / "model.json"
    content = json.loads(path.read_bytes())
    for column in content["preprocessing"]["columns"]:
        column["center"] += 3.0
    path.write_text(json.dumps(content))
    with pytest.raises(SealError, match="val_accuracy"):
        project.compare().test()
    assert not project.looks()


def test_swapped_labels_are_refused(project):
    """A model whose class names or positive class are not the split's is refused."""
    edit(project.paths.models / "tpe" / "model.json", positive="ham")
    with pytest.raises(SealError, match="other classes"):
        project.compare().test()


@pytest.mark.parametrize("content", ["", "{}", '{"key": 1}'])
def test_a_broken_model_folder_is_named(project, content):
    """A model folder that cannot be opened is an error with a remedy, not a traceback."""
    (project.paths.models / "tpe" / "model.json").write_text(content)
    with pytest.raises((SealError, InputError), match="run `tracker run`"):
        project.compare().test()


def test_a_sealed_split_of_other_data_is_refused(project, tmp_path):
    """Sealed rows that were not split together with train and validation are refused."""
    other = Project(Paths.of(tmp_path / "other", {}))
    other.paths.root.mkdir()
    other.write_table(rows=200)
    shutil.rmtree(project.paths.sealed)
    shutil.copytree(other.paths.sealed, project.paths.sealed)
    with pytest.raises(SealError, match="not of one split"):
        project.compare().test()
    assert not project.looks()


def test_a_ranking_that_changed_meanwhile_is_made_again(project):
    """Between `compare` and `test` a better trial arrived: nothing is scored that the user did not see chosen."""
    ranking = project.compare()
    project.tune("grid", "better")
    with pytest.raises(InputError, match="is chosen by now"):
        ranking.test()


def test_no_look_before_every_study_has_run(project):
    """The only look is not spent while a declared study has no report; the ranking says which."""
    ranking = project.compare(studies=["tpe", "grid"])
    assert ranking.missing == ("grid",)
    with pytest.raises(InputError, match="missing: grid"):
        ranking.test()
    assert not project.looks()


def test_without_reports_there_is_nothing_to_compare(tmp_path):
    """A project that was never tuned says so."""
    with pytest.raises(NotFoundError, match="run `tracker run`"):
        Project(Paths.of(tmp_path, {})).compare()


def test_the_confusion_file_has_a_line_per_test_row(project):
    """confusion.csv is what `dvc plots` counts: actual and predicted per row, in no order that tells rows apart."""
    final = project.compare().test()
    cells = pd.read_csv(project.paths.reports / "confusion.csv")
    assert (
        pd.crosstab(cells["actual"], cells["predicted"]).to_numpy().tolist()
        == final.confusion_matrix.to_numpy().tolist()
    )
    assert len(cells) == final.result["test_rows"]


def test_test_bytes_decide_nothing_that_was_chosen(project):
    """Other labels in the test split leave ranking and choice as they are; only the final scores move."""
    before = project.compare()
    first = before.test()
    project.correct_labels()
    project.tune("tpe")
    after = project.compare()
    assert [(row.trial, row.key, row.weights, row.value) for row in before.rows] == [
        (row.trial, row.key, row.weights, row.value) for row in after.rows
    ]
    assert after.test().f1 != first.f1


def test_rows_with_corrected_labels_are_looked_at_anew(project):
    """A label corrected in the test split: the same candidate and rows, no further count, and a look file of its own."""
    project.compare().test()
    project.correct_labels()
    final = project.compare().test()
    looks = [json.loads(path.read_bytes()) for path in project.looks()]
    assert (False, 1) == (final.stale, final.looks)
    assert (1, 1, 2) == tuple(len({look[name] for look in looks}) for name in ("candidate", "rows", "test_digest"))
    assert final.result["test_digest"] in {look["test_digest"] for look in looks}


def test_sealed_rows_that_are_exchanged_after_the_look_are_refused(project):
    """Rows that are written anew between the look and the opening are not scored, though they are whole."""
    other = Project(Paths.of(shutil.copytree(project.paths.root, project.paths.root.parent / "other"), {}))
    other.correct_labels()

    def exchange() -> float:
        shutil.rmtree(project.paths.sealed)
        shutil.copytree(other.paths.sealed, project.paths.sealed)
        return 1_800_000_000.0

    ranking = compare(project.paths, Compare(test_looks=1), clock=exchange)
    with pytest.raises(SealError, match="was written anew while a look was recorded"):
        ranking.test()
    assert 1 == len(project.looks())
    assert not (project.paths.looks / "results").exists()


@pytest.mark.parametrize("units", [range(6), range(5, -1, -1)], ids=["up", "down"])
def test_a_spent_budget_repeats_the_last_of_several_results(project, units):
    """Look after look, then another choice: what is repeated is the result of the latest look, whatever its digest."""
    for count, unit in enumerate(units, start=1):
        project.tune("tpe", "better", units=unit)
        last = project.compare(looks=count).test()
        project.tune("tpe", "another")
        stale = project.compare(looks=count).test(or_stale=True)
        assert (True, last.result, count) == (stale.stale, stale.result, stale.looks)
        taken = [look["candidate"] for look in stale.stale_because["looks_taken"]]
        assert (count, last.result["candidate"]) == (len(taken), taken[-1])


def test_a_raised_budget_queues_no_second_run(project):
    """The result of one trial is one `final` run in MLflow, though each report of it tells another budget."""
    for looks in (1, 2, 3, 1):
        assert looks == project.compare(looks).test().budget
    with Store.open(project.paths.store) as store:
        assert ["final"] == [item.kind for item in store.items()]


def test_the_fixture_learns_something():
    """The linear model of these tests separates separable rows, so that scores are not chance."""
    x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    tensors = fit_linear(x, (x[:, 0] > 0).astype(int), 2, 100)
    assert ((x @ tensors["output.weight"].T + tensors["output.bias"]).argmax(axis=1) == (x[:, 0] > 0)).all()


def test_no_look_is_spent_on_rows_of_before_a_change(project):
    """A table that changed since it was split takes no look, unless that is wanted; what was scored is repeated."""
    with (project.paths.root / "table.csv").open("a") as file:
        file.write("999,0.1,0.2,0.3,ham\n")
    with pytest.raises(InputError, match=r"table\.csv is another file than the one that was prepared; run .*--anyway"):
        project.compare().test()
    assert [] == project.looks()
    assert 1 == project.compare().test(anyway=True).looks
    assert 1 == project.compare().test().looks
