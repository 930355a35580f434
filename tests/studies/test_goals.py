"""Several objectives and constraints of a study: what is told, what is on the front, what is never chosen."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.studies.project import SmallProject, make_config
from tracker.errors import ConfigError, InputError, NotFoundError
from tracker.evaluation.compare import compare
from tracker.evaluation.confirm import _median_run, open_confirming
from tracker.evaluation.confirmation import Confirmation, Confirmed
from tracker.evaluation.preference import preferred_lines
from tracker.evaluation.ranked import rank_alone
from tracker.evaluation.ranking import Ranking, rank_trials
from tracker.evaluation.sureness import sureness
from tracker.goals import broken, constraint_from, constraint_text, excess, front_words, number_text
from tracker.ordering import dominates, on_front
from tracker.records import StudySpec, Trial, record_from, record_json
from tracker.reporting.facts import collect
from tracker.reporting.front_charts import Point, _caption, fronts
from tracker.reporting.page import render_html
from tracker.reporting.words import certainty, methods
from tracker.reporting.words import studies as page_studies
from tracker.store.store import Store
from tracker.studies.result import StudyResult, summarise_study
from tracker.studies.rungs import told
from tracker.terminal.leaderboard import leaderboard
from tracker.terminal.show_study import describe_study, read_study_shown
from tracker.tracking.figures import study_figures
from tracker.tracking.notes import Ended, study_note
from tracker.tracking.run_contents import finished_study, trial_run

GOALS = {
    "objectives": ["val_f1", "parameters", "training_flops"],
    "constraints": ["parameters <= 500", "val_f1 >= 0.5"],
}
SPACE = {
    "units": [2, 3, 4, 8, 20],
    "hidden_layers": [1, 2],
    "learning_rate": {"low": 3e-3, "high": 3e-2, "log": True},
}
RANDOM = {"sampler": "random", "trials": 10, "search_space": SPACE}


@pytest.fixture(scope="module")
def project(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project whose one study has three objectives and two constraints."""
    found = small_project.copy(tmp_path_factory.mktemp("cheap") / "project")
    found.config = found.config.with_("studies", {"cheap": {**RANDOM, **GOALS}})
    return found


@pytest.fixture(scope="module")
def result(project: SmallProject) -> StudyResult:
    """The study, run and reported."""
    found = project.run(project.plan("cheap"))
    project.report(found)
    return found


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=30))
def test_the_front_is_what_nothing_dominates(rows: list[tuple[int, ...]]) -> None:
    """Held against the definition, pair by pair; equal rows stand together, and a front of none is empty."""
    expected = [
        place
        for place, row in enumerate(rows)
        if not any(all(a <= b for a, b in zip(other, row, strict=True)) and other != row for other in rows)
    ]
    assert expected == on_front(rows)
    assert all(not dominates(rows[one], rows[other]) for one in expected for other in expected)


@pytest.mark.parametrize(
    ("text", "metrics", "beyond"),
    [
        ("parameters <= 20000", {"parameters": 30000.0}, 0.5),
        ("parameters <= 20000", {"parameters": 20000.0}, 0.0),
        ("val_recall >= 0.95", {"val_recall": 0.76}, 0.2),
        ("val_loss <= 0", {"val_loss": 0.25}, 0.25),
        ("val_recall >= 0.123456789", {"val_recall": None}, 1e6),
    ],
)
def test_a_constraint_says_how_far_it_is_broken(text: str, metrics: dict[str, Any], beyond: float) -> None:
    """In parts of its limit; at the limit it holds, and an undefined metric breaks it; its words lose no digit."""
    constraint = constraint_from(text)
    assert pytest.approx(beyond) == excess(constraint, metrics)
    assert constraint == constraint_from(constraint_text(constraint))
    assert bool(broken([constraint], metrics)) == (beyond > 0)


def test_values_costs_and_front_are_those_of_the_definition(project: SmallProject, result: StudyResult) -> None:
    """Parameters are those of the weights, operations six per multiplication, row and epoch; the front is of what holds."""
    rows = len(project.rows("train"))
    for trial in result.trials:
        units, layers = trial.spec.params["units"], trial.spec.params["hidden_layers"]
        first, *hidden = [units] * layers if isinstance(units, int) else units
        weights = (
            6 * first + sum(a * b for a, b in zip([first, *hidden], hidden, strict=False)) + 2 * [first, *hidden][-1]
        )
        count = weights + first + sum(hidden) + 2
        flops = 6 * weights * rows * trial.outcome.epochs
        assert (trial.metrics["val_f1"], count, flops) == trial.values
        assert bool(trial.breaks) == (count > 500 or not trial.values[0] >= 0.5)
    holding = [trial for trial in result.trials if not trial.breaks]
    assert 1 < len(result.front) < len(holding) < 10
    signed = [(-trial.values[0], *trial.values[1:]) for trial in holding]
    assert [holding[place].number for place in on_front(signed)] == [trial.number for trial in result.front]
    assert max(trial.values[0] for trial in holding) == result.best.value
    assert result.best.number in [trial.number for trial in result.front]


