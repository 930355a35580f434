"""MLflow's saved views of an experiment: which runs, which columns, sorted by what, which charts.

The format is MLflow's own (3.15 and newer) and has no version; a browser test pins it. An MLflow that does not know it shows
its usual page.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tracker.canonical import digest
from tracker.metrics import led_by, tested
from tracker.records import StudySpec
from tracker.tracking.run_contents import objective_name

VIEW = "mlflow.sharedViewState."  # and the view's id: a tag of the experiment
STUDIES, BEST, FINAL, RETUNES = "tracker-studies", "tracker-best", "tracker-final", "tracker-retunes"
CURRENT, BEST_RUN = "tracker.current", "tracker.best_run"  # of a study's run: is it current, where is its best trial
FOLD = "fold"  # says so of a study on fewer rows, of a nested score: current, but not to be compared with others
MODE = "machine_learning"  # else a fresh browser shows MLflow's pages for language models
TEST = ("f1", "accuracy", "precision", "recall")
DURATION = ("attributes.`Duration`", 90)
CHARTED = 8  # hyperparameters that get a scatter plot


def study_view_id(name: str) -> str:
    """The id of the view of a study's trials."""
    return f"tracker-study-{name}"


def address(server: str, experiment: str, view: str = STUDIES) -> str:
    """Where a browser finds a view."""
    return f"{server}/#/experiments/{experiment}/runs?{urlencode({'viewStateShareKey': view, 'workflowType': MODE})}"


def run_address(experiment: str, run: str, server: str = "") -> str:
    """Where a browser finds a run; without a server, from another page of MLflow. The mode has to be said again."""
    return f"{server}/#/experiments/{experiment}/runs/{run}?{urlencode({'workflowType': MODE})}".removeprefix("/")


def plain_address(server: str, experiment: str) -> str:
    """The studies where no view was saved: filtered by MLflow's own search."""
    words = {"searchFilter": "tags.tracker.kind != 'trial'", "workflowType": MODE}
    return f"{server}/#/experiments/{experiment}/runs?{urlencode(words)}"


def views(studies: Mapping[str, StudySpec], created_ms: Mapping[str, int], *, retuned: bool = False) -> dict[str, str]:
    """The tags of all views: of the studies (current ones, by key, the newest first), of final results, of each study.

    `created_ms` says when each study began: its view is as old, and the others as the oldest, so that a study that comes
    changes no view of another. Where the project was `retuned`, of its decisions, too.
    """
    if not studies:
        return {}
    ages = {study_view_id(spec.name): created_ms[key] for key, spec in studies.items()}
    shown = {STUDIES: ("studies", _studies(leading(studies.values()))), FINAL: ("final", _final(studies))}
    if retuned:
        shown[RETUNES] = ("retunes", _retunes(leading(studies.values())[0]))
    for key, spec in studies.items():
        shown[study_view_id(spec.name)] = (f"study {spec.name}", _trials(key, spec))
    oldest = min(created_ms.values())
    return {f"{VIEW}{name}": _saved(title, state, ages.get(name, oldest)) for name, (title, state) in shown.items()}


def best_view(studies: Iterable[StudySpec], runs: Sequence[str], created_ms: int) -> dict[str, str]:
    """The tag of the view of these runs, the best trials of several studies; none without runs.

    MLflow filters by their ids, so that no trial needs a mark, which would have to go when another is the best.
    """
    if not runs:
        return {}
    specs = [spec for spec in leading(studies) if "." not in spec.name]  # what confirms one has no trial there
    names = list(dict.fromkeys(name for spec in specs for name in searched_names(spec)))[:CHARTED]
    objectives = list(dict.fromkeys(objective_name(spec) for spec in specs))
    columns = [*_metrics(*objectives, "best_val_loss"), *_params(*names), DURATION]
    listed = ", ".join(f"'{run}'" for run in sorted(runs))
    return {
        f"{VIEW}{BEST}": _saved(
            "best trials", _state(f"attributes.run_id IN ({listed})", specs[0], columns), created_ms
        )
    }


def leading(specs: Iterable[StudySpec]) -> list[StudySpec]:
    """Studies in the order in which their objectives are columns: those whose trials repeat, such as confirmations, last."""
    return sorted(specs, key=lambda spec: bool(spec.runs))


def _studies(specs: Sequence[StudySpec]) -> dict[str, Any]:
    whole = [spec for spec in specs if "." not in spec.name] or specs  # a confirmation's `value` would be told twice
    objectives = list(dict.fromkeys(objective_name(spec) for spec in whole))
    columns = [
        *_metrics(*objectives, *_test_names(specs[0], ["f1"])),
        ("metrics.`trials`", 70),
        *_params("sampler", "data", "epochs"),
        DURATION,
    ]
    return _state(f"tags.`{CURRENT}` = 'true'", specs[0], columns)


