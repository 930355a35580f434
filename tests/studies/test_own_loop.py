"""Studies over a loop of the user's own keep every promise that studies of our own families keep."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pandas as pd
import pytest

import tracker
from tests.studies.loops import COST, NETWORK, PARAMS, SMALL, LoopProject
from tests.studies.project import Shuffled
from tracker.errors import ConfigError, InputError, NotFoundError
from tracker.execution.executor import InlineExecutor
from tracker.execution.trainer import Segment
from tracker.families.own_code import code_from
from tracker.standalone.load import load_model
from tracker.store.store import Store
from tracker.studies.adopt import adopt_studies
from tracker.studies.derived_model import derive_model
from tracker.terminal.forecast import forecast
from tracker.tracking.run_contents import trial_run
from tracker.tracking.run_models import RunModels

SLOW = """
import time

def fit(hyperparameters, train, validation, seed):
    time.sleep(0.15)
    yield {"cost": seed % 1000}
"""
RAISES = """
def fit(hyperparameters, train, validation, seed):
    yield {"cost": 1.0}
    if hyperparameters["rate"] > 0.25:
        raise ValueError("too fast")
    yield {"cost": 0.5}
"""


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> LoopProject:
    """A project with a pure objective; only for tests that write nothing into it."""
    return LoopProject.with_loop(tmp_path_factory.mktemp("cheap") / "project", COST)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> LoopProject:
    """A tuned project whose loop trains a network in a file of its own; only for tests that write nothing into it."""
    project = LoopProject.with_loop(tmp_path_factory.mktemp("deep") / "project", NETWORK, nets__small=SMALL)
    for name in ("random", "manual"):
        tracker.tune(project.config, name, project=project.here, deliver=False)
    return project


@pytest.mark.parametrize("study", ["manual", "random", "tpe"])
def test_workers_and_order_do_not_matter(cheap: LoopProject, tmp_path: Path, study: str) -> None:
    """One process, three processes and another order of completion give one digest."""
    plan = cheap.plan(study)
    one = cheap.run(plan, tmp_path / "one", cheap.executor())
    three = cheap.run(plan, tmp_path / "three", cheap.executor(3))
    turned = cheap.run(plan, tmp_path / "turned", Shuffled(cheap.executor(), 3))
    assert {one.digest} == {three.digest, turned.digest}
    assert {"complete"} == {trial.outcome.state for trial in one.trials}
    assert one.best is not None
    assert min(trial.value for trial in one.trials) == one.best.value


def test_replay_and_extension(cheap: LoopProject, tmp_path: Path) -> None:
    """A longer study runs the new trials alone, and equals one that was long from the start."""
    few = cheap.run(cheap.plan("tpe", studies__tpe__trials=6), tmp_path / "store", cheap.executor())
    more = cheap.run(cheap.plan("tpe"), tmp_path / "store", cheap.executor())
    fresh = cheap.run(cheap.plan("tpe"), tmp_path / "fresh", cheap.executor())
    assert (0, 6) == (few.replayed, more.replayed)
    assert fresh.digest == more.digest


def test_names_are_free_and_values_typed_as_they_are_written(cheap: LoopProject, tmp_path: Path) -> None:
    """Ranges with a fraction hold fractions, others whole numbers; conditions hold; manual studies may add names."""
    result = cheap.run(cheap.plan("random"), tmp_path / "store", cheap.executor())
    params = [trial.spec.params for trial in result.trials]
    assert {float} == {type(p["rate"]) for p in params}
    assert {"plain"} == {p["name"] for p in params}
    assert {4, 8} == {p["width"] for p in params}
    assert all(("depth" in p) == (p["width"] == 8) for p in params)
    assert {int} == {type(p["depth"]) for p in params if "depth" in p}
    manual = [spec.params for spec in cheap.specs("manual")]
    assert [
        {"rate": 0.25, "width": 4, "name": "plain"},
        {"rate": 0.5, "extra": 3, "width": 4, "name": "plain"},
    ] == manual


def test_a_byte_of_the_code_is_in_every_key(cheap: LoopProject, tmp_path: Path) -> None:
    """Another byte, in the entry's file or in one that it imports, is another study, trial and candidate."""
    project = cheap.copy(tmp_path / "project")
    root, before = project.paths.root, project.specs("random")
    (root / "loop.py").write_text(f"{COST}#")
    edited = project.specs("random")
    (root / "extra.py").write_text("")
    (root / "loop.py").write_text(f"import extra\n{COST}")
    imported = project.specs("random")
    (root / "extra.py").write_text("#")
    changed = project.specs("random")
    groups = [before, edited, imported, changed]
    assert 4 * 12 == len({spec.key for group in groups for spec in group})
    assert 4 * 12 == len({spec.candidate for group in groups for spec in group})
    assert [{"entry", "loop.py"}] * 2 + [{"entry", "loop.py", "extra.py"}] * 2 == [set(g[0].code) for g in groups]


