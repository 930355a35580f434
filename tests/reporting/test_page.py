"""The page of a project: it says what the reports say, needs nothing from elsewhere, and is the same for the same reports."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden_project import unpack
from tracker.config import Config, load_config, parse_config
from tracker.errors import NotFoundError
from tracker.evaluation.details import Called, detail
from tracker.paths import Paths
from tracker.reporting.charts import factor, parallel_coordinates
from tracker.reporting.facts import collect, group_by
from tracker.reporting.page import render_html, render_markdown, write_page
from tracker.reporting.sure_charts import Mark, glance
from tracker.reporting.sure_words import curves_of, marks
from tracker.reporting.words import _inside, bounds, checklist, headline, methods, title
from tracker.reporting.words import test_rows as scores_on_test

VOID = {"meta", "link", "br", "input", "img", "hr"}


class Page(HTMLParser):
    """Its text, the elements that are open at its end, and everything that it would load or run from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.foreign: list[tuple[str, str]] = []
        self.images: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "data", "action"} and value and not value.startswith("#"):
                self.foreign.append((tag, value))
        if tag == "svg":
            self.images.append(dict(attrs).get("aria-label"))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop(), tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A project with manual, tpe, qmc, repeated and pruned trials, which was scored."""
    return Paths.of(unpack(tmp_path_factory.mktemp("golden")), {})


@pytest.fixture(scope="module")
def config(paths: Paths) -> Config:
    return load_config(paths.params)


@pytest.fixture(scope="module")
def page(paths: Paths, config: Config) -> Page:
    return Page(render_html(collect(paths, config)))


def test_it_is_whole_and_needs_nothing_from_elsewhere(page: Page) -> None:
    """Every element is closed, nothing is loaded, and every picture has a text."""
    assert [] == page.open
    assert [] == page.foreign
    assert len(page.images) > 5
    assert all(page.images)


def test_it_says_what_the_reports_say(page: Page, paths: Paths) -> None:
    """Chosen trial, scores with intervals, looks, ties, each study, each trial with its hyperparameters."""
    ranking = json.loads((paths.reports / "ranking.json").read_text())
    final = json.loads((paths.reports / "final.json").read_text())
    chosen, ties = ranking["chosen"], ranking["indistinguishable"]["trials"]
    name, test = f"{chosen['study']}/{chosen['trial']}", final["test"]
    assert f"{name} was chosen among {len(ranking['rows'])} trials" in page.text
    assert "val_balanced_accuracy" == ranking["objective"]["metric"]
    [balanced, f1] = (
        "{:.3f} (95 %: {:.3f} to {:.3f})".format(test[one], *test["intervals"][one])
        for one in ("balanced_accuracy", "f1")
    )
    assert f"It scored balanced_accuracy {balanced}, F1 {f1} on {final['test_rows']} test rows" in page.text
    assert f"look {final['looks']} of {final['budget']}" in page.text
    assert f"{len(ties)} of the other {len(ranking['rows']) - 1} trials lie inside" in page.text
    for path in paths.study_reports.glob("*.json"):
        if path.stem != "own":
            for trial in json.loads(path.read_text())["trials"]:
                assert f"{path.stem}/{trial['number']} {trial['state']}" in page.text


def test_equal_reports_give_equal_bytes(paths: Paths, config: Config, page: Page) -> None:
    """Written twice it is the same, of no time and no machine; it grows with trials and stays small."""
    first = [path.read_bytes() for path in write_page(paths, config)]
    assert first == [path.read_bytes() for path in write_page(paths, config)]
    assert not re.search(rb"20[0-9]{2}-[01][0-9]-", first[0])
    assert str(paths.root).encode() not in first[0]
    assert len(first[0]) < 400_000
    assert "Derived again with" in first[1].decode()
    assert page.text


def test_an_axis_is_logarithmic_where_the_search_was() -> None:
    """Not where values are far apart: a dropout near 0 is no reason; long fractions are told in four digits."""
    values = [0.001, 0.01, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5]
    scores = [0.5] * len(values)
    straight, logged = (factor("x", values, scores, "f1", 0, log=log) for log in (False, True))
    assert ">0.001<" not in straight
    assert ">0.001<" in logged
    assert ">0.06971<" in factor("x", [0.06971355151110359, 0.1], [0.5, 0.6], "f1", None)


def test_a_zero_stands_at_the_end_of_a_log_axis() -> None:
    """The defaults' weight decay of 0 does not press all other values into a corner; the axis says where 0 is."""
    values, scores = [0.0, *(10.0**-place for place in range(2, 10))], [0.5 + place / 20 for place in range(9)]
    drawn, straight = (factor("x", values, scores, "f1", 0, log=log) for log in (True, False))
    assert {">0<", ">0.0001<", ">0.01<"} <= {f">{text}<" for text in re.findall(">([^<>]+)<", drawn)}
    assert ">0.0001<" not in straight
    rows, good = list(map(list, zip(values, scores, strict=True))), [True] + [False] * 8
    lines, straight = (parallel_coordinates(["x"], rows, good, "f1", logged) for logged in (["x"], []))
    assert lines != straight
    assert ">0.01<" in lines


