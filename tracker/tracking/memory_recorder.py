"""A recorder that keeps its runs in memory and behaves as MLflow does, failures included: no server, no start-up."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracker.canonical import digest
from tracker.errors import TrackingError
from tracker.tracking.delivered import destination
from tracker.tracking.logged_models import LOGGED_TAG
from tracker.tracking.recorder import MOST_BYTES, PAGE, Entry, Found, cut
from tracker.tracking.run_contents import Dataset, Point, Run

_ONE_CALL = threading.RLock()  # not a recorder's own, so that it can be copied


@dataclass(slots=True)
class MemoryRun:
    """A run as it is kept; `files` by their place in the run's artifacts."""

    run_id: str
    name: str
    start_ms: int
    tags: dict[str, str]
    status: str = "RUNNING"
    end_ms: int = 0
    params: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    deleted: bool = False
    inputs: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    _points: dict[str, Point] = field(default_factory=dict)

    @property
    def points(self) -> list[Point]:
        """Every point once, by name and time."""
        return sorted(self._points.values(), key=lambda point: (point.name, point.time_ms, point.step))

    def log(self, point: Point) -> None:
        """Adds a point; an equal one is there already (NaN is equal to NaN)."""
        self._points[repr(point)] = point


@dataclass(frozen=True, slots=True)
class Fault:
    """What the call of this number comes to; with `answer_lost` the server does it and only its answer is lost."""

    call: int
    error: BaseException
    answer_lost: bool