@pytest.mark.parametrize("workers", [1, 2])
def test_code_that_changes_while_a_study_runs_ends_it(cheap: LoopProject, tmp_path: Path, workers: int) -> None:
    """No outcome of other code is stored under the key of the old one, and no trial is to blame."""
    project = cheap.copy(tmp_path / "project")
    plan = project.plan("random")
    (project.paths.root / "loop.py").write_text(f"{COST}#")
    with pytest.raises(ConfigError, match=r"^loop\.py: changed since the study began"):
        project.run(plan, executor=project.executor(workers))
    with Store.open(project.paths.store) as store:
        assert {} == store.outcomes([spec.key for spec in project.specs("random")])


def test_an_executor_without_the_folder_says_so(cheap: LoopProject, tmp_path: Path) -> None:
    """Code can only be found beside params.yaml."""
    with pytest.raises(ConfigError, match="needs the folder of params"):
        cheap.run(cheap.plan("random"), tmp_path / "store", InlineExecutor(cheap.data))


def test_a_trial_that_raises_has_failed_and_the_others_go_on(cheap: LoopProject, tmp_path: Path) -> None:
    """The reason is the exception's; what was yielded before is kept."""
    project = cheap.copy(tmp_path / "project")
    (project.paths.root / "loop.py").write_text(RAISES)
    result = project.run(project.plan("random"), executor=project.executor(2))
    states = {trial.outcome.state: trial.outcome for trial in result.trials}
    assert {"complete", "failed"} == set(states)
    assert ("ValueError: too fast", 1) == (states["failed"].reason, states["failed"].epochs)
    assert ({"cost": 0.5}, 2) == (states["complete"].metrics, states["complete"].best_epoch)


@pytest.mark.parametrize("workers", [1, 2])
def test_slow_trials_come_back_one_by_one(cheap: LoopProject, tmp_path: Path, workers: int) -> None:
    """A hand-out returns what it has after a moment, so that little is lost when it is killed; the rest is shared out."""
    project = cheap.copy(tmp_path / "project")
    (project.paths.root / "loop.py").write_text(SLOW)
    executor = project.executor(workers)
    try:
        batches = [len(batch) for batch in executor.run(list(map(Segment, project.specs("random"))))]
    finally:
        executor.close()
    assert (12, 2) == (sum(batches), max(batches))


def test_a_misspelt_objective_is_found_at_once(cheap: LoopProject, tmp_path: Path) -> None:
    """The message lists what there is; once it is mended, the finished trials are taken from the store."""
    with pytest.raises(ConfigError, match=r"objective.metric: trial random/\d+ has no kost; it has cost"):
        cheap.run(cheap.plan("random", objective__metric="kost"), tmp_path / "store", cheap.executor())
    assert 0 < cheap.run(cheap.plan("random"), tmp_path / "store", cheap.executor()).replayed


def test_check_says_what_would_run(deep: LoopProject) -> None:
    """The forecast reads the loop, counts the trials, and says that it cannot know how long they take."""
    lines = list(forecast(deep.config, deep.paths))
    assert any("how long loop:fit takes is not known" in line for line in lines)
    assert any(line.startswith("26 trials") for line in lines)


def test_reports_and_curves_hold_what_was_yielded(cheap: LoopProject, tmp_path: Path) -> None:
    """The best trial's curve has a column for each metric of the user's own; no model, no model folder but the records."""
    project = cheap.copy(tmp_path / "project")
    tracker.tune(project.config, "random", project=project.here, deliver=False)
    written = project.written()
    assert {"models/random/trials.jsonl", "reports/curves/random.csv", "reports/studies/random.json"} == set(written)
    header, row = written["reports/curves/random.csv"].decode().splitlines()
    assert "epoch,train_loss,val_loss,cost" == header
    assert row.startswith("1,,,0.")