def test_spaces_of_studies_are_told_without_a_common_one(paths: Paths, config: Config) -> None:
    """A project in which each study has its own space, or none has one, has a page too."""
    study = {"sampler": "random", "trials": 3, "search_space": {"dropout": [0.1, 0.2]}}
    own = parse_config({"seed": 1, "hyperparameters": {"units": 8}, "studies": {"g": study}}, "params.yaml")
    told = dict(checklist(replace(collect(paths, config), config=own)))
    assert "Study g: dropout 0.1, 0.2" == told["Bounds of each hyperparameter"]


def test_few_ties_are_told_in_words_that_agree() -> None:
    """One tie is a tie, of one other trial it is said whether it is one; without ties nothing is called so."""
    assert "the only other trial lies inside. It is a tie" == _inside(1, 1)
    assert "the only other trial lies outside" == _inside(0, 1)
    assert "1 of the other 5 trials lies inside. It is a tie" == _inside(1, 5)
    assert "0 of the other 5 trials lie inside" == _inside(0, 5)
    assert "2 of the other 5 trials lie inside. These are ties" == _inside(2, 5)


def test_bounds_are_told_in_words() -> None:
    """Choices, ranges with their scale, steps and layers, what counts only beside another value; no JSON."""
    space = {
        "units": {"low": 16, "high": 64, "step": 16, "per": "hidden_layers"},
        "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
        "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}},
        "optimizer": ["adamw", "sgd"],
    }
    studies = {
        "random": {"sampler": "random", "trials": 3},
        "own": {"sampler": "random", "trials": 3, "search_space": {"units": [8]}},
    }
    told = bounds(
        parse_config({"seed": 1, "search_space": {"hidden_layers": [1, 2], **space}, "studies": studies}, "p")
    )
    assert told == (
        "hidden_layers 1, 2; units 16 to 64 in steps of 16 per hidden_layers; learning_rate 0.0001 to 0.1 (log); "
        "momentum 0.5 to 0.99 where optimizer is sgd; optimizer adamw, sgd. Study own: units 8"
    )


def test_a_trial_without_a_value_passes_below_the_axis() -> None:
    """It does not stand at the least value of a hyperparameter that it does not have; where all have one nothing lies below."""
    rows = [["sgd", 0.5, 0.8], ["sgd", 0.9, 0.9], ["adamw", None, 0.7]]
    gaps, whole = (parallel_coordinates(["optimizer", "momentum"], each, [True, False, False][: len(each)], "f1")
                   for each in (rows, rows[:2]))  # fmt: skip
    assert ">none<" in gaps
    assert ">none<" not in whole