def test_a_sampler_hears_how_far_or_that_it_failed(result: StudyResult) -> None:
    """One that knows constraints hears by how much each is broken, in parts of its limit; another that learns, a failure."""
    broke = next(trial for trial in result.trials if trial.breaks)
    excess_of = (broke.values[1] / 500 - 1, 1 - broke.values[0] / 0.5)
    heard = told(dataclasses.replace(result.spec, sampler={"name": "tpe"}), broke)
    assert ("complete", broke.values) == (heard.state, heard.values)
    assert pytest.approx(excess_of) == heard.excess
    for sampler in ("gp", "cmaes", "gradient"):
        heard = told(dataclasses.replace(result.spec, sampler={"name": sampler}), broke)
        assert ("failed", (None, None, None), ()) == (heard.state, heard.values, heard.excess)


def test_what_breaks_a_constraint_is_never_ranked(project: SmallProject, result: StudyResult) -> None:
    """Ranking, choice, `tracker runs` and the report know it, and say by how much."""
    ranking = compare(project.paths, project.config.compare, clock=lambda: 0.0, studies=["cheap"])
    holding = {trial.number for trial in result.trials if not trial.breaks}
    assert holding == {row.trial for row in ranking.rows}
    assert {"infeasible": 10 - len(holding)} == ranking.unranked
    assert result.best.number == ranking.chosen.trial
    rows = leaderboard(project.paths.study_reports, None, "value")
    assert [row.trial for row in ranking.rows] == [row["trial"] for row in rows[: len(holding)]]
    assert all(row["reason"].startswith("breaks ") for row in rows[len(holding) :])
    report = json.loads((project.paths.study_reports / "cheap.json").read_bytes())
    assert [trial.number for trial in result.front] == report["front"]
    assert {row["trial"] for row in rows if row["front"]} == set(report["front"])


def test_the_front_is_shown_where_the_study_is(project: SmallProject, result: StudyResult) -> None:
    """Terminal, MLflow and the study's note: objectives, limits, the front and how many trials broke a limit."""
    shown = read_study_shown(project.paths, "cheap")
    lines = "\n".join(describe_study(shown))
    front, broke = [trial.number for trial in result.front], [trial for trial in result.trials if trial.breaks]
    assert front == [one["number"] for one in shown["front"]]
    assert f"limits    parameters <= 500, val_f1 >= 0.5: {len(broke)} trials broke one" in lines
    assert "goals     maximize val_f1, minimize parameters, minimize training_flops" in lines
    assert all(f"  cheap/{number} " in lines for number in front)
    key = result.spec.key
    with Store.open(project.paths.store) as store:
        run, trial = finished_study(store, key), trial_run(store, key, broke[0].number)
    assert run is not None
    assert "maximize val_f1, minimize parameters, minimize training_flops" == run.params["objectives"]
    assert "parameters <= 500, val_f1 >= 0.5" == run.params["constraints"]
    assert [float(len(front))] == [point.value for point in run.points if point.name == "front"]
    assert "; ".join(broke[0].breaks) == trial.tags["tracker.breaks"]
    with Store.open(project.paths.store) as store:
        figures = study_figures(store, key)
    rings = [figures[f"figures/{name}.svg"].decode().count("<circle") for name in ("pareto_front", "pareto_front_2")]
    assert [len(result.trials) - len(broke) + 2] * 2 == rings  # two are of the legend
    note = study_note(Ended(result.spec, summarise_study(result), {}), [])
    assert f"its front has {len(front)} trials" in note
    assert "`parameters <= 500`, `val_f1 >= 0.5`. A trial that breaks one is never best" in note


def chosen(project: SmallProject, result: StudyResult, within: float | str) -> tuple[Ranking, list[Trial]]:
    """The ranking under a rule, and the trials of the study that are as good as the best by their scores alone."""
    config = project.config.with_("compare.prefer", {"within": within})
    confirm = open_confirming(config, project.paths, 1, lambda _: None)
    ranking = compare(project.paths, config.compare, clock=lambda: 0.0, studies=["cheap"], confirm=confirm)
    holding = [trial for trial in result.trials if not trial.breaks]
    best = max(trial.values[0] for trial in holding)
    low = ranking.interval[0] if within == "ties" else best - within - 1e-9
    project.config = config
    return ranking, [trial for trial in holding if trial.values[0] >= low]


