"""A row of the table is all that a metric needs: it decides, stops, is listed, logged, and told of the test split."""

from __future__ import annotations

import json
import math

import pytest

from tests.studies.project import SmallProject
from tracker.config import Compare
from tracker.evaluation.compare import compare
from tracker.evaluation.final import summarize
from tracker.metrics import SCORES, metric_of
from tracker.store.store import Store
from tracker.terminal.leaderboard import closing_lines, leaderboard
from tracker.tracking.run_contents import final_run, trial_run

ONE_OF_EACH_KIND = [*SCORES, "average_precision", "roc_auc", "matthews_corrcoef", "neg_log_loss", "fbeta_2"]


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_a_metric_of_the_table_is_everywhere(fresh: SmallProject, name: str) -> None:
    """As objective and monitor it picks trial and epoch; reports, `runs`, curves, MLflow and final.json tell it."""
    column, sign = f"val_{name}", 1 if metric_of(name).direction == "maximize" else -1
    stopping = {"monitor": column, "patience": 2}
    plan = fresh.plan("random", objective={"metric": column}, training__early_stopping=stopping)
    result = fresh.run(plan)
    fresh.report(result)
    for trial in result.trials:
        values = [entry[column] for entry in trial.outcome.history if entry[column] is not None]
        assert trial.value == trial.outcome.metrics[column] == (max if sign > 0 else min)(values)
    best = result.best
    assert best.value == (max if sign > 0 else min)(trial.value for trial in result.trials)
    report = json.loads((fresh.paths.study_reports / "random.json").read_text())
    assert best.value == report["best_value"] == leaderboard(fresh.paths.study_reports, None, column)[0][column]
    assert column in (fresh.paths.reports / "curves" / "random.csv").read_text().partition("\n")[0].split(",")

    ranking = compare(fresh.paths, Compare(test_looks=1), clock=lambda: 0.0)
    final = ranking.test()
    low, high = final.interval(name) or (-math.inf, math.inf)
    assert (final.interval(name) is not None) == bool(metric_of(name).interval or metric_of(name).rows)
    assert low <= final.score(name) <= high
    assert best.value == ranking.table[column][0]
    assert summarize(final, column)[1].startswith(f"  {name} "), "the objective's score comes first"
    assert any(line.startswith(f"test {name} {final.score(name):.4g}") for line in closing_lines(fresh.paths))
    with Store.open(fresh.paths.store) as store:
        [digest] = [item.subject for item in store.items() if item.kind == "final"]
        points = {point.name: point.value for point in trial_run(store, result.spec.key, best.number).points}
        tested = {point.name: point.value for point in final_run(store, digest).points}
    assert {column, f"best_{column}"} <= set(points)
    assert (best.value, final.score(name)) == (points[f"best_{column}"], tested[f"test_{name}"])