def test_what_is_not_scored_is_not_claimed(paths: Paths, config: Config) -> None:
    """Without a look the page says so, and has no test scores; a stale one is headed by what is not scored."""
    final = paths.reports / "final.json"
    content = final.read_bytes()
    try:
        final.unlink()
        text = Page(render_html(collect(paths, config))).text
        assert "It was not scored on the test rows yet." in text
        assert "Confusion matrix" not in text
        why = "tpe/5 is best, with val_f1 0.0000 on validation"
        final.write_text(json.dumps({"scored": False, "because": why, "study": "tpe", "trial": 5}))
        text = Page(render_html(collect(paths, config))).text
        assert f"No look at the test rows was spent: {why}. To look all the same: " in text
        assert "not scored on the test rows yet" not in text
        final.write_text(json.dumps(json.loads(content) | {"stale": True, "study": "tpe", "trial": 5}))
        text = Page(render_html(collect(paths, config))).text
        assert "It was not scored on the test rows. Last scored was tpe/5: balanced_accuracy 0.503 (95 %" in text
        assert "which is no longer the chosen trial" in text
        assert "Last scored was tpe/5" in render_markdown(collect(paths, config))
        other = json.loads(content) | {"key": "0" * 64}
        final.write_text(json.dumps(other))  # the same candidate, scored in another environment
        assert "Last scored was" not in render_markdown(collect(paths, config))
        final.write_text(json.dumps(other | {"candidate": "0" * 64}))  # ranked again since, and not scored
        assert "It was not scored on the test rows. Last scored was" in render_markdown(collect(paths, config))
    finally:
        final.write_bytes(content)


def test_metrics_that_were_asked_for_are_in_the_table(paths: Paths, config: Config) -> None:
    """Those of the table of metrics and those of the user's own have a column each, where a trial has them."""
    facts = collect(paths, config)
    rows = [replace(row, metrics={**row.metrics, "val_gain": 41.5, "val_roc_auc": 0.625}) for row in facts.rows]
    asks = config.with_("training.metrics", ["costs:gain", "roc_auc"])
    assert "val_gain" not in Page(render_html(replace(facts, rows=rows))).text
    text = Page(render_html(replace(facts, rows=rows, config=asks))).text
    assert "val_loss val_accuracy val_f1 val_roc_auc val_gain epochs" in text
    assert "0.625 41.5" in text


def test_one_trial_is_told_as_one(paths: Paths, config: Config) -> None:
    """In the text on methods; several are several."""
    facts = collect(paths, config)
    assert re.search(r"\. 1 configuration \(.*\) was trained", methods(replace(facts, rows=[facts.chosen])))
    assert re.search(rf"\. {len(facts.rows)} configurations \(.*\) were trained", methods(facts))


def test_scores_of_further_seeds_stand_beside_the_one(paths: Paths, config: Config) -> None:
    """Where the look scored further seeds, their mean and spread are on both pages; else nothing is said of seeds."""
    facts = collect(paths, config)
    assert "Over 2 seeds" not in render_html(facts)
    seeds = {"keys": ["a", "b"], "accuracy": {"mean": 0.5, "sd": 0.1}, "f1": {"mean": 0.25, "sd": None}}
    told = replace(facts, final={**(facts.final or {}), "seeds": seeds})
    line = "Over 2 seeds, on the same rows (mean ± sd): accuracy 0.5000 ± 0.1000."
    assert line in Page(render_html(told)).text
    assert line in render_markdown(told)


def test_the_score_of_the_objective_leads(paths: Paths, config: Config) -> None:
    """Title, first sentence and table begin with the test score of what was asked for; a loss has none, so F1 does."""
    facts = collect(paths, config)
    test, rows = facts.final["test"], facts.final["test_rows"]
    asks = {**facts.ranking, "objective": {"metric": "val_recall", "direction": "maximize"}}
    told = replace(facts, ranking=asks)
    recall, f1 = (
        f"{test[name]:.3f} (95 %: {{:.3f}} to {{:.3f}})".format(*test["intervals"][name]) for name in ("recall", "f1")
    )
    assert f"It scored recall {recall}, F1 {f1} on {rows} test rows; look 1 of" in headline(told)[1]
    assert f"{facts.chosen.name}: test recall {test['recall']:.3f}" == title(told)
    assert ["recall", "accuracy"] == [name for name, *_ in scores_on_test(told)][:2]
    loss = replace(facts, ranking={**facts.ranking, "objective": {"metric": "val_loss", "direction": "minimize"}})
    assert f"It scored F1 {f1} on {rows} test rows" in headline(loss)[1]


