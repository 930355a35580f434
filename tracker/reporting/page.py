"""`reports/index.html` and `reports/index.md`: the facts of a project in words, tables and charts; equal facts, equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.config.asked import asked_metrics, own_metrics
from tracker.evaluation.files import write_durably
from tracker.paths import Paths
from tracker.reporting.charts import (
    MOST_LINES,
    Line,
    factor,
    importance,
    learning_curves,
    optimisation_history,
    parallel_coordinates,
)
from tracker.reporting.facts import CURVES_SHOWN, Facts, Row, collect, group_by
from tracker.reporting.front_charts import fronts
from tracker.reporting.nested_words import nested
from tracker.reporting.plots import write_plots
from tracker.reporting.sure_charts import calibration, glance, precision_recall, roc, tuning_curves
from tracker.reporting.sure_words import baselines, chosen_on, classes, curves_of, groups, marks, optimism_words
from tracker.reporting.words import (
    asked,
    certainty,
    checklist,
    commands,
    headline,
    is_number,
    methods,
    over_seeds,
    score,
    short,
    studies,
    test_rows,
    title,
)

TEMPLATES = Path(__file__).parent / "templates"
MOST_COORDINATES = 9  # axes that fit a page
SHOWN_METRICS = ("val_loss", "val_accuracy", "val_f1")
GOOD = 0.1  # share of trials that stand out
MOST_GOOD = 25  # lines that stand out: more hide each other


def write_page(paths: Paths, config: Config) -> list[Path]:
    """Writes both pages, and the tables of `dvc plots`; their paths.

    Raises NotFoundError where nothing is ranked yet, InputError for a damaged report, StoreError.
    """
    facts = collect(paths, config)
    html, markdown = paths.reports / "index.html", paths.reports / "index.md"
    write_durably(html, render_html(facts).encode())
    write_durably(markdown, render_markdown(facts).encode())
    return [html, markdown, *write_plots(facts, paths)]


def render_html(facts: Facts) -> str:
    """One page that needs nothing from anywhere: styles, script and charts are in it."""
    return _render(
        "page.html.jinja",
        facts,
        charts=_charts(facts),
        fronts=fronts(facts),
        factors=list(_factors(facts)),
        trials=_trials(facts),
    )


def render_markdown(facts: Facts) -> str:
    """The same without charts and without the list of all trials, for a pull request."""
    return _render("page.md.jinja", facts)


def _render(template: str, facts: Facts, **more: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"score": score, "short": short}
    return environment.get_template(template).render(
        facts=facts, title=title(facts), headline=headline(facts), asked=asked(facts), certainty=certainty(facts),
        test=test_rows(facts), methods=methods(facts), checklist=checklist(facts), commands=commands(facts),
        studies=studies(facts),
        over_seeds=over_seeds(facts), classes=classes(facts), optimism=optimism_words(facts), chosen_on=chosen_on(facts),
        groups=groups(facts), baselines=baselines(facts), nested=nested(facts),
        **more,
    )  # fmt: skip


def _charts(facts: Facts) -> dict[str, str]:
    """The charts of the whole project, by name; one that would show nothing is left out."""
    charts = {"history": optimisation_history(_lines(facts), facts.metric, facts.direction)}
    for metric in dict.fromkeys(("val_loss", facts.metric)):
        epochs = [curve for row in facts.ranked[:CURVES_SHOWN] for curve in _curve(facts, row, metric)]
        if epochs:
            charts[f"curves {metric}"] = learning_curves(epochs, metric)
    if len(found := marks(facts)) > 1:
        charts["glance"] = glance(found, facts.metric.removeprefix("val_"))
    told = (facts.final or {}).get("details") or {}
    drawn: Mapping[str, Callable[[Any], str]] = {
        "roc": roc,
        "precision_recall": precision_recall,
        "calibration": calibration,
    }
    charts |= {name: draw(told[name]) for name, draw in drawn.items() if name in told}
    if curves := curves_of(facts):
        charts["tuning"] = tuning_curves(curves, facts.metric)
    if shares := _importance(facts):
        charts |= {"importance": importance(shares[1]), "importance of": shares[0]}
    names = list(facts.searched())[:MOST_COORDINATES]
    if names:
        rows = [[*(_place(row.params.get(name)) for name in names), row.value] for row in facts.ranked]
        good = [place < min(MOST_GOOD, max(1, round(GOOD * len(rows)))) for place in range(len(rows))]
        charts["parallel"] = parallel_coordinates(
            names, rows, good, facts.metric, [name for name in names if facts.is_logged(name)]
        )
    return charts


def _lines(facts: Facts) -> list[Line]:
    """The values of each study by trial, in the order of params.yaml; of more studies than a chart tells apart, best first."""
    found = dict[str, list[tuple[float, float]]]()
    for row in facts.ranked:  # best first
        if row.value is not None:
            found.setdefault(row.study, []).append((float(row.number), row.value))
    names = [name for name in facts.studies if name in found] if len(found) <= MOST_LINES else found
    return [Line(name, *zip(*sorted(found[name]), strict=True)) for name in names]


def _curve(facts: Facts, row: Row, metric: str) -> Iterator[Line]:
    record = facts.record(row)
    if record is None or len(record.outcomes) > 1:
        return
    told = [(entry["epoch"], entry[metric]) for entry in record.outcome.history if is_number(entry.get(metric))]
    if told:
        yield Line(row.name, [float(epoch) for epoch, _ in told], [float(value) for _, value in told])


def _importance(facts: Facts) -> tuple[str, Mapping[str, float]] | None:
    """The study that says most about it, and the shares: one that sampled the whole space evenly before one that did not."""
    from tracker.search.importance import importances

    order = {"random": 0, "qmc": 0, "tpe": 1, "grid": 2}
    wanted = sorted(
        facts.results, key=lambda name: (order.get(facts.studies[name]["sampler"], 3), -len(facts.results[name].trials))
    )
    for name in wanted:
        result = facts.results[name]
        if shares := importances(result.spec, result.trials, facts.direction):
            return name, shares
    return None


def _factors(facts: Facts) -> Iterator[dict[str, Any]]:
    """Each searched hyperparameter: a chart and a table."""
    for name in facts.searched():
        rows = [row for row in facts.ranked if name in row.params]
        values = [_place(row.params[name]) for row in rows]
        scores = [row.value for row in rows if row.value is not None]
        best = next((place for place, row in enumerate(rows) if row.name == facts.chosen.name), None)
        yield {
            "name": name,
            "chart": factor(name, values, scores, facts.metric, best, log=facts.is_logged(name)),
            "groups": group_by(rows, name, facts.direction),
        }


def _trials(facts: Facts) -> dict[str, Any]:
    """All trials as a table: ranked ones first, then those without a place."""
    ranked = facts.ranked
    listed = {row.name for row in ranked}
    places = [*enumerate(ranked, start=1), *(("", row) for row in facts.rows if row.name not in listed)]
    names = list(dict.fromkeys(name for row in facts.rows for name in row.params))
    told = {name for row in facts.rows for name in row.metrics} - {facts.metric}
    further = [goal["metric"] for report in facts.studies.values() for goal in report.get("further") or ()]
    wanted = [
        *further,
        *SHOWN_METRICS,
        *(f"val_{name}" for name in (*asked_metrics(facts.config), *own_metrics(facts.config))),
    ]
    metrics = [name for name in dict.fromkeys(wanted) if name in told]
    body = [
        [
            *(place, row.name, row.state, _cell(row.value)),
            *(_cell(row.metrics.get(name)) for name in metrics),
            row.epochs,
            *(_cell(row.params.get(name)) for name in names),
        ]
        for place, row in places
    ]
    return {"head": ["rank", "trial", "state", facts.metric, *metrics, "epochs", *names], "body": body}


def _cell(value: Any) -> str:
    return "" if value is None else short(value)


def _place(value: Any) -> Any:
    """A hyperparameter as a chart takes it: a number, or a text; None where a trial has none."""
    return short(value) if isinstance(value, bool | list | Mapping) else value