@pytest.mark.parametrize("within", [0.0, 0.1, "ties"])
def test_the_rule_takes_one_of_the_front(
    project: SmallProject, result: StudyResult, tmp_path: Path, within: float | str
) -> None:
    """Of what is near enough to the best the one with the fewest parameters: it is on the front, scored and served."""
    project = project.copy(tmp_path / "project")
    project.config = project.config.with_("studies", {"cheap": {**RANDOM, **GOALS}})
    ranking, near = chosen(project, result, within)
    expected = min(near, key=lambda trial: (*trial.values[1:], -trial.values[0], trial.metrics["val_loss"]))
    assert expected.number == ranking.chosen.trial
    assert expected in result.front
    told = json.loads((project.paths.reports / "ranking.json").read_bytes())
    assert {"rule": "next", "within": within, "alike": len(near)}.items() <= told["preferred"].items()
    assert expected.values[1] == told["preferred"]["row"]["parameters"]
    assert [trial.number for trial in result.front] == told["fronts"]["cheap"]["trials"]
    lines = sureness(ranking, project.config).lines()
    goals = "(maximize val_f1, minimize parameters, minimize training_flops)"
    assert f"front:    cheap: {front_words(len(result.front))} {goals}" in lines
    if within == 0.1:
        assert ranking.chosen.key != ranking.rows[0].key
        final = ranking.test()
        assert ranking.chosen.key == final.result["key"]
        facts = collect(project.paths, project.config)
        assert dataclasses.replace(facts, config=project.config.with_("hyperparameters", {})).defaults is None, (
            "all are searched"
        )
        near_it = "the best parameters of those that are within 0.1 of the best val_f1"
        assert f"{near_it}: the highest val_f1 on validation, of trials with parameters <= 500 and" in methods(facts)
        assert "; limits: parameters <= 500, val_f1 >= 0.5" in page_studies(facts)[0]["states"]
        assert any("Front: cheap: " in line for line in certainty(facts))
        [shown] = fronts(facts)
        assert [[f"cheap/{trial.number}", *map(number_text, trial.values)] for trial in result.front] == shown["body"]
        assert 2 == len(shown["charts"])
        marks = "Diamonds are the front; crosses break a limit; the chosen trial is ringed. What"
        assert all(f"cheap, all trials by two objectives. {marks}" in caption for caption in shown["captions"])
        assert "Diamonds are the front. What" in _caption([Point(0, 9.0, 0.5, on_front=True, holds=True, chosen=False)])
        goals = "further objectives minimize parameters, minimize training_flops"
        assert f"(cheap: random, 10 trials, {goals})" in methods(facts)
        page = render_html(facts)
        assert all(part in page for part in (*shown["charts"], *shown["captions"]))
        heads = re.findall(r'<button type="button">(\w+)</button>', page)
        assert ["val_f1", "parameters", "training_flops", "val_loss"] == heads[3:7]
        assert all(f"{one.number} (" in shown["charts"][0] for one in result.front)
        assert f"the best by parameters of {len(near)} that are within 0.1 of the best val_f1" in "\n".join(lines)


def test_a_cost_that_was_not_counted_is_said_to_be_unknown() -> None:
    """A study without objectives counts no parameters, and may not have asked for a score; what all compute is undefined."""
    row, best = ({"study": name, "trial": 0, "key": name, "value": 0.5} for name in ("cheap", "random"))
    told = {"rule": "next", "within": 0.1, "alike": 2, "row": row, "best": best}
    counted = {**told, "next": ["parameters"], "row": {**row, "parameters": 9}, "best": {**best, "parameters": None}}
    lines = preferred_lines(counted, "val_f1")
    assert lines[0].endswith("the best by parameters of 2 that are within 0.1 of the best val_f1: 9")
    assert "the best by val_f1, random/0: parameters not known (random has no objectives); val_f1" in lines[1]
    asked = {**told, "next": ["val_mcc"], "row": {**row, "val_mcc": 0.25}, "best": {**best, "val_mcc": None}}
    words = "random/0: val_mcc not known (random did not ask for it, or it is undefined there); val_f1"
    assert words in preferred_lines(asked, "val_f1")[1]
    scored = {**told, "next": ["val_recall"], "row": {**row, "val_recall": 1}, "best": {**best, "val_recall": None}}
    assert "random/0: undefined; val_f1" in preferred_lines(scored, "val_f1")[1]