def test_scores_stand_beside_each_other_in_a_picture(paths: Paths, config: Config) -> None:
    """Simple models, the best as found, defaults and choice over seeds, test rows: each with its ends, far ones at the edge."""
    facts = collect(paths, config)
    choice = {"study": "tpe", "trial": 2, "mean": 0.9, "sd": 0.01}
    confirmed = {"seeds": 20, "measured": {"choice": choice, "defaults": {**choice, "trial": 7, "mean": 0.8}}}
    models = [
        {"name": "majority", "metrics": {facts.metric: 0.0}, "intervals": {facts.metric: [0.0, 0.1]}},
        {"name": "logistic", "metrics": {facts.metric: 0.88}, "intervals": {facts.metric: [0.8, 0.93]}},
        {"name": "boosted", "metrics": {facts.metric: None}, "intervals": {}},
    ]
    told = replace(
        facts,
        baselines={"objective": {"metric": facts.metric}, "models": models},
        ranking={**facts.ranking, "confirmation": confirmed},
    )
    majority, logistic, first, defaults, chosen, test = marks(told)
    assert Mark("majority", 0.0, [0.0, 0.1]) == majority
    assert Mark("logistic", 0.88, [0.8, 0.93]) == logistic
    assert (f"{facts.ranked[0].name}, best as found", facts.ranked[0].value) == (first.name, first.value)
    assert Mark("tpe/7, the defaults, 20 seeds", 0.8, (0.79, 0.81), "seeds") == defaults
    assert ("tpe/2, chosen, 20 seeds", 0.9, (0.89, 0.91)) == (chosen.name, chosen.value, chosen.ends)
    assert ("the scored model on test rows", "test", facts.final["test"][facts.metric[4:]]) == (
        test.name,
        test.kind,
        test.value,
    )
    same = {"seeds": 20, "measured": {"choice": choice, "defaults": choice}}
    one = [
        mark for mark in marks(replace(told, ranking={**facts.ranking, "confirmation": same})) if mark.kind == "seeds"
    ]
    assert ["tpe/2, the defaults, chosen, 20 seeds"] == [mark.name for mark in one]
    drawn = glance([Mark("far", 0.0, None), Mark("a", 0.8, (0.7, 0.9)), Mark("b", 0.85, (0.8, 0.9))], "f1")
    assert 'aria-label="f1: far 0.000, a 0.800, b 0.850"' in drawn
    assert glance([Mark("a", 0.5, None), Mark("b", 0.5, None)], "f1")  # nothing is spread


def test_classes_curves_and_optimism_are_told(paths: Paths, config: Config) -> None:
    """A result with details has each class with intervals, a weighted mean, three curves and the optimism; else it has not."""
    facts = collect(paths, config)
    before = Page(render_html(facts))
    assert "weighted mean" not in before.text
    assert "The configuration was chosen on" in before.text or "were chosen on the same rows" in before.text
    labels = facts.final["test"]["labels"] if facts.final else []
    truth = np.array([0, 1, 0, 1, 1, 0, 1, 0] * 5)
    odds = np.column_stack([1 - 0.9 * truth, 0.9 * truth])
    odds[:3] = 0.5
    rows = Called(truth, odds.argmax(axis=1), odds, None)
    told = replace(facts, final={**(facts.final or {}), "details": detail(rows, rows, labels, labels[1])})
    page = Page(render_html(told))
    assert "weighted mean" in page.text
    assert "On validation the scored model has" in page.text
    assert "0.000 above that of the test rows" in page.text
    assert 3 == len(page.images) - len(before.images)
    assert {"ROC curve on the test rows", "precision by recall on the test rows"} <= set(page.images)
    assert "no difference is inside" in render_markdown(told)


