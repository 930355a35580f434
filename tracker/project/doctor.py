"""Looks over a project in seconds and says what is wrong and what to do; runs nothing that was read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from tracker.config import Config, load_config
from tracker.errors import DataError, InputError, StoreError, TrackerError, TrackingError
from tracker.paths import Paths
from tracker.project.watched import unwatched
from tracker.remedies import has_dvc, lacking_for_dvc, run_again, stage_command
from tracker.shown import agree, counted
from tracker.store.mending import Health, examine_store, mend_store, told
from tracker.store.store import FILE, Store
from tracker.terminal.split_foreseen import date_faults
from tracker.tracking.addresses import shown_address

State = Literal["sound", "note", "wrong"]
LEAST_FREE = 2**30  # bytes
FIRST_DAY_S = 1_704_067_200.0  # 2024-01-01: no clock of a machine that runs this release is before it
PACKAGES = ("repro-tracker", "torch", "numpy", "optuna", "mlflow", "dvc")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part of a project; `exit_code` is what commands that need the part would leave with."""

    part: str
    state: State
    words: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """What a project is looked over with: where it is, where its records go, the time."""

    paths: Paths
    tracking_uri: str
    now_s: float


def examine(case: Case) -> Iterator[Finding]:
    """Every part in turn, the quick ones first; a part that cannot be looked at is wrong, and the next one follows."""
    parts: tuple[tuple[str, Callable[[Case], Iterator[Finding]]], ...] = (
        ("versions", _versions),
        ("clock", _clock),
        ("disk", _disk),
        ("permissions", _permissions),
        ("params.yaml", _params),
        ("dvc", _dvc),
        ("store", _store),
        ("queue", _queue),
        ("data", _data),
        ("environment", _environment),
        ("mlflow", _mlflow),
    )
    for name, look in parts:
        try:
            yield from look(case)
        except TrackerError as error:
            for line in str(error).splitlines():
                yield Finding(name, "wrong", line, error.exit_code)
        except Exception as error:  # a doctor falls over nothing
            yield Finding(name, "wrong", f"could not be looked at ({type(error).__name__}: {error})", 1)


def lines_of(found: Sequence[Finding]) -> list[str]:
    """A line per finding: the part, whether it is sound, the words."""
    from tracker.columns import align

    return align([(one.part, one.state, one.words) for one in found])


def exit_code_of(found: Sequence[Finding]) -> int:
    """0 where nothing is wrong, else what the first wrong part's commands leave with."""
    return next((one.exit_code for one in found if one.state == "wrong"), 0)


def repair(case: Case) -> list[str]:
    """Moves rows of the store that cannot be used aside, and says what comes back how. Raises StoreError."""
    if not (case.paths.store / FILE).is_file():
        return ["store: there is none; nothing to repair"]
    health = examine_store(case.paths.store)
    if health.sound:
        return [f"store: all {counted(health.rows, 'row')} are sound; nothing to repair"]
    with Store.open(case.paths.store) as store, store.lock("doctor", 5.0):
        health = examine_store(case.paths.store)
        path = mend_store(case.paths.store, health, case.now_s)
    bad = len(health.bad)
    moved = [f"store: {counted(bad, 'row')} {agree(bad, 'was', 'were')} moved to {path}"] if path else []
    return [*moved, *(f"store: {line}" for line in told(health))]


def _versions(_: Case) -> Iterator[Finding]:
    import platform

    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            if name != "dvc":
                yield Finding("versions", "wrong", f"{name} is not installed here; install repro-tracker anew", 1)
    yield Finding("versions", "sound", ", ".join(found))


def _clock(case: Case) -> Iterator[Finding]:
    told = datetime.fromtimestamp(case.now_s, UTC).isoformat(timespec="seconds")
    if case.now_s < FIRST_DAY_S:
        yield Finding("clock", "wrong", f"it is {told} here; set the clock: records bear times", 1)
    else:
        yield Finding("clock", "sound", told)


def _disk(case: Case) -> Iterator[Finding]:
    for place in dict.fromkeys((case.paths.root, case.paths.home)):
        free = shutil.disk_usage(place).free
        words = f"{free / 2**30:.1f} GiB free at {place}"
        few = free < LEAST_FREE
        yield Finding("disk", "wrong" if few else "sound", words + ("; free some space" if few else ""), 4 * few)


def _permissions(case: Case) -> Iterator[Finding]:
    places = (case.paths.root, case.paths.home, case.paths.store, case.paths.store / FILE, case.paths.reports)
    closed = [path for path in dict.fromkeys(places) if path.exists() and not os.access(path, os.R_OK | os.W_OK)]
    for path in closed:
        yield Finding("permissions", "wrong", f"{path}: cannot be written by this user; make it writable", 4)
    open_to_others = [path for path in (case.paths.store, case.paths.store / FILE) if _is_open(path)]
    for path in open_to_others:
        yield Finding("permissions", "note", f"{path}: other users may write there; chmod go-rwx {path}")
    if not closed and not open_to_others:
        yield Finding("permissions", "sound", "the project and its store can be written by this user")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & 0o022)


