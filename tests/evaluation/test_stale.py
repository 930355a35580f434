"""What is said where the choice is not scored: in reports, in words, by an exit code; and what looks were taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

from tests.evaluation.test_stage import PARAMS, ROOT
from tracker.config import Compare
from tracker.evaluation.final import summarize
from tracker.evaluation.ledger import MARK, join_looks
from tracker.terminal.looks import look_lines


def run(project, *words: str) -> subprocess.CompletedProcess[str]:
    (project.paths.root / "params.yaml").write_text(PARAMS)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "USER": "ada"}
    environ.pop("DVC_ROOT", None)
    command = [sys.executable, "-m", "tracker.cli", *words]
    return subprocess.run(command, cwd=project.paths.root, env=environ, capture_output=True, text=True, check=False)


def test_a_stale_report_begins_with_what_is_not_scored(project):
    """The report, its summary and the file of metrics: what is chosen, then the old scores, named as the old ones."""
    first = project.compare().test()
    assert next(iter(project.final())) == "study"
    project.tune("tpe", "better")
    ranking = project.compare()
    stale = ranking.test(or_stale=True)
    report = project.final()
    assert list(report)[:2] == ["not_scored", "study"]
    assert report["not_scored"] == ranking.chosen.place
    assert (report["key"], report["stale"]) == (first.result["key"], True)
    lines = summarize(stale, "val_f1")
    assert lines[0].startswith(
        f"not scored: tpe/0 (validation {ranking.chosen.value:.4f}), which is chosen now: the budget of 1 look"
    )
    assert lines.index("last scored, before that:") < lines.index(
        f"tpe/0 on {report['test_rows']} test rows (of 'spam'):"
    )


def test_the_file_of_metrics_is_short(project):
    """The choice's value, the test F1 with its interval, whether it is stale: no digest, no reason, no entry per study."""
    final = project.compare().test()
    metrics = json.loads((project.paths.reports / "metrics.json").read_bytes())
    low, high = final.interval("f1")
    found = project.compare().chosen.value
    assert metrics == {"validation": found, "test_f1": final.f1, "low": low, "high": high, "stale": False}
    project.tune("tpe", "better")
    ranking = project.compare()  # ranks alone
    assert ranking.chosen.value == json.loads((project.paths.reports / "metrics.json").read_bytes())["validation"]
    ranking.test(or_stale=True)
    assert json.loads((project.paths.reports / "metrics.json").read_bytes())["stale"] is True
    (project.paths.reports / "final.json").write_text("{")
    project.compare()


def test_a_scheduler_can_tell(project):
    """`--fail-if-stale` leaves with 3 where the choice is not scored, and with 0 where it is; without it, with 0."""
    first = run(project, "compare", "--test", "--fail-if-stale")
    assert (first.returncode, first.stderr) == (0, "")
    project.tune("tpe", "better")
    assert run(project, "compare", "--test").returncode == 0
    second = run(project, "compare", "--test", "--fail-if-stale")
    assert (second.returncode, second.stderr) == (3, "")
    assert "\nnot scored: tpe/0 " in second.stdout


def test_looks_are_listed_with_what_the_next_would_cost(project):
    """Who, when, which trial, on how many of the present rows; what is spent; whether the choice was scored or costs one."""
    assert next(iter(look_lines(project.paths, Compare()))) == "nobody has looked at test rows yet"
    project.compare().test()
    header, look, spent, following = look_lines(project.paths, Compare())
    rows = project.final()["test_rows"]
    assert header.split()[:4] == ["when", "who", "trial", "candidate"]
    assert look.split()[:3] == ["2027-01-15T09:00:00Z", "ada", "tpe/0"]
    assert look.endswith(f"{rows} of {rows}")
    assert spent == f"spent: 1 of 1 looks at the present {rows} test rows"
    assert following == "next: tpe/0 is chosen and was scored on these rows; scoring it again costs nothing"
    [path] = project.paths.looks.glob("*.json")
    [taken] = join_looks(project.paths.looks, {}).looks.values()
    elsewhere = replace(taken, rows=frozenset({"0" * MARK}), parents=(path.stem,))
    (path.parent / f"{elsewhere.digest}.json").write_bytes(elsewhere.content)
    told = "; on record: 2 looks; one at other rows, or of a candidate that has one, spends nothing"
    assert list(look_lines(project.paths, Compare()))[-2] == spent + told
    project.tune("tpe", "better")
    project.compare()
    assert list(look_lines(project.paths, Compare(test_looks=3)))[-1].endswith("costs one; 1 would be left")
    assert list(look_lines(project.paths, Compare()))[-1].endswith("needs compare.test_looks: 2 in params.yaml")
    assert "spent: 1 of 1" in run(project, "looks").stdout
