"""Lives of studies: interrupted again and again, run to their end, and compared with one that was never interrupted.

A driver is killed at a moment that is drawn from the length of a whole life; then the same command is run again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.faults.nursery import POLL_S, Driver, Nursery
from tests.studies.project import SmallProject, make_table
from tracker.errors import NotFoundError
from tracker.store.store import Store
from tracker.store.stored import StoredTrial

STUDIES = ("manual", "grid", "random", "tpe", "median", "repeats")
PARAMS = """
seed: 7
data: {{source: table.csv, target: kind, id: who}}
model: {model}
training: {{epochs: 2}}
objective: {{metric: val_loss}}
hyperparameters: {{{fixed}units: 8, learning_rate: 1e-2, batch_size: 32, dropout: 0.0}}
search_space:
  units: [8, 12, 20]
  dropout: {{low: 0.0, high: 0.5}}
  learning_rate: {{low: 1e-3, high: 1e-1, log: true}}
studies:
  manual: {{sampler: manual, configurations: [{{}}, {{units: 12}}, {{learning_rate: 1e-3}}, {{dropout: 0.25}}, {{units: 16}}]}}
  grid: {{sampler: grid, search_space: {{units: [8, 20], batch_size: [16, 32], dropout: [0.0, 0.5]}}}}
  random: {{sampler: random, trials: {trials}}}
  tpe: {{sampler: tpe, trials: {trials}, generation: 4}}
  median:
    sampler: tpe
    trials: {trials}
    generation: 4
    training: {{epochs: 5, early_stopping: {{monitor: val_loss, patience: 1}}}}
    pruner: {{name: median, n_startup_trials: 1, n_min_trials: 1}}
  repeats: {{sampler: tpe, trials: {trials}, generation: 4, repeats: 2}}
tracking: {{experiment: tests}}
"""
LOOP = """
import torch


def fit(hyperparameters, train, validation, seed):
    \"\"\"A trial of a millisecond: a model as it begins, and a curve that follows from the hyperparameters.\"\"\"
    torch.manual_seed(seed)
    net = torch.nn.Linear(train.x.shape[1], len(train.labels))
    for epoch in range(1, hyperparameters["epochs"] + 1):
        dropout, distance = hyperparameters["dropout"], abs(hyperparameters["learning_rate"] - 0.01)
        loss = distance + (0.5 - dropout) / epoch**2 + dropout / 2  # curves that cross
        yield {"train_loss": loss / 2, "val_loss": loss}
    return net
"""


MODEL = """
import torch


def build(hyperparameters, input_shape, classes):
    units = hyperparameters["units"]
    return torch.nn.Sequential(
        torch.nn.Linear(*input_shape, units), torch.nn.ReLU(), torch.nn.Dropout(hyperparameters["dropout"]),
        torch.nn.Linear(units, classes),
    )
"""
MODELS = {  # `model` and fixed hyperparameters, by what trials are
    "function": ("{family: function, entry: loop:fit}", ""),
    "networks": ("{family: mlp}", "hidden_layers: 1, "),
    "build": ("{family: build, entry: model:build}", ""),
}


# Trials from the third on wait until a file is there: a test decides how long the study lasts.
GATE = """
import os
import time
from loop import fit as inner


def fit(hyperparameters, train, validation, seed):
    with open("begun", "a") as file:
        file.write("x")
    while os.path.getsize("begun") > 2 and not os.path.exists("open"):
        time.sleep(0.01)
    return (yield from inner(hyperparameters, train, validation, seed))