def _final(studies: Mapping[str, StudySpec]) -> dict[str, Any]:
    spec = leading(studies.values())[0]
    columns = [*_metrics(*_test_names(spec, TEST), objective_name(spec)), *_params("data"), DURATION]
    return _state("tags.`tracker.kind` = 'final'", spec, columns)


def _test_names(spec: StudySpec, names: Sequence[str]) -> list[str]:
    """The scores on test rows that a table shows, the objective's first."""
    told = tested([spec.objective["metric"].removeprefix("val_")])
    return [f"test_{name}" for name in led_by(spec.objective["metric"], names, told)]


def _retunes(spec: StudySpec) -> dict[str, Any]:
    """The line of champions: the newest decision first, with both scores on the same rows."""
    numbers = _metrics("retune_champion", "retune_challenger", "retune_lead", "retune_p", "data_rows", "data_added")
    columns = [*_params("decision", "champion", "challenger"), *numbers]
    return _state("tags.`tracker.kind` = 'retune'", spec, columns) | {"orderByKey": "attributes.`Created`"}


def _trials(key: str, spec: StudySpec) -> dict[str, Any]:
    names = searched_names(spec)
    further = [f"best_{goal['metric']}" for goal in spec.further]
    columns = [*_metrics(objective_name(spec), *further, "best_val_loss"), *_params(*names), DURATION]
    state = _state(f"tags.`tracker.study_key` = '{key}' and tags.`tracker.kind` = 'trial'", spec, columns)
    return state | _charts(key, spec, names)


def searched_names(spec: StudySpec) -> list[str]:
    """The hyperparameters that a study varies, in the order of its search space."""
    entries = [entry["name"] for entry in spec.space.get("entries", ())]
    listed = [name for one in spec.sampler.get("configurations") or () for name in one]
    return list(dict.fromkeys([*entries, *listed]))


def _state(query: str, spec: StudySpec, columns: Sequence[tuple[str, int]]) -> dict[str, Any]:
    widths = dict(columns)
    return {
        "searchFilter": query,
        "orderByKey": f"metrics.`{objective_name(spec)}`",
        "orderByAsc": spec.objective["direction"] == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(widths),
        "columnOrder": ["attributes.`Run Name`", "runDateAndNestInfo", *(_grid_name(name) for name in widths)],
        "columnWidths": {_grid_name(name): width for name, width in widths.items()},
        "runsHiddenMode": "SHOW_ALL",
    }


def _charts(key: str, spec: StudySpec, names: Sequence[str]) -> dict[str, Any]:
    """How the search went, all hyperparameters together, each one alone, and the curves."""
    objective = objective_name(spec)
    open_ = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    section = {"uuid": _id(key, "section"), "name": f"Study {spec.name}", **open_}
    curves = dict.fromkeys([spec.objective["metric"], "val_loss", "train_loss"])
    charts = [_scatter("trial", objective)]
    if len(names) > 1:
        charts.append(
            {"type": "PARALLEL", "selectedParams": list(names), "selectedMetrics": [objective], "showAllRuns": True}
        )
    charts += [_scatter(name, objective) for name in names[:CHARTED]]
    charts += [] if spec.runs else [_line(metric) for metric in curves]
    placed = [
        {"uuid": _id(key, str(place)), "runsCountToCompare": 100, "isGenerated": False, "deleted": False,
         "metricSectionId": section["uuid"], **chart}
        for place, chart in enumerate(charts)
    ]  # fmt: skip
    shut = {"display": False, "isReordered": False, "deleted": False, "isGenerated": True}
    rest = {"uuid": _id(key, "rest"), "name": "Model metrics", **shut}
    return {"compareRunCharts": placed, "compareRunSections": [section, rest], "isAccordionReordered": True}


def _scatter(param: str, metric: str) -> dict[str, Any]:
    x, y = {"key": param, "type": "PARAM"}, {"key": metric, "type": "METRIC"}
    return {"type": "SCATTER", "xaxis": x, "yaxis": y}


def _line(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE", "metricKey": metric, "selectedMetricKeys": [metric], "lineSmoothness": 0, "scaleType": "linear",
        "xAxisScaleType": "linear", "xAxisKey": "step", "selectedXAxisMetricKey": "", "yAxisKey": "metric",
        "yAxisExpressions": [], "range": {}, "ignoreOutliers": False, "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }  # fmt: skip


def _saved(title: str, state: Mapping[str, Any], created_ms: int) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    return json.dumps({"name": title, "createdAt": created_ms, "updatedAt": created_ms, "state": f"deflate;{packed}"})


def _id(*parts: str) -> str:
    return digest("view", list(parts))[:32]


def _metrics(*names: str) -> list[tuple[str, int]]:
    return [(f"metrics.`{name}`", 150) for name in names]  # room for all digits of a number


def _params(*names: str) -> list[tuple[str, int]]:
    return [(f"params.`{name}`", 150 if name in {"data", "learning_rate", "weight_decay"} else 110) for name in names]


def _grid_name(column: str) -> str:
    """What MLflow's table calls a column that its list of columns calls otherwise."""
    return "duration" if column == DURATION[0] else column