class MemoryRecorder:
    """One experiment, kept by this object: everybody who delivers to the same place is given the same one.

    `away` lets every call fail until it is set back; `fail` lets one call fail. `calls` counts the calls.
    """

    def __init__(self, name: str = "memory", page: int = PAGE, at_once: int = 1) -> None:
        self.destination = destination("memory:", name)
        self.at_once = at_once
        self.away = False
        self.calls = 0
        self._page = page
        self._fault: Fault | None = None
        self._runs: dict[str, MemoryRun] = {}
        self._tags: dict[str, str] = {}
        self.versions: dict[str, dict[str, tuple[str, dict[str, str]]]] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.entries: dict[str, Entry] = {}

    def fail(self, after: int, error: BaseException | None = None, *, answer_lost: bool = False) -> None:
        """The call after the next `after` ones fails with `error`, TrackingError if None; None later than that."""
        self._fault = Fault(self.calls + after + 1, error or TrackingError("memory: a call failed"), answer_lost)

    def recover(self) -> None:
        """No call fails from here on."""
        self.away, self._fault = False, None

    def runs(self) -> list[MemoryRun]:
        """The active runs, by name."""
        return sorted((run for run in self._runs.values() if not run.deleted), key=lambda run: (run.name, run.run_id))

    def connect(self) -> str:
        """Reaches the place; the experiment's id. Raises TrackingError."""
        with self._call("reach the server"):
            return "0"

    def reach(self) -> None:
        """Asks for one small thing. Raises TrackingError when the place is away."""
        with self._call("reach the server"):
            return

    def search(self, tag: str, value: str, *, deleted: bool = False) -> list[Found]:
        """All active runs that carry a tag, or all deleted ones, read to the last page, the newest first."""
        found: list[Found] = []
        while True:
            with self._call("search runs"):
                there = [run for run in self._runs.values() if run.deleted == deleted and run.tags.get(tag) == value]
                there.sort(key=lambda run: (-run.start_ms, run.run_id))
                found += [_found(run) for run in there[len(found) : len(found) + self._page]]
                if len(found) == len(there):
                    return found

    def create(self, run: Run, parent: str | None) -> Found:
        """Creates a run as RUNNING with all its tags. Ids say nothing of the order of creation, as MLflow's."""
        with self._call(f"create run {run.name}"):
            tags = {name: cut(value) for name, value in run.tags.items()}
            if parent is not None:
                tags["mlflow.parentRunId"] = parent
            made = MemoryRun(digest("run", len(self._runs))[:32], run.name, run.start_ms, tags)
            self._runs[made.run_id] = made
            return _found(made)

    def fill(self, found: Found, run: Run) -> None:
        """Logs params, points, inputs, tags. Raises TrackingError for a param that is there with another value."""
        with self._call(f"fill run {run.name}"):
            kept, params = self._active(found), {name: cut(value) for name, value in run.params.items()}
            for name, value in params.items():
                if kept.params.setdefault(name, value) != value:
                    raise TrackingError(f"memory: param {name} was {kept.params[name]}, cannot become {value}")
            for point in run.points:
                kept.log(point)
            kept.inputs.update({(seen.name, seen.digest): seen for seen in run.inputs})
            kept.tags.update({name: cut(value) for name, value in run.tags.items()})

    @contextlib.contextmanager
    def files(self, found: Found) -> Iterator[Path]:
        """A folder whose files are kept one by one when it is left, so that a failure can leave some of them."""
        with tempfile.TemporaryDirectory(prefix="tracker-") as scratch:
            yield Path(scratch)
            for path in sorted(path for path in Path(scratch).rglob("*") if path.is_file()):
                with self._call("upload files"):
                    self._runs[found.run_id].files[path.relative_to(scratch).as_posix()] = path.read_bytes()

    def read(self, found: Found, name: str, most_bytes: int = MOST_BYTES) -> bytes:
        """The content of a file of a run. Raises TrackingError, naming both."""
        with self._call(f"read {name} of run {found.name}"):
            if name not in self._runs[found.run_id].files:
                raise TrackingError(f"memory: run {found.name} ({found.run_id}) has no file {name}")
            if len(content := self._runs[found.run_id].files[name]) > most_bytes:
                raise TrackingError(f"memory: {name} of run {found.name} has more than {most_bytes} bytes")
            return content

    def lacks(self, found: Found, name: str) -> bool:
        """Whether a file of a run is missing."""
        return name not in self._runs[found.run_id].files

    def size(self, found: Found, name: str) -> int:
        """The bytes of a file or folder of a run."""
        return sum(len(content) for content in self._within(found, name).values())

    def remove(self, found: Found, name: str) -> None:
        """Removes a file or folder of a run, file by file, so that a failure can leave some of them."""
        for path in self._within(found, name):
            with self._call(f"remove {path} of run {found.name}"):
                del self._runs[found.run_id].files[path]

    def untag(self, found: Found, name: str) -> None:
        """Takes a tag off a run."""
        with self._call(f"untag run {found.name}"):
            self._active(found).tags.pop(name, None)

    def _within(self, found: Found, name: str) -> dict[str, bytes]:
        files = self._runs[found.run_id].files
        return {path: content for path, content in files.items() if path == name or path.startswith(f"{name}/")}

    def last_value(self, found: Found, metric: str) -> float | None:
        """The newest point of a metric; None where there is none."""
        with self._call(f"read {metric} of run {found.name}"):
            points = [point for point in self._runs[found.run_id].points if point.name == metric]
            return points[-1].value if points else None

    def end(self, found: Found, run: Run) -> None:
        """Ends a run with its status and true time."""
        with self._call(f"end run {run.name}"):
            kept = self._active(found)
            kept.status, kept.end_ms = run.status, run.end_ms

    def experiment_tags(self) -> dict[str, str]:
        """The tags of the experiment."""
        with self._call("read the experiment's tags"):
            return dict(self._tags)

    def tag_experiment(self, name: str, value: str) -> None:
        """Sets a tag of the experiment."""
        with self._call(f"set tag {name} of the experiment"):
            self._tags[name] = value

    def list_model(self, found: Found, entry: Entry, write: Callable[[Path], None]) -> str:
        """The entry of a run, made the first time."""
        with self._call(f"list the model of {found.name}"):
            self.entries.setdefault(found.run_id, entry)
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder))
            self._active(found).tags[LOGGED_TAG] = f"m-{found.run_id}"
            return f"m-{found.run_id}"

    def unlist_model(self, found: Found) -> None:
        """Takes the entry of a run away."""
        with self._call(f"unlist the model of {found.name}"):
            self.entries.pop(found.run_id, None)

    def register(self, model: str, found: Found, tags: Mapping[str, str]) -> str:
        """The version of a registered model that is a run's, made the first time."""
        with self._call(f"register {model}"):
            versions = self.versions.setdefault(model, {})
            return versions.setdefault(found.run_id, (str(len(versions) + 1), dict(tags)))[0]

    def point(self, model: str, alias: str, version: str) -> None:
        """Moves an alias to a version."""
        with self._call(f"point {alias} of {model}"):
            self.aliases[model, alias] = version

    def delete(self, found: Found) -> None:
        """Takes a run out of every search."""
        with self._call("delete a run"):
            self._runs[found.run_id].deleted = True

    def _active(self, found: Found) -> MemoryRun:
        run = self._runs[found.run_id]
        if run.deleted:
            raise TrackingError(f"memory: run {found.name} ({found.run_id}) was deleted; restore it first")
        return run

    @contextlib.contextmanager
    def _call(self, doing: str) -> Iterator[None]:
        with _ONE_CALL:
            yield from self._answered(doing)

    def _answered(self, doing: str) -> Iterator[None]:
        self.calls += 1
        fault = self._fault if self._fault is not None and self._fault.call == self.calls else None
        if self.away:
            raise TrackingError(f"memory: could not {doing}; it was told to be away")
        if fault is not None and not fault.answer_lost:
            raise fault.error
        yield
        if fault is not None:
            raise fault.error


def _found(run: MemoryRun) -> Found:
    times = (run.start_ms, run.end_ms)
    return Found(run.run_id, run.status, dict(run.tags), f"memory:{run.run_id}", run.name, *times, dict(run.params))
