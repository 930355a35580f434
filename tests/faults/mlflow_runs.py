"""Turns an MLflow database into what it says, without ids and times, so that two databases can be compared."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SEEDED = "tracker.seeded"
LOGGED = "tracker.logged_model"  # the id of an entry among the logged models
BEST_RUN = "tracker.best_run"  # the id of the run of a study's best trial
HOLDS_TIMES = "tracker.record"  # the digest of a record with times
ENDS = {"pruned": "KILLED", "failed": "FAILED"}
IDENTITY = ("tracker.kind", "tracker.study", "tracker.trial", "tracker.final")


def read_runs(database: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Runs by what they are of: status, params, points, tags of ours, names of files. Asserts that each is there once."""
    link = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        runs = link.execute("SELECT run_uuid, status, lifecycle_stage, artifact_uri FROM runs").fetchall()
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        named: dict[str, str] = {}
        for run, status, stage, artifacts in runs:
            tags = dict(link.execute("SELECT key, value FROM tags WHERE run_uuid = ?", [run]).fetchall())
            identity = tuple(tags.get(name, "") for name in IDENTITY)
            assert stage == "active", f"{identity} was there twice: one is deleted"
            assert identity not in found, f"{identity} is there twice"
            ours = {name: tag for name, tag in tags.items() if name.startswith("tracker.") and name != HOLDS_TIMES}
            named[run] = str(identity)
            if SEEDED in ours:  # which texts are ours; their marks are of texts that name runs by id
                ours[SEEDED] = re.sub(r"=\S+", "", ours[SEEDED])
            models = _models(link, run)
            assert set(models) == ({ours[LOGGED]} if LOGGED in ours else set()), f"{identity}: {models} are listed"
            if LOGGED in ours:
                ours[LOGGED] = "an id"
            found[identity] = {"status": status, "tags": ours, "models": sorted(models.values())}
            found[identity] |= {"params": _params(link, run), "points": _points(link, run, identity)}
            folder = Path(unquote(urlsplit(artifacts).path))
            found[identity]["files"] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        for one in found.values():
            if BEST_RUN in one["tags"]:
                one["tags"][BEST_RUN] = named[one["tags"][BEST_RUN]]
        return found
    finally:
        link.close()


def _models(link: sqlite3.Connection, run: str) -> dict[str, tuple[str, int]]:
    """Names and states of a run's entries among the logged models, by id."""
    query = "SELECT model_id, name, status FROM logged_models WHERE source_run_id = ? AND lifecycle_stage = 'active'"
    return {one: (name, state) for one, name, state in link.execute(query, [run]).fetchall()}


def _params(link: sqlite3.Connection, run: str) -> dict[str, str]:
    return dict(link.execute("SELECT key, value FROM params WHERE run_uuid = ?", [run]).fetchall())


def _points(link: sqlite3.Connection, run: str, identity: tuple[str, ...]) -> list[tuple[str, int, float]]:
    points = link.execute("SELECT key, step, value FROM metrics WHERE run_uuid = ?", [run]).fetchall()
    twice = [point for point, count in Counter((key, step) for key, step, _ in points).items() if count > 1]
    assert not twice, f"{identity}: points are there twice: {twice}"
    return sorted(points)


def unfinished(runs: dict[tuple[str, ...], dict[str, Any]]) -> list[tuple[str, ...]]:
    """The runs that have not the status of what they are of."""
    return [one for one, run in runs.items() if run["status"] != ENDS.get(run["tags"].get("tracker.state"), "FINISHED")]
