"""What `runs`, `show` and the end of `make repro` say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import PARAMS, SmallProject, make_table
from tracker.errors import InputError, NotFoundError
from tracker.paths import Paths
from tracker.terminal.chosen_columns import usual_columns
from tracker.terminal.leaderboard import (
    closing_lines,
    describe_trial,
    leaderboard,
    notes_of,
    read_reports,
    read_trial,
    shown_params,
    sparkline,
)
from tracker.terminal.show_earlier import read_confirming
from tracker.terminal.show_study import read_study_shown


def row(number: int, value: float | None, **more: Any) -> dict[str, Any]:
    """A trial of a report."""
    state = "failed" if value is None else "complete"
    metrics = {} if value is None else {"val_loss": 1 - value, "val_f1": value}
    return {"number": number, "state": state, "value": value, "metrics": metrics, "params": {"units": 8}} | more


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Two studies with a tie, a failure and widths per layer."""
    folder = tmp_path / "reports" / "studies"
    folder.mkdir(parents=True)
    tpe = [row(0, 0.7), row(1, None, reason="diverged"), row(2, 0.9, params={"units": [16, 8]}), row(3, 0.7)]
    grid = [row(0, 0.8, params={"units": 4, "momentum": 0.5}), row(1, 0.7)]
    for name, trials in {"tpe": tpe, "grid": grid}.items():
        objective = {"metric": "val_f1", "direction": "maximize"}
        content = {"study": name, "objective": objective, "trials": trials}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def order(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['study']}/{row['trial']}" for row in rows]


def test_the_best_come_first_and_the_failed_last(reports: Path) -> None:
    """By value: highest first, ties in the order of studies and numbers, trials without a value at the end."""
    assert ["tpe/2", "grid/0", "grid/1", "tpe/0", "tpe/3", "tpe/1"] == order(leaderboard(reports, None, "value"))
    assert ["tpe/2", "grid/0", "grid/1", "tpe/0", "tpe/3", "tpe/1"] == order(leaderboard(reports, None, "val_f1"))
    assert ["tpe/2", "tpe/0", "tpe/3", "tpe/1"] == order(leaderboard(reports, "tpe", "value"))


def test_a_failed_trial_says_why(reports: Path) -> None:
    """A list has the reason of each trial that has no value, short in a table; without failures there is no such column."""
    path = reports / "tpe.json"
    path.write_text(path.read_text().replace("diverged", "x" * 70))
    assert [None] * 3 + ["x" * 59 + "…"] == [row.get("reason") for row in leaderboard(reports, "tpe", "value")]
    assert "x" * 70 == leaderboard(reports, "tpe", "value", whole=True)[-1]["reason"]
    assert {False} == {"reason" in row for row in leaderboard(reports, "grid", "value")}


def test_a_loss_rises(reports: Path) -> None:
    """The lowest loss is the best."""
    assert ["tpe/2", "grid/0", "grid/1", "tpe/0", "tpe/3", "tpe/1"] == order(leaderboard(reports, None, "val_loss"))
    path = reports / "grid.json"
    path.write_text(path.read_text().replace("maximize", "minimize"))
    assert ["grid/1", "grid/0"] == order(leaderboard(reports, "grid", "value"))


def test_a_loss_of_a_loop_of_ones_own_rises(reports: Path) -> None:
    """Whatever a loop yields whose name ends with loss is best where it is lowest; what is no finite number comes last."""
    path = reports / "grid.json"
    content = json.loads(path.read_text())
    yielded = [{"loss": 0.5}, {"loss": 0.2}, {"loss": float("nan")}, {"loss": 0.3}, {}]
    content["trials"] = [row(number, 0.7, metrics=metrics) for number, metrics in enumerate(yielded)]
    path.write_text(json.dumps(content))
    assert ["grid/1", "grid/3", "grid/0", "grid/2", "grid/4"] == order(leaderboard(reports, "grid", "loss"))


def test_hyperparameters_rise_whatever_they_are(reports: Path) -> None:
    """By a hyperparameter: ascending, widths per layer behind single ones, trials that lack it at the end."""
    assert ["grid/0", "grid/1", "tpe/0", "tpe/1", "tpe/3", "tpe/2"] == order(leaderboard(reports, None, "units"))
    assert "grid/0" == order(leaderboard(reports, None, "momentum"))[0]


def test_a_neutral_value_that_a_record_leaves_out_is_shown(reports: Path) -> None:
    """Where one trial names `augment_shift`, another that leaves it out had 0 of it; without one nothing is added."""
    assert {False} == {"augment_shift" in row for row in leaderboard(reports, None, "value")}
    told = json.loads((reports / "tpe.json").read_text())
    told["trials"][0]["params"]["augment_shift"] = 2
    told["trials"][2]["params"]["optimizer"] = "adam"
    told["trials"][2]["key"] = "0" * 64
    told["trials"][3]["params"] |= {"nesterov": True, "optimizer": "sgd"}
    (reports / "tpe.json").write_text(json.dumps(told))
    rows = {f"{row['study']}/{row['trial']}": row for row in leaderboard(reports, None, "value")}
    assert {"grid/0": 0, "grid/1": 0, "tpe/0": 2, "tpe/1": 0, "tpe/2": 0, "tpe/3": 0} == {
        name: row["augment_shift"] for name, row in rows.items()
    }
    assert "nesterov" not in rows["tpe/2"]
    assert 0 == read_trial(Paths.of(reports.parents[1], {}), "tpe/2")["params"]["augment_shift"]


