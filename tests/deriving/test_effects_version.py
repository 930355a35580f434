"""Rows in groups: what this release tells says by which version it counts them, and what an earlier one told stays valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.studies.project import SmallProject, make_table
from tracker import api
from tracker.api import Project
from tracker.canonical import canonical_json, digest_bytes
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_trial import recorded_key
from tracker.deriving.judge_final import reproduce_final, scored_row
from tracker.deriving.judge_project import verify_looks
from tracker.design_effects import effects_version
from tracker.evaluation.chosen_model import load_chosen
from tracker.evaluation.compare import rank_again, score_again
from tracker.evaluation.files import write_report
from tracker.evaluation.final import RESULT, Final, summarize
from tracker.evaluation.metrics_file import write_metrics
from tracker.evaluation.ranking import write_ranking
from tracker.metrics import group_lines
from tracker.reporting.facts import collect
from tracker.reporting.page import render_html, render_markdown
from tracker.terminal.show_final import describe_final, read_final
from tracker.tracking.notes import final_note

STUDY = {"random": {"sampler": "random", "trials": 2}}


def here_of(project: SmallProject) -> Project:
    return Project(project.paths, "unused", 1, "ada")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A tuned, ranked and scored project in which each row of the table is there once to three times; read-only."""
    table = make_table()
    table = pd.concat([table, table[::2], table[::3]])
    table["who"] = [f"w{row}" for row in range(len(table))]
    project = SmallProject.made(tmp_path_factory.mktemp("groups") / "project", table)
    project.config = project.config.with_("studies", STUDY).with_("objective.metric", "val_balanced_accuracy")
    api.tune(project.config, "random", project=here_of(project), deliver=False)
    api.compare(project.config, here_of(project)).test()
    return project


@pytest.fixture(scope="module")
def process() -> Iterator[FreshProcess]:
    """A process that derives."""
    with FreshProcess() as one:
        yield one


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest) -> int:
    """A version of design effects that an earlier release had."""
    return int(request.param)


@pytest.fixture
def earlier(copied: SmallProject, tmp_path: Path, version: int) -> SmallProject:
    """The same project as a release of that version left it: its ranking, its result, its report."""
    project = copied.copy(tmp_path / "project")
    paths = project.paths
    write_ranking(
        paths.reports / "ranking.json", rank_again(paths, project.config.compare, ["random"], {}, None, version)
    )
    final = report_of(project, "final")
    scored = scored_row(recorded_key(paths, final["key"], "final"), final)
    model = load_chosen(paths.models / "random", scored, paths)
    result, _ = score_again(paths, scored, model, final["test_digest"], (), version)
    write_report(paths.reports / "final.json", {**final, **result}, on_one_line=("details",))
    write_metrics(paths.reports)
    [path] = (paths.looks / "results").glob("*.json")
    content = canonical_json({**json.loads(path.read_bytes()), **result}) + b"\n"
    path.unlink()
    (path.parent / f"{digest_bytes(content)}.json").write_bytes(content)
    return project


def report_of(project: SmallProject, name: str) -> dict[str, Any]:
    """What a report says."""
    content: dict[str, Any] = json.loads((project.paths.reports / f"{name}.json").read_bytes())
    return content


def versions(project: SmallProject) -> tuple[int, int]:
    """By which versions ranking and result say that they count."""
    return tuple(effects_version(one) for one in (report_of(project, "ranking")["indistinguishable"],
                                                  report_of(project, "final")["test"]))  # fmt: skip


def test_what_an_earlier_release_told_verifies(copied: SmallProject, earlier: SmallProject, version: int) -> None:
    """Ranking, looks and result are identical as one wrote them that took all groups for equal; its intervals are others."""
    assert [(3, 3), (version, version)] == [versions(project) for project in (copied, earlier)]
    new, old = (report_of(project, "final")["test"] for project in (copied, earlier))
    assert not {tuple(ends) for ends in new["intervals"].values()} & {tuple(ends) for ends in old["intervals"].values()}
    assert ("class_clusters" in new, "class_clusters" in old) == (True, False)
    found = list(api.verify(earlier.config, "random", pipeline=True, project=here_of(earlier)))
    assert ["store", "study", "ranking", "looks", "final"] == [one.kind for one in found]
    assert {"identical"} == {one.state for one in found}, found


def test_what_this_release_tells_verifies(copied: SmallProject, process: FreshProcess, tmp_path: Path) -> None:
    """So are those of this release, and an altered version of a result is found, whichever it says."""
    paths, path = copied.paths, copied.paths.reports / "final.json"
    write_ranking(tmp_path / "ranking.json", rank_again(paths, copied.config.compare, ["random"], {}))
    assert (paths.reports / "ranking.json").read_bytes() == (tmp_path / "ranking.json").read_bytes()
    assert ("identical", "identical") == (verify_looks(paths).state, reproduce_final(paths, process).state)
    project = copied.copy(tmp_path / "project")
    for said in (
        {},
        {"effects_version": 1},
        {"effects_version": 2},
        {"effects_version": 7},
        {"class_clusters": [1, 2]},
    ):
        final = report_of(copied, "final")
        final["test"] = {name: entry for name, entry in final["test"].items() if name not in {"effects_version", *said}}
        final["test"] |= said if "effects_version" in said or not said else {"effects_version": 3, **said}
        (project.paths.reports / path.name).write_text(json.dumps(final))
        assert "differs" == reproduce_final(project.paths, process).state


def test_every_output_says_what_intervals_count(copied: SmallProject, tmp_path: Path) -> None:
    """The page, its text, `tracker show final`, MLflow's note and the end of a look have the same lines on groups."""
    project, final = copied.copy(tmp_path / "project"), report_of(copied, "final")
    final["test"]["class_clusters"][0] = 3
    write_report(project.paths.reports / "final.json", final, on_one_line=("details",))
    facts, shown = collect(project.paths, project.config), "\n".join(describe_final(read_final(project.paths)))
    ended = "\n".join(summarize(Final(final, looks=1, budget=1), "val_balanced_accuracy"))
    note = final_note(final, (), None, None)
    lines = group_lines(final["test"])
    assert 2 == len(lines)
    for text in (unescape(render_html(facts)), render_markdown(facts), shown, ended, note):
        assert all(line[1:] in text for line in lines), text


def test_a_result_that_an_earlier_release_told_stays(earlier: SmallProject, version: int) -> None:
    """The same trial on the same rows: one look, one result, with the intervals that it had; the ranking is of now."""
    before, kept = report_of(earlier, "final"), sorted((earlier.paths.looks / "results").iterdir())
    api.compare(earlier.config, here_of(earlier)).test()
    after = report_of(earlier, "final")
    assert {name: before[name] for name in RESULT} == {name: after[name] for name in RESULT}
    assert before["details"] == after["details"]
    assert kept == sorted((earlier.paths.looks / "results").iterdir())
    assert (3, version) == versions(earlier)
    assert "identical" == verify_looks(earlier.paths).state