def test_without_a_model_trials_are_ranked_but_not_tested(cheap: LoopProject, tmp_path: Path) -> None:
    """The refusal says why, and no look is spent."""
    project = cheap.copy(tmp_path / "project")
    config = project.config.with_("studies", {"random": {"sampler": "random", "trials": 5}})
    tracker.tune(config, "random", project=project.here, deliver=False)
    ranking = tracker.compare(config, project.here)
    assert 5 == len(ranking.table)
    assert ranking.table["value"].is_monotonic_increasing
    with pytest.raises(InputError, match="has no model to score on the test split: its loop returned none"):
        ranking.test()
    assert not list(project.paths.looks.glob("*.json"))


@pytest.fixture
def compared(deep: LoopProject, tmp_path: Path) -> LoopProject:
    """A copy of the tuned project with the studies that have run."""
    project = deep.copy(tmp_path / "compared")
    project.config = project.config.with_("studies", {name: {**_study(deep, name)} for name in ("manual", "random")})
    return project


def _study(project: LoopProject, name: str) -> dict[str, object]:
    dumped: dict[str, object] = project.config.studies[name].model_dump(exclude_unset=True)
    return dumped


def test_the_chosen_loop_is_scored_on_the_test_split(compared: LoopProject) -> None:
    """From the loop to final.json: the recorded code runs again, the recorded weights go in, one look is taken."""
    ranking = tracker.compare(compared.config, compared.here)
    final = ranking.test()
    assert 0.5 < final.accuracy <= 1.0
    assert 1 == len(list(compared.paths.looks.glob("*.json")))
    report = json.loads((compared.paths.reports / "final.json").read_text())
    assert ranking.chosen.key == report["key"]
    assert "trusted" not in report


