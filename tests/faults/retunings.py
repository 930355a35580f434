"""A retuning killed at a system call, or whose disk fails: the same command ends with the same decision, told and served once.

What `tracker retune` does runs in one driver under strace: the stages, the decision, the delivery to a real MLflow database.
A trigger in that database keeps every move of the alias.
"""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.faults import deliveries
from tests.faults.lives import Tally, at, clear, copy, count_rows
from tests.faults.nursery import Nursery
from tests.faults.syscalls import Moment, inject, judge, list_calls, live_under_strace
from tests.retuning.year import PARAMS, Year, table
from tests.studies.project import SmallProject
from tracker.retuning.history import peek
from tracker.store.store import Store

MODULES = (
    *deliveries.MODULES,
    "scipy.stats",
    "sklearn.metrics",
    "tracker.datasets.prepare",
    "tracker.evaluation.compare",
    "tracker.retuning.champion",
    "tracker.retuning.changes",
    "tracker.retuning.retune",
    "tracker.tracking.mlflow_model",
)
RETUNE: dict[str, Any] = {"do": "retune"}
KEPT = """
CREATE TABLE moved (alias TEXT, version INTEGER);
CREATE TRIGGER begun AFTER INSERT ON registered_model_aliases
    BEGIN INSERT INTO moved VALUES (new.alias, new.version); END;
CREATE TRIGGER moved_on AFTER UPDATE ON registered_model_aliases WHEN old.version <> new.version
    BEGIN INSERT INTO moved VALUES (new.alias, new.version); END;
CREATE TRIGGER taken AFTER DELETE ON registered_model_aliases
    BEGIN INSERT INTO moved VALUES (old.alias, NULL); END;
"""


@dataclass(frozen=True)
class Ending:
    """What a retuning left: decisions without their times, moves of the alias, versions, runs of decisions, files, rows."""

    decisions: list[dict[str, Any]]
    moves: list[tuple[str, int | None]]
    versions: list[tuple[int, str, list[str], bytes]]
    runs: list[tuple[str, str]]
    files: dict[str, bytes]
    rows: dict[str, int]
    profiles: list[str]

    @classmethod
    def of(cls, project: SmallProject) -> Ending:
        """As it is on disk, in the store and in MLflow. Raises where one of them cannot be read."""
        told, paths = peek(project.paths.retunes).told, project.paths
        with Store.open(paths.store) as store:
            store.check()
            assert store.retunes() == dict(told)
        timeless = [{name: v for name, v in one.items() if name not in {"time", "previous"}} for one in told.values()]
        names = [*paths.splits.glob("*.parquet"), *(paths.root / "models").rglob("*"), paths.root / "warm_start.yaml"]
        files = {str(path.relative_to(paths.root)): path.read_bytes() for path in names if path.is_file()}
        with closing(_opened(paths.root)) as link:
            moves = link.execute("SELECT alias, version FROM moved ORDER BY rowid").fetchall()
            runs = link.execute(
                "SELECT t.value, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
                "WHERE t.key = 'tracker.decision' AND r.lifecycle_stage = 'active' ORDER BY r.name"
            ).fetchall()
        profiles = sorted(path.name for path in paths.profiles.iterdir())
        return cls(timeless, moves, versions(paths.root), runs, files, count_rows(project), profiles)


def versions(root: Path) -> list[tuple[int, str, list[str], bytes]]:
    """Each version of the registered model: number, the trial's key, the names of its files, its weights."""
    found = []
    with closing(_opened(root)) as link:
        query = (
            "SELECT v.version, t.value, v.source FROM model_versions v JOIN model_version_tags t "
            "ON t.name = v.name AND t.version = v.version WHERE t.key = 'tracker.key' ORDER BY v.version"
        )
        for version, key, source in link.execute(query).fetchall():
            folder = Path(unquote(urlsplit(source).path))
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            [weights] = [path.read_bytes() for path in files if path.name == "weights.safetensors"]
            found.append((version, key, [str(path.relative_to(folder)) for path in files], weights))
    return found


def _opened(root: Path) -> sqlite3.Connection:
    return sqlite3.connect(root / "mlflow.db")  # to be written too: after a kill SQLite goes back to what was whole