"""


def make_project(root: Path, kind: str, trials: int = 16) -> SmallProject:
    """A small project on disk, split, with a study of each kind; trials are a loop of a millisecond, or networks.

    Networks are of our family (`networks`) or the user's own (`build`).
    """
    model, fixed = MODELS[kind]
    root.mkdir(parents=True, exist_ok=True)
    (root / "loop.py").write_text(LOOP)
    (root / "model.py").write_text(MODEL)
    return SmallProject.made(root, make_table(), PARAMS.format(model=model, fixed=fixed, trials=trials))


@dataclass
class Tally:
    """What happened and what did not hold; two of them add up."""

    kills: int = 0
    lives: int = 0
    trials: int = 0
    acknowledged: int = 0
    lost: int = 0
    double: int = 0
    different: int = 0
    notes: list[str] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self

    @property
    def sound(self) -> bool:
        return not (self.lost or self.double or self.different or self.notes)

    def __str__(self) -> str:
        counts = ", ".join(f"{one.name} {getattr(self, one.name)}" for one in fields(self) if one.name != "notes")
        return "\n".join([counts, *self.notes])


AFTER_S = 0.2  # about as long as two workers train a generation
TABLES = ("studies", "proposals", "runs", "rungs", "outcomes", "attempts", "finishes", "outbox")


@dataclass(frozen=True)
class Ending:
    """All that a finished study left: its report files, and what its store holds.

    `outcomes` has a digest for each run, by trial and place; `decisions` what the pruner decided, by generation and epoch.
    """

    files: dict[str, bytes]
    proposals: list[Any]
    outcomes: dict[tuple[int, int], str]
    states: dict[int, str]
    decisions: list[dict[int, dict[int, bool]]]
    rows: dict[str, int]

    @classmethod
    def of(cls, project: SmallProject, study: str) -> Ending:
        with Store.open(project.paths.store) as store:
            store.check()
            [(key, _)] = store.studies(study)
            proposals = store.proposals(key)
            settled = settled_trials(store, key)
            generations = range(proposals[-1].generation + 1)
            decisions = [store.decisions(key, generation) for generation in generations]
        outcomes = {
            (number, place): outcome.digest
            for number, trial in settled.items()
            for place, outcome in enumerate(trial.outcomes)
        }
        states = {number: trial.outcomes[0].state for number, trial in settled.items()}
        return cls(project.written(), proposals, outcomes, states, decisions, count_rows(project))


def settled_trials(store: Store, key: str) -> dict[int, StoredTrial]:
    """The trials of a study that have ended or were stopped, by their number."""
    found = {}
    for proposal in store.proposals(key):
        with suppress(NotFoundError):
            found[proposal.number] = store.trial(key, proposal.number)
    return found


def bear(nursery: Nursery, origin: SmallProject, root: Path, study: str) -> Ending:
    """A life without an interruption, in a copy of the project."""
    project = copy(origin, root)
    log = root.with_suffix(".log")
    code = nursery.run(root, log, do="tune", study=study)
    assert code == 0, log.read_text()
    return Ending.of(project, study)


def copy(origin: SmallProject, root: Path) -> SmallProject:
    shutil.copytree(origin.paths.root, root)
    return at(origin, root)


def at(origin: SmallProject, root: Path) -> SmallProject:
    """The project that was copied, or has lived, at another place."""
    there = SmallProject.__new__(SmallProject)
    there.paths, there.config = type(origin.paths).of(root, {}), origin.config
    return there


def hunt(
    nursery: Nursery,
    origin: SmallProject,
    root: Path,
    study: str,
    expected: Ending,
    draw: np.random.Generator,
    span_s: float,
    most: int,
    **call: Any,
) -> Tally:
    """A life whose driver is killed at random moments, at most `most` times, then left alone; the folder is removed.

    `call` is for the drivers that are killed; the last one has one worker and takes its time.
    """
    project, log = copy(origin, root), root.with_suffix(".log")
    tally = Tally(lives=1)
    while tally.kills < most:
        driver = nursery.start(root, log, do="tune", study=study, **call)
        if call.get("workers", 1) > 1 and draw.integers(2):  # which take longer to start than to train
            wait_for_more(driver, log, said(log))
            moment = draw.uniform(0, AFTER_S)
        else:
            moment = draw.uniform(0, span_s)
        if not driver.kill_after(float(moment)):
            if driver.code:
                tally.notes.append(f"{study}: left with {driver.code}: {log.read_text()[-2000:]}")
            break
        tally.kills += 1
        tally.acknowledged = max(tally.acknowledged, said(log))
        tally.lost += max(0, tally.acknowledged - kept(project, study))
    tally += finish(nursery, project, log, study, expected)
    clear(root, log)
    return tally


def kill(pid: int) -> int:
    """SIGKILL; whether there was something to kill."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def clear(root: Path, log: Path) -> None:
    for _ in range(100):  # what outlived its driver for a moment may still write
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            break
        time.sleep(0.05)
    log.unlink(missing_ok=True)