@pytest.mark.parametrize("there", [True, False], ids=["another file", "no file"])
def test_recorded_code_that_is_not_the_code_here_runs_only_where_it_is_trusted(
    compared: LoopProject, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """compare, load_model and a trial's load name the file and the digest, and run nothing; trusted, the result says so."""
    mark, loop = compared.paths.root / "MARK", compared.paths.root / "loop.py"
    study = tracker.tune(compared.config, "random", project=compared.here, deliver=False)
    monkeypatch.chdir(compared.paths.root)
    loop.write_text(f"open({str(mark)!r}, 'w')\n") if there else loop.unlink()
    monkeypatch.setattr("tracker.standalone.own_code.OwnCode.load", lambda _: mark.touch())
    opened = (
        lambda trust=None: tracker.compare(compared.config, compared.here, trust=trust),
        lambda trust=None: tracker.load_model("models/random", trust=trust),
        lambda trust=None: study.best_trial.load(trust=trust),
    )
    if there:  # studies of other code are not ranked at all
        with pytest.raises(tracker.NotFoundError, match="your own code changed"):
            opened[0]()
    for opening in opened[there:]:
        with pytest.raises(tracker.CodeNotTrusted, match=r"loop\.py.*not run.*--trust [0-9a-f]{64}") as told:
            opening()
        with pytest.raises(tracker.CodeNotTrusted, match=r"\(given: 0{64}\)"):
            opening("0" * 64)
    assert not mark.exists()
    monkeypatch.undo()
    found = re.search(r"--trust ([0-9a-f]{64})", str(told.value))
    assert found is not None
    if there:
        return
    ranking = tracker.compare(compared.config, compared.here, trust=found[1])
    ranking.test()
    assert found[1] == json.loads((compared.paths.reports / "final.json").read_text())["trusted"]
    assert not mark.exists()


def test_a_model_with_other_code_or_weights_is_refused(compared: LoopProject) -> None:
    """Whatever of a model folder is altered, the test split stays closed."""
    chosen = tracker.compare(compared.config, compared.here).chosen
    path = compared.paths.models / chosen.study / "model.json"
    original = json.loads(path.read_text())
    other = {**original["code"], "loop.py": original["code"]["loop.py"] + "#"}
    agreeing = {**original["spec"], "code": dict(code_from("loop:fit", other).identity)}
    altered = [
        {"code": {}},
        {"code": other},
        {"code": other, "spec": agreeing},
        {"spec": {**original["spec"], "seed": 1}},
    ]
    for changes in altered:
        derive_model.cache_clear()
        path.write_text(json.dumps(original | changes))
        with pytest.raises(tracker.TrackerError, match=r"tracker run|beside params"):
            tracker.compare(compared.config, compared.here).test()
    assert not list(compared.paths.looks.glob("*.json"))


def test_a_study_that_came_with_a_pulled_cache(deep: LoopProject, tmp_path: Path) -> None:
    """Its records go back into an empty store, the code of its best trial with them."""
    with Store.open(tmp_path / "store") as store:
        assert ["manual", "random"] == sorted(adopt_studies(deep.paths.models, store, {}, lambda: 1.0))
        best = json.loads((deep.paths.models / "random" / "model.json").read_text())
        assert {"loop.py", "nets/__init__.py", "nets/small.py"} == set(store.provenance(best["key"])["code"])


def test_a_trial_of_a_notebook_predicts(deep: LoopProject) -> None:
    """Its model is trained again from the records; raw rows in, labels and probabilities out, as accurate as recorded."""
    trial = tracker.tune(deep.config, "manual", project=deep.here, deliver=False).best_trial
    rows = deep.rows("validation")
    found = trial.predict(rows)
    assert ["label", "probability_ham", "probability_spam"] == list(found.columns)
    assert (found["label"] == rows["kind"]).mean() == trial.metrics["val_accuracy"]
    assert not trial.load().training


def test_a_trial_without_a_model_says_so(cheap: LoopProject, tmp_path: Path) -> None:
    """There is nothing to load where the loop returned nothing."""
    project = cheap.copy(tmp_path / "project")
    trial = tracker.tune(project.config, "manual", project=project.here, deliver=False).best_trial
    with pytest.raises(NotFoundError, match="has no model: its loop returned none"):
        trial.load()


def test_records_hold_the_code(deep: LoopProject) -> None:
    """Every trial's provenance has the text of each file whose digest is in its key."""
    report = json.loads((deep.paths.study_reports / "manual.json").read_text())
    with Store.open(deep.paths.store) as store:
        texts = [store.provenance(trial["key"])["code"] for trial in report["trials"]]
        code = store.spec(report["trials"][0]["key"]).code
    assert [{"loop.py": NETWORK, "nets/__init__.py": "", "nets/small.py": SMALL}] * 2 == texts
    assert {"entry", *texts[0]} == set(code)


def test_what_mlflow_gets(deep: LoopProject, tmp_path: Path) -> None:
    """Parameters of any name, curves of every metric, and the run's model: weights, spec and code, which open alone."""
    report = json.loads((deep.paths.study_reports / "manual.json").read_text())
    with Store.open(deep.paths.store) as store:
        run = trial_run(store, report["key"], 1)
        RunModels(store, "all", tmp_path).write(tmp_path / "model", report["key"], 1, "run")
    assert {"epochs": "3", "extra": "3", "name": "plain", "rate": "0.5", "width": "4"}.items() <= run.params.items()
    assert [1, 2, 3] == [point.step for point in run.points if point.name == "cost"]
    assert "best_val_f1" in {point.name for point in run.points}
    folder = tmp_path / "model"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "data/model/model.json", "data/model/weights.safetensors"} <= files
    assert SMALL == json.loads((folder / "data/model/model.json").read_text())["code"]["nets/small.py"]
    trial = tracker.tune(deep.config, "manual", project=deep.here, deliver=False).trials[1]
    pd.testing.assert_frame_equal(trial.predict(deep.rows()), load_model(folder / "data/model").predict(deep.rows()))


def test_our_own_families_have_no_code(small_project) -> None:
    """Keys of families without code of the user's own hold an empty mapping."""
    assert {} == small_project.plan("random").spec.code
    spec = small_project.specs("manual")[0]
    assert {} == spec.code
    assert spec.key != dataclasses.replace(spec, code={"entry": "loop:fit"}).key


def test_a_plan_needs_the_code_of_a_family_that_has_such() -> None:
    """A key that names no code would be the same for any."""
    from tests.studies.project import make_config
    from tracker.studies.plan import Basis, plan_study

    with pytest.raises(ValueError, match="family function, entry loop:fit"):
        plan_study(make_config(PARAMS), "random", Basis({}, "e"))