def test_random_studies_have_a_tuning_curve(paths: Paths, config: Config) -> None:
    """Independent trials have the curve of the median best, with its band; of studies that learn there is none."""
    facts = collect(paths, config)
    loss = {**facts.ranking, "objective": {"metric": "val_loss", "direction": "minimize"}}
    assert {} == curves_of(replace(facts, ranking=loss))
    assert all(config.studies[name].sampler == "random" for name in curves_of(facts))
    as_random = config.with_("studies.tpe", {"sampler": "random", "trials": len(facts.studies["tpe"]["trials"])})
    curves = curves_of(replace(facts, config=as_random))
    values = [trial["value"] for trial in facts.studies["tpe"]["trials"]]
    assert max(values) == pytest.approx(curves["tpe"].best[-1])
    page = Page(render_html(replace(facts, config=as_random)))
    assert any("with so many random trials reach, with 95 % bands: tpe" in str(text) for text in page.images)


def test_words_of_people_are_no_markup(paths: Paths, config: Config) -> None:
    """Labels, names and values from a table or a configuration are shown as they are, and nothing of them runs."""
    evil = "<script>alert(1)</script>$x^2$ & 'quoted'"
    facts = collect(paths, config.with_("tracking.experiment", "a<b>&c"))
    row = facts.rows[0]
    marked: Any = {**row.params, "activation": evil}
    object.__setattr__(row, "params", marked)
    text = render_html(facts)
    assert "<script>alert" not in text
    assert evil in Page(text).text
    assert "a<b>&c" in Page(text).text


def test_the_line_of_champions(paths: Paths, config: Config) -> None:
    """Every decision of a retuning with what was served, both scores and why; nothing of it where none was taken."""
    facts = collect(paths, config)
    assert "Retuned" not in Page(render_html(facts)).text
    served = {"study": "random", "trial": 3, "study_key": "1" * 64, "key": "2" * 64, "value": 0.9}
    judged = {"champion": 0.801, "challenger": 0.912}
    told = [
        {
            "number": 1,
            "decision": "promoted",
            "champion": served,
            "data": {"rows": 720},
            "judged": judged,
            "reasons": ["a", "b"],
        },
        {
            "number": 2,
            "decision": "refused",
            "champion": served,
            "data": None,
            "judged": None,
            "reasons": ["cut short"],
        },
    ]
    text = Page(render_html(replace(facts, retunes=[{**one, "champion": served} for one in told]))).text
    assert "Retuned 2 times" in text
    assert "1 promoted random/3 720 0.801 0.912 a; b" in text
    assert "2 refused random/3 - - - cut short" in text


def test_hyperparameters_are_summed_up_by_value_or_range(paths: Paths, config: Config) -> None:
    """Few values have a row each, many are cut into ranges of equal size; every trial is counted once."""
    facts = collect(paths, config)
    assert {"units", "optimizer", "learning_rate"} <= set(facts.searched())
    by_value = group_by(facts.ranked, "units", "maximize")
    assert ["4", "8"] == [group.label for group in by_value]
    by_range = group_by(facts.ranked, "learning_rate", "maximize")
    assert sum(group.trials for group in by_range) == len(facts.ranked)
    assert max(row.value for row in facts.ranked if row.value is not None) == max(group.best for group in by_range)


def test_without_a_ranking_it_says_what_to_run(tmp_path: Path, config: Config) -> None:
    """Nothing is drawn of nothing."""
    with pytest.raises(NotFoundError, match=r"ranking.json: not there yet; run `tracker compare"):
        collect(Paths.of(tmp_path, {}), config)


def test_what_is_out_of_date_is_said_at_the_top(paths: Paths, config: Config, page: Page) -> None:
    """Studies that params.yaml no longer describes are named with what changed; those that it does are not."""
    old = collect(paths, config.with_("studies.tpe.generation", 2))
    told = "Out of date: params.yaml no longer describes tpe (studies.tpe.generation changed): shown as before; run `tracker "
    assert told in Page(render_html(old)).text
    assert told in render_markdown(old).replace("**", "")
    assert "Out of date" not in page.text