def test_what_cannot_be_listed_is_said(reports: Path) -> None:
    """Unknown names, unknown columns and files that are no reports are faults of the input."""
    with pytest.raises(InputError, match="nothing is called 'val_f2'; there are study, trial, state, value"):
        leaderboard(reports, None, "val_f2")
    with pytest.raises(NotFoundError, match=r"no report of bayes in .* \(there: grid, tpe\)"):
        leaderboard(reports, "bayes", "value")
    with pytest.raises(NotFoundError, match=r"no report of \.\./final"):
        leaderboard(reports, "../final", "value")
    with pytest.raises(NotFoundError, match=r"no report of any study .* \(there: none yet\)"):
        leaderboard(reports / "nowhere", None, "value")
    for content, message in (("{", "not a sound report"), ("[]", "expected entries, found list")):
        (reports / "grid.json").write_text(content)
        with pytest.raises(InputError, match=message):
            leaderboard(reports, None, "value")


def test_what_params_yaml_writes_at_its_neutral_value_is_shown(tmp_path: Path) -> None:
    """A record does not name it, and no other trial does: it was used all the same, fixed or searched."""
    text = PARAMS.replace("units: 8,", "units: 8, label_smoothing: 0.0,")
    project = SmallProject.made(tmp_path / "project", make_table(), text)
    for name in ("manual", "grid"):
        project.report(project.run(project.plan(name)))
    assert "label_smoothing" not in project.plan("manual").spec.fixed
    rows = leaderboard(project.paths.study_reports, "manual", "value")
    assert [0.0] * 3 == [row["label_smoothing"] for row in rows]
    assert 0.0 == read_trial(project.paths, "manual/0")["params"]["label_smoothing"]
    reports = read_reports(project.paths.study_reports)
    named = shown_params(reports, project.paths.root)
    assert "label_smoothing" in named
    assert "label_smoothing" not in usual_columns(rows, reports, named)  # all have it alike
    searched = text.replace("grid, search_space: {", "grid, search_space: {gradient_clip: [0.0], ")
    project.paths.params.write_text(searched)
    assert {"gradient_clip", "label_smoothing"} <= set(read_trial(project.paths, "grid/0")["params"])


