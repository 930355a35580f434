"""What `dvc plots` draws: the tables, and the page that draws them in a real browser without a network."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from tests.golden_project import unpack
from tests.studies.project import REPOSITORY
from tests.tracking.browser import fresh_page
from tracker.config import load_config
from tracker.paths import Paths
from tracker.reporting.facts import collect
from tracker.reporting.plots import write_plots

PLOTS = REPOSITORY / ".dvc/plots"


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of a project with manual, tpe, qmc, repeated and pruned trials, and its reports of studies."""
    paths = Paths.of(unpack(tmp_path_factory.mktemp("golden")), {})
    history, curves = write_plots(collect(paths, load_config(paths.params)), paths)
    reports = {path.stem: json.loads(path.read_text()) for path in paths.study_reports.glob("*.json")}
    return {"history": read(history), "curves": read(curves), "reports": reports, "paths": paths}


def test_the_history_is_the_best_so_far(tables: dict[str, Any]) -> None:
    """One line per trial with a value; it never falls, ends at the study's best, and has every digit."""
    for study in {row["study"] for row in tables["history"]}:
        told = [float(row["best"]) for row in tables["history"] if row["study"] == study]
        report = tables["reports"][study]
        sign = 1 if report["objective"]["direction"] == "maximize" else -1
        assert sorted(told, key=lambda value: sign * value) == told
        assert report["best_value"] == told[-1]
        values = [
            trial["value"] for trial in report["trials"] if trial["state"] == "complete" and trial["value"] is not None
        ]
        assert len(values) == len(told)


def test_the_curves_are_those_of_the_best_trials(tables: dict[str, Any]) -> None:
    """The kept epoch's val_loss of a study's best trial is on its curve, digit for digit."""
    for study in {row["study"] for row in tables["curves"]}:
        report = tables["reports"][study]
        best = report["trials"][report["best"]]
        kept = [
            row["val_loss"]
            for row in tables["curves"]
            if row["study"] == study and int(row["epoch"]) == best["best_epoch"]
        ]
        assert [best["metrics"]["val_loss"]] == [float(value) for value in kept]


def test_the_page_draws_every_plot_without_a_network(tables: dict[str, Any], tmp_path: Path) -> None:
    """Lines by study and revision, a confusion matrix, a plot without rows: nothing is asked of anybody, nothing fails."""
    confusion = [{"actual": a, "predicted": p} for a, p, n in (("ham", "ham", 7), ("ham", "spam", 2), ("spam", "spam", 5))
                 for _ in range(n)]  # fmt: skip
    by_study = {"template": "by_study", "template_dir": str(PLOTS), "x": "trial", "y": "best", "title": "history"}
    both = [{**row, "rev": rev} for rev in ("workspace", "HEAD") for row in tables["history"]]
    plots = [
        VegaRenderer([{**row, "rev": "workspace"} for row in tables["curves"]], "curves", x="epoch", y="val_loss", title="c"),
        VegaRenderer(both, "history", **by_study),
        VegaRenderer([{**row, "rev": "workspace"} for row in confusion], "confusion", template="confusion", x="actual",
                     y="predicted", title="m"),
        VegaRenderer([], "empty", title="e"),
    ]  # fmt: skip
    path = Path(render_html(plots, tmp_path / "index.html", PLOTS / "page.html"))
    asked: list[str] = []
    problems: list[str] = []
    with fresh_page() as page:
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        assert ([path.as_uri()], []) == (asked, problems)
        studies = len({row["study"] for row in tables["history"]})
        lines = "figure:has(figcaption:text-is('history'))"
        assert 2 * studies == page.locator(f"{lines} polyline").count()
        assert 2 * studies == page.locator(f"{lines} .key").count()
        told = page.locator("figure table").first.inner_text().split()
        assert ["ham", "7", "2", "spam", "0", "5"] == told[-6:]
        assert page.locator("svg[role=img]").count() == page.locator("svg[role=img][aria-label]").count() == 2
        page.set_viewport_size({"width": 375, "height": 700})
        assert 375 == page.evaluate("document.documentElement.scrollWidth")