@dataclass(frozen=True)
class Grown:
    """A project that was retuned once and whose table has grown since; each life is a copy of `origin` at `root`.

    `root` is where it was first retuned: MLflow's database holds whole paths.
    """

    origin: SmallProject
    root: Path
    expected: Ending
    calls: list[Moment]


def make_grown(folder: Path, nursery: Nursery) -> Grown:
    """The project, what a retuning comes to that nothing disturbs (a promotion), and its write-type system calls in order."""
    root, log = folder / "project", folder / "project.log"
    year = Year(root, PARAMS.replace("trials: 4", "trials: 2"))
    year.write(table(1, 2, 3))
    deliveries.make_database(root / "mlflow.db")
    assert nursery.run(root, log, **RETUNE) == 0, log.read_text()
    with closing(sqlite3.connect(root / "mlflow.db")) as link:
        link.executescript(KEPT)
    year.write(table(1, 2, 3, 8, 9, 10, turned=(8, 9, 10)))
    root.rename(folder / "origin")
    origin = SmallProject(folder / "origin", (folder / "origin" / "params.yaml").read_text())
    calls = list_calls(nursery, origin, root, "", keep=True, **RETUNE)
    expected = Ending.of(at(origin, root))
    clear(root, log)
    assert [one["decision"] for one in expected.decisions] == ["first", "promoted"]
    assert expected.moves == [("champion", 2)]
    assert len(expected.versions) == len(expected.runs) == 2
    return Grown(origin, root, expected, calls)


def strike(nursery: Nursery, grown: Grown, moment: Moment, fault: str) -> Tally:
    """Killed before a call (`kill`), or the call fails with an error such as EIO; then the same command again.

    What is served in between is whole, an error has a message and its exit code, and the end is that of an undisturbed life.
    """
    project, log = copy(grown.origin, grown.root), grown.root.with_suffix(".log")
    what = "signal=SIGKILL" if fault == "kill" else f"error={fault}"
    code, text = live_under_strace(nursery, grown.root, "", *inject(moment, what), **RETUNE)
    # One of the last calls may be spared: MLflow's ids are drawn anew in each life.
    tally = Tally(lives=1, kills=int(code == -signal.SIGKILL or "INJECTED" in text))
    if fault == "kill" and code not in {0, -signal.SIGKILL}:
        tally.notes.append(f"{moment}: left with {code}: {log.read_text()[-500:]}")
    if fault != "kill" and code and (wrong := judge(code, log.read_text())):  # with 0 MLflow may log trouble of its own
        tally.notes.append(f"{moment}, {fault}: {wrong}")
    _look(grown, project, moment, tally)
    _finish(nursery, grown, project, moment, tally)
    return tally


def _look(grown: Grown, project: SmallProject, moment: Moment, tally: Tally) -> None:
    """Right after a kill: the file of decisions can be read, and every version that MLflow has is a whole model."""
    try:
        count = len(peek(project.paths.retunes).told)
        known = {version[1:] for version in map(_hashable, grown.expected.versions)}
        half = [version[:2] for version in map(_hashable, versions(project.paths.root)) if version[1:] not in known]
    except Exception as error:
        tally.notes.append(f"{moment}: then cannot be read: {error!r}")
        return
    if count not in {1, 2} or half:
        tally.notes.append(f"{moment}: {count} decisions, half-written versions: {half}")


def _hashable(version: tuple[int, str, list[str], bytes]) -> tuple[int, str, tuple[str, ...], bytes]:
    number, key, names, weights = version
    return number, key, tuple(names), weights


def _finish(nursery: Nursery, grown: Grown, project: SmallProject, moment: Moment, tally: Tally) -> None:
    log = grown.root.with_suffix(".log")
    log.unlink(missing_ok=True)
    if code := nursery.run(grown.root, log, **RETUNE):
        tally.notes.append(f"{moment}: the same command then left with {code}: {log.read_text()[-1500:]}")
    else:
        found = Ending.of(project)
        odd = [one.name for one in fields(Ending) if getattr(found, one.name) != getattr(grown.expected, one.name)]
        tally.different += bool(odd)
        for name in odd:
            left, right = getattr(grown.expected, name), getattr(found, name)
            tally.notes.append(f"{moment}: other {name}: {str(left)[:300]} | {str(right)[:300]}")
        if leftovers := sorted(str(path) for path in project.paths.store.rglob("*.part")):
            tally.notes.append(f"{moment}: left behind: {leftovers}")
    clear(grown.root, log)