@pytest.mark.parametrize("place", ["tpe", "tpe/", "/3", "tpe/x", "tpe/-1", "tpe/²", ""])
def test_a_trial_is_named_by_study_and_number(reports: Path, place: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(InputError, match="expected STUDY/NUMBER, for example tpe/42, or final; found"):
        read_trial(Paths.of(reports.parents[1], {}), place)


def test_a_trial_that_is_not_there(reports: Path) -> None:
    """The message says which numbers there are."""
    with pytest.raises(NotFoundError, match=r"nor reports/confirm/confirm\.refit/trials\.jsonl"):
        read_confirming(Paths.of(reports.parents[1], {}), "confirm.refit/0")
    with pytest.raises(NotFoundError, match=r"`tracker reproduce nested\.tpe\.1of3/0`"):
        read_trial(Paths.of(reports.parents[1], {}), "nested.tpe.1of3/0")
    with pytest.raises(NotFoundError, match="tpe has no trial 9; it has 0 to 3"):
        read_trial(Paths.of(reports.parents[1], {}), "tpe/9")


def test_a_run_is_advised_for_studies_that_it_would_bring(reports: Path) -> None:
    """Not for a name that params.yaml does not have: then the names that are there are told, and what is near."""
    paths = Paths.of(reports.parents[1], {})
    paths.params.write_text("{seed: 1, studies: {random: {sampler: random, trials: 1, search_space: {units: [8]}}}}")
    with pytest.raises(NotFoundError, match=r"params.yaml has no study tpee; there are random, .*did you mean tpe\?$"):
        read_trial(paths, "tpee/1")
    with pytest.raises(NotFoundError, match="run `tracker run` first"):
        read_trial(paths, "random/1")
    with pytest.raises(NotFoundError, match=r"params.yaml has no study rnd; there are random; did you mean random\?$"):
        read_study_shown(paths, "rnd")
    with pytest.raises(NotFoundError, match=r"no study random in the store, .*run `tracker run`$"):
        read_study_shown(paths, "random")


def test_a_trial_is_shown_with_its_curve(fresh: SmallProject) -> None:
    """All hyperparameters, the seed, every metric, two curves with a bar per epoch, the key."""
    result = fresh.run(fresh.plan("random"))
    fresh.report(result)
    trial = result.trials[4]
    found = read_trial(fresh.paths, "random/4")
    assert [entry["val_loss"] for entry in trial.outcome.history] == [entry["val_loss"] for entry in found["history"]]
    text = "\n".join(describe_trial(found))
    assert text.startswith(f"random/4  complete  val_f1 {trial.value:.4g}\n")
    for word in (*trial.spec.params, *trial.outcome.metrics, str(trial.spec.seed), trial.spec.key):
        assert word in text
    assert 2 * trial.outcome.epochs == sum(letter in "▁▂▃▄▅▆▇█" for letter in text)


def test_a_failed_trial_is_shown_with_its_reason(reports: Path) -> None:
    """No metrics, no curve, but why."""
    path = reports / "tpe.json"
    content = json.loads(path.read_text())
    content["trials"][1] |= {"key": "k", "seed": 1, "epochs": 2, "best_epoch": None}
    path.write_text(json.dumps(content))
    lines = describe_trial(read_trial(Paths.of(reports.parents[1], {}), "tpe/1"))
    assert ["tpe/1  failed  val_f1 undefined", "reason    diverged"] == lines[:2]


def test_sparklines() -> None:
    """One bar per value, the lowest the lowest, equal values alike."""
    assert "▁▅█" == sparkline([0.0, 0.5, 1.0])
    assert "▁▁" == sparkline([3.0, 3.0])
    assert "▁ █ " == sparkline([0.0, None, 1.0, float("nan")])
    assert "" == sparkline([])


@pytest.mark.parametrize(
    ("history", "curve"),
    [
        (
            [{"val_loss": 2.0, "score": 1.0}, {"val_loss": 1.0, "score": 2.0}],
            ["score     ▁█  first 1, last 2, highest 2", "val_loss  █▁  first 2, last 1, lowest 1"],
        ),
        ([{"score": 1.0}, {"score": None}, {"score": 3.0}], ["score     ▁ █  first 1, last 3, highest 3"]),
        ([{"val_loss": 2.0}, {"other": 1.0}, {"val_loss": float("nan")}], ["val_loss  ▁    first 2, last 2, lowest 2"]),
        ([{"val_loss": float("inf")}, {"other": 1.0}], []),
        ([], []),
    ],
)
def test_a_curve_is_shown_of_what_the_epochs_have(history: list[dict], curve: list[str]) -> None:
    """The objective and the validation loss, whichever a loop yields; cells may be missing or not finite."""
    found = row(0, None, key="k", seed=1, epochs=2, best_epoch=None) | {
        "study": "random",
        "objective": {"metric": "score"},
        "history": history,
    }
    lines = describe_trial(found)
    assert curve == lines[lines.index("epochs    2, kept none") + 1 : -1]


def test_the_closing_lines_need_a_result(tmp_path: Path) -> None:
    """Before there is one, the command says how to get it."""
    with pytest.raises(NotFoundError, match="run `tracker run` first"):
        closing_lines(Paths.of(tmp_path, {}))


def test_ties_are_ordered_as_compare_orders_them(reports: Path) -> None:
    """Of equal values the lower loss comes first; one that has none last."""
    path = reports / "grid.json"
    content = json.loads(path.read_text())
    content["trials"] = [
        row(0, 0.7, metrics={}),
        row(1, 0.7, metrics={"val_loss": 0.5}),
        row(2, 0.7, metrics={"val_loss": 0.4}),
    ]
    path.write_text(json.dumps(content))
    assert ["grid/2", "grid/1", "grid/0"] == order(leaderboard(reports, "grid", "value"))


def test_whole_rows_tell_trials_apart(reports: Path) -> None:
    """A list for programs also has what names a trial wherever it lies; a table for people has not."""
    own = {"seed", "best_epoch", "epochs", "key", "weights", "environment"}
    [whole, *_], [short, *_] = leaderboard(reports, "tpe", "value", whole=True), leaderboard(reports, "tpe", "value")
    assert own == set(whole) - set(short)


def test_the_closing_lines_of_a_stale_result_name_both_trials(tmp_path: Path) -> None:
    """What is chosen now is not what was scored; the commands that are suggested speak of the chosen one."""
    test = {
        "positive": None,
        "average": "macro",
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "labels": ["a"],
        "confusion_matrix": [[2]],
    }
    final = {
        "study": "tpe",
        "trial": 45,
        "key": "k",
        "params": {},
        "validation": {},
        "test_digest": "d",
        "test": test,
        "stale": True,
    }
    final["stale_because"] = {"chosen": {"study": "random", "trial": 18}}
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "final.json").write_text(json.dumps(final))
    text = "\n".join(closing_lines(Paths.of(tmp_path, {})))
    assert "chosen on validation: random/18\nnot scored: random/18: the budget of looks is spent" in text
    assert "last scored: tpe/45, another model; test " in text
    assert "tracker show random/18" in text


def test_an_altered_report_is_said_beside_its_trials(fresh: SmallProject) -> None:
    """`runs` and `show` list what the report says, and that it is not what was recorded."""
    fresh.report(fresh.run(fresh.plan("random")))
    assert [] == notes_of(fresh.paths, "random")
    path = fresh.paths.study_reports / "random.json"
    report = json.loads(path.read_text())
    report["trials"][1]["value"] = 0.99
    path.write_text(json.dumps(report))
    [note] = notes_of(fresh.paths, None)
    assert "trials.1.value is 0.99, but" in note