def _params(case: Case) -> Iterator[Finding]:
    config = load_config(case.paths.params)
    studies = f"{len(config.studies)} {agree(len(config.studies), 'study', 'studies')}"
    if faults := date_faults(case.paths):
        yield from (
            Finding("params.yaml", "wrong", fault.removeprefix("params.yaml: "), InputError.exit_code)
            for fault in faults
        )
    else:
        yield Finding("params.yaml", "sound", f"{studies}: {', '.join(config.studies)}")


def _dvc(case: Case) -> Iterator[Finding]:
    if not (case.paths.root / "dvc.yaml").is_file():
        yield Finding("dvc", "sound", "no dvc.yaml; stages run with `tracker run`")
    elif lacking := lacking_for_dvc(case.paths.root):
        yield Finding("dvc", "note", f"{lacking}; till then stages run with {stage_command(case.paths.root)}")
    elif differing := unwatched(case.paths.root):
        yield from (Finding("dvc", "note", line) for line in differing)
    else:
        yield Finding("dvc", "sound", f"stages run with {stage_command(case.paths.root)}")


def _store(case: Case) -> Iterator[Finding]:
    if not (case.paths.store / FILE).is_file():
        yield Finding("store", "sound", f"none yet in {case.paths.store}")
        return
    health: Health = examine_store(case.paths.store)
    for line in told(health):
        yield Finding("store", "wrong", f"{line}. `tracker doctor --repair` moves rows aside", StoreError.exit_code)
    with Store.open(case.paths.store) as store:
        weights = store.check_weights()
        late = [key for key, _ in store.studies() if store.created(key) > case.now_s + 86400] if health.sound else []
    if late:
        words = f"study {late[0][:12]} was stored in the future; is the clock right?"
        yield Finding("clock", "note", words)
    if health.sound:
        yield Finding(
            "store", "sound", f"{counted(health.rows, 'row')} and {weights} weights, each equal to its digest"
        )


def _queue(case: Case) -> Iterator[Finding]:
    from tracker.tracking.outbox import waiting

    if not (case.paths.store / FILE).is_file():
        return
    count = waiting(case.paths.store, case.tracking_uri, _config(case).tracking.experiment)
    words = f"{counted(count, 'record')} {agree(count, 'waits', 'wait')} for MLflow"
    words += "; `tracker sync` delivers them" if count else ""
    yield Finding("queue", "note" if count else "sound", words)


def _data(case: Case) -> Iterator[Finding]:
    from tracker.datasets.made_with import outdated, unrecorded
    from tracker.datasets.training_data import read_split

    if not case.paths.splits.exists():
        yield Finding("data", "note", f"no data/splits yet; {run_again(case.paths.root)}")
        return
    rows = {name: len(read_split(case.paths.splits, name)) for name in ("train", "validation")}
    words = ", ".join(f"{name} {counted(count, 'row')}" for name, count in rows.items())
    yield Finding("data", "sound", f"{words}, equal to their digests; the sealed test split stays closed")
    if line := unrecorded(case.paths):
        yield Finding("data", "note", line)
    if found := outdated(_config(case), case.paths):
        state: State = "note" if has_dvc(case.paths.root) else "wrong"
        yield Finding("data", state, f"{case.paths.splits}: {found}", DataError.exit_code)


def _environment(case: Case) -> Iterator[Finding]:
    from tracker.surroundings.environment import environment

    config = _config(case)
    name, parts = environment()
    told = f"{name[:12]} (torch {parts['torch']}, {parts['cpu_capability']}, {parts['cpu_vendor']})"
    yield Finding("environment", "sound", told)
    with Store.opened_if_there(case.paths.store) as store:
        passed = store.selftest(name, config.model.family) if store else None
    if passed is False:
        words = "the lanes gave other bits than single trials here: trials train one by one, which is slower and right"
        yield Finding("environment", "note", words)


def _mlflow(case: Case) -> Iterator[Finding]:
    from tracker.tracking.mlflow_database import database_path, require_opens

    path, shown = database_path(case.tracking_uri), shown_address(case.tracking_uri)
    if path is not None and not path.exists():
        yield Finding("mlflow", "sound", f"{shown}: none yet; the first study makes it")
        return
    if path is not None:
        require_opens(path)
        yield Finding("mlflow", "sound", f"{shown}: opens")
        return
    from tracker.tracking.mlflow_settings import settle

    settle(os.environ)
    from tracker.tracking.mlflow_recorder import MlflowRecorder

    try:
        MlflowRecorder(case.tracking_uri, _config(case).tracking.experiment, create=False).reach()
    except TrackingError as error:
        yield Finding("mlflow", "wrong", str(error), error.exit_code)
    else:
        yield Finding("mlflow", "sound", f"{shown}: answers")


def _config(case: Case) -> Config:
    """The configuration; where it is wrong its own part says so."""
    try:
        return load_config(case.paths.params)
    except InputError as error:
        raise InputError(f"needs params.yaml ({error.faults[0]})") from None