def finish(nursery: Nursery, project: SmallProject, log: Path, study: str, expected: Ending) -> Tally:
    """The same command until the end, and what came of it."""
    tally = Tally()
    code = nursery.run(project.paths.root, log, do="tune", study=study)
    if code:
        tally.notes.append(f"{study}: the last run left with {code}: {log.read_text()[-2000:]}")
        return tally
    return tally_of(project, study, expected)


def tally_of(project: SmallProject, study: str, expected: Ending) -> Tally:
    """A finished study against one that was never interrupted."""
    tally, ending = Tally(), Ending.of(project, study)
    tally.trials = len(ending.proposals)
    tally.lost = len(set(expected.outcomes) - set(ending.outcomes))
    tally.double = sum(max(0, ending.rows[table] - count) for table, count in expected.rows.items())
    tally.different = int(expected != ending)
    if odd := [one.name for one in fields(Ending) if getattr(expected, one.name) != getattr(ending, one.name)]:
        tally.notes.append(f"{study}: other {', '.join(odd)}")
    if expected.files != ending.files:
        names = {
            name for name in {*expected.files, *ending.files} if expected.files.get(name) != ending.files.get(name)
        }
        tally.notes.append(f"{study}: other files: {sorted(names)}")
    store = project.paths.store
    if leftovers := sorted(str(path) for path in [*store.rglob("*.part"), *store.rglob("*.checkpoint")]):
        tally.notes.append(f"{study}: left behind: {leftovers}")
    return tally


def count_rows(project: SmallProject) -> dict[str, int]:
    """How many rows each table of a project's store has."""
    with closing(sqlite3.connect(f"file:{project.paths.store / 'store.db'}?mode=ro", uri=True)) as link:
        counts = {table: link.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES}
    return {table: int(count) for table, (count,) in counts.items()}


def said(log: Path) -> int:
    """The highest number of finished trials that a driver has acknowledged."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return max((int(line.split()[1]) for line in lines if line.startswith("acknowledged ")), default=0)


def wait_for_more(driver: Driver, log: Path, before: int) -> None:
    """Waits until a driver acknowledges more trials than so far, or has ended."""
    while driver.poll() is None and said(log) <= before:
        time.sleep(POLL_S)


def kept(project: SmallProject, study: str) -> int:
    """How many settled trials of a study the store has."""
    if not (project.paths.store / "store.db").exists():
        return 0
    with Store.open(project.paths.store) as store:
        found = store.studies(study)
        return len(settled_trials(store, found[0][0])) if found else 0


def children(pid: int) -> list[int]:
    """All descendants of a process, the processes it started first."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def rng(*seeds: int) -> np.random.Generator:
    return np.random.default_rng(seeds)


def length(nursery: Nursery, origin: SmallProject, root: Path, study: str, **call: Any) -> float:
    """How long an uninterrupted life takes, in seconds."""
    copy(origin, root)
    started = time.monotonic()
    assert nursery.run(root, root.with_suffix(".log"), do="tune", study=study, **call) == 0
    took = time.monotonic() - started
    clear(root, root.with_suffix(".log"))
    return took