def test_further_seeds_must_keep_the_limits_too(project: SmallProject, result: StudyResult, tmp_path: Path) -> None:
    """A configuration that keeps a limit as found, by luck, and breaks it in the mean over seeds, is not confirmed."""
    project = project.copy(tmp_path / "project")
    lucky = {**RANDOM, "constraints": [f"val_f1 >= {max(trial.values[0] for trial in result.trials)}"]}
    plan = project.plan("cheap", studies={"cheap": lucky})
    project.report(project.run(plan))
    config = project.config.with_("studies", {"cheap": lucky}).with_("compare", {"confirm": {"top": 1, "seeds": 3}})
    confirm = open_confirming(config, project.paths, 1, lambda _: None)
    with pytest.raises(
        InputError, match="none of the configurations to confirm has a value with every seed, and keeps"
    ):
        compare(project.paths, config.compare, clock=lambda: 0.0, studies=["cheap"], confirm=confirm)


def test_the_run_that_is_served_keeps_the_limits_where_one_does(project: SmallProject) -> None:
    """The lower median of the runs that keep them; what the mean, or the served run, breaks is told."""
    repeated = {**RANDOM, "trials": 1, "repeats": 5, "training": {"epochs": 2}}
    study = project.run(project.plan("cheap", studies={"cheap": repeated}))
    [trial] = study.trials
    losses = [outcome.metrics["val_loss"] for outcome in trial.outcomes]
    runs = sorted((outcome.metrics["val_f1"], place) for place, outcome in enumerate(trial.outcomes))
    one = Confirmed(rank_alone("cheap", trial), study.spec, trial)
    for most in (max(losses), sorted(losses)[2], min(losses) / 2):
        limits = (constraint_from(f"val_loss <= {most!r}"),)
        kept = [run for run in runs if losses[run[1]] <= most]
        place = _median_run(one, limits)
        assert (kept or runs)[(len(kept or runs) - 1) // 2][1] == place
        told = Confirmation(5, (one,), one, None, place, {}, constraints=limits)
        breaks = {"mean": trial.metrics["val_loss"] > most, "served": not kept}
        assert {who for who, broke in breaks.items() if broke} == set(told.breaks) == set(told.json.get("breaks", {}))
    assert len(set(losses)) == 5


def test_where_nothing_holds_nothing_is_chosen(project: SmallProject, tmp_path: Path) -> None:
    """The message says which constraint the first trial breaks, and with what."""
    project = project.copy(tmp_path / "project")
    found = project.run(project.plan("cheap", studies={"cheap": {**RANDOM, "constraints": ["parameters <= 3"]}}))
    assert found.best is None
    project.report(found)
    with pytest.raises(NotFoundError, match=r"none of 10 trials can be chosen: breaks parameters <= 3, found \d+"):
        rank_trials(project.paths.study_reports)


def test_absent_is_one_objective_and_the_key_there_was(project: SmallProject) -> None:
    """Without entries nothing is written; with them they are in the key, and a spec that was read is the same."""
    plain = project.plan("cheap", studies={"cheap": RANDOM}).spec
    assert not {"further", "constraints"} & set(record_json(plain))
    assert "costs" not in record_json(plain)["training"]
    spec = project.plan("cheap").spec
    assert plain.key != spec.key
    assert spec == record_from(StudySpec, json.loads(json.dumps(record_json(spec))))
    again = make_config(studies=project.config.model_dump(exclude_unset=True)["studies"])
    assert project.config.studies == again.studies


@pytest.mark.parametrize(
    ("study", "fault"),
    [
        ({"objectives": ["val_f1"]}, "give two or more"),
        ({"objectives": ["val_f1", "val_f1"]}, "each metric once"),
        (
            {"objectives": ["parameters", "val_f1"]},
            "the first is what studies are ranked by, objective: maximize val_f1",
        ),
        ({"objectives": ["val_f1", "seconds"]}, "studies.a.objectives: expected 'train_loss'"),
        (
            {"objectives": ["val_f1", "val_loss"], "sampler": "gp"},
            "sampler gp takes one objective; several are for manual",
        ),
        ({"objectives": ["val_f1", "val_loss"], "pruner": "median"}, "pruner and objectives cannot go together"),
        ({"constraints": ["parameters < 3"]}, "NUMBER, found 'parameters < 3'; did you mean parameters <= 3\\?"),
        ({"constraints": ["val_f1=>0.5"]}, "NUMBER, found 'val_f1=>0.5'; did you mean val_f1>=0.5\\?"),
        ({"constraints": ["parameters = 3"]}, "expected METRIC <= NUMBER or METRIC >= NUMBER, found 'parameters = 3'$"),
        ({"constraints": [{"metric": "parameters", "most": []}]}, "expected METRIC <= NUMBER"),
        ({"constraints": [7]}, "expected METRIC <= NUMBER"),
        ({"constraints": ["parameters <= many"]}, "expected METRIC <= NUMBER"),
        (
            {"constraints": ["size <= 3"]},
            "studies.a.constraints: expected 'train_loss'.*'parameters' or 'training_flops'",
        ),
        ({"objectives": ["val_f1", "paramters"]}, "found 'paramters'; did you mean parameters?"),
        (
            {"objectives": ["val_f1", {"metric": "val_loss", "direction": "minimise"}]},
            "'minimise'; did you mean minimize?",
        ),
        (
            {"objectives": ["val_f1", "val_robust_f1"]},
            "val_robust_f1 is of disturbed rows; say training.robustness, with f1 among its metrics",
        ),
        ({"sampler": "nsga4"}, "studies.a.sampler: .*, found 'nsga4'; did you mean nsga[23]?"),
        (
            {"constraints": ["parameters <= 5", "parameters >= 9"]},
            "parameters <= 5 and parameters >= 9 cannot both hold; change one",
        ),
        (
            {"constraints": ["val_recall >= 95"]},
            "studies.a.constraints: val_recall >= 95 never holds: val_recall lies between 0 and 1",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(study: dict[str, Any], fault: str) -> None:
    """Each with one line that says what to do."""
    with pytest.raises(ConfigError, match=fault):
        make_config(studies={"a": {**RANDOM, **study}})


@pytest.mark.parametrize(
    ("within", "studies", "fault"),
    [
        ("none", {"a": {**RANDOM, **GOALS}}, "expected ties, or how much worse a score may be"),
        ("tie", {"a": {**RANDOM, **GOALS}}, "found 'tie'; did you mean ties?"),
        (0.1, {"a": RANDOM}, "no study has objectives; give one some"),
        (
            0.1,
            {"a": {**RANDOM, **GOALS}, "b": {**RANDOM, "objectives": ["val_f1", "val_loss"]}},
            "a and b have other objectives",
        ),
    ],
)
def test_a_rule_needs_one_next_objective(within: float | str, studies: dict[str, Any], fault: str) -> None:
    """A number or ties, and studies that agree on what comes next."""
    with pytest.raises(ConfigError, match=fault):
        make_config(studies=studies, compare={"prefer": {"within": within}})


def test_limits_at_the_ends_of_a_range_and_a_rule_by_its_name() -> None:
    """What can just be kept is taken, of a metric without a range anything; a misspelt rule learns what there is."""
    limits = ["val_f1 >= 1", "val_recall <= 0", "val_loss >= 95", "parameters <= 5", "parameters >= 5"]
    assert make_config(studies={"a": {**RANDOM, "constraints": limits}}).studies["a"].constraints
    found = (
        "compare.prefer: expected best, simplest, cheapest or {within: 0.01}, found 'simplst'; did you mean simplest?"
    )
    with pytest.raises(ConfigError) as caught:
        make_config(compare={"prefer": "simplst"})
    assert found in str(caught.value)


def test_what_counts_no_parameters_has_no_costs() -> None:
    """Code of the user's own, and a refinement of a front, are refused too."""
    study = {"sampler": "random", "trials": 2, "constraints": ["parameters <= 3", "training_flops <= 3"]}
    told = r"parameters is counted of networks of mlp, cnn, rnn, tabular, build, not of family function; take it out"
    own = {"hyperparameters": {}, "search_space": {"x": [1, 2]}, "studies": {"a": study}}
    with pytest.raises(ConfigError, match=told):
        make_config(model={"family": "function", "entry": "loop:fit"}, **own)
    with pytest.raises(ConfigError) as caught:
        make_config(model={"family": "build", "entry": "net:build"}, **own)
    told = "training_flops is counted of networks of mlp, cnn, rnn, tabular, not of family build; take it out"
    assert (f"params.yaml: studies.a.constraints: {told}",) == caught.value.faults
    with pytest.raises(ConfigError, match="a has several objectives, so its best trials are a front"):
        make_config(
            studies={"a": {**RANDOM, **GOALS}}, refinements={"b": {"refine": "a", "sampler": "tpe", "trials": 2}}
        )
