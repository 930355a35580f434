"""What a delivery needs of a place that keeps runs, and what such a place says of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tracker.tracking.run_contents import Dataset, Point, Run

PAGE = 1000  # runs per answer of a search
MOST_PAGES = 1000  # of one search
MOST_BYTES = 2**31  # of one artifact
MOST_RECORD = 2**26  # bytes of a record
TEXT_LIMIT = 5000  # characters of a tag or param; the exact value is in record.json


@dataclass(frozen=True, slots=True)
class Found:
    """A run that is there."""

    run_id: str
    status: str
    tags: Mapping[str, str]
    artifacts: str
    name: str = ""
    start_ms: int = 0
    end_ms: int = 0
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it was completed; a run is ended last."""
        return self.status in {"FINISHED", "FAILED", "KILLED"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as the list shows it: of which run's key, how it was made, what it scored on which rows."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: Sequence[tuple[Point, Dataset | None]]


class Recorder(Protocol):
    """One experiment of one server. Every method raises TrackingError when the server is away or refuses."""

    @property
    def destination(self) -> str:
        """The short name under which a store notes what has reached this place."""

    @property
    def at_once(self) -> int:
        """How many runs may be created, filled and ended at the same time, by threads of one process."""

    def connect(self) -> str:
        """Reaches the server and makes the experiment the first time; its id."""

    def reach(self) -> None:
        """Asks the server for one small thing."""

    def search(self, tag: str, value: str, *, deleted: bool = False) -> list[Found]:
        """All active runs of the experiment that carry a tag, or all deleted ones, read to the last page."""

    def create(self, run: Run, parent: str | None) -> Found:
        """Creates a run as RUNNING, with all its tags, from which it is known again."""

    def fill(self, found: Found, run: Run) -> None:
        """Logs params, points, data sets and the tags that differ. A param never changes; equal points merge."""

    def files(self, found: Found) -> AbstractContextManager[Path]:
        """A folder whose content becomes the run's artifacts, over what is there."""

    def read(self, found: Found, name: str, most_bytes: int = MOST_BYTES) -> bytes:
        """The content of an artifact of a run; one that is larger is refused."""

    def lacks(self, found: Found, name: str) -> bool:
        """Whether a file of a run is known to be missing; False where looking would ask a server."""

    def size(self, found: Found, name: str) -> int | None:
        """The bytes of a file or folder of a run; None where looking would ask a server."""

    def remove(self, found: Found, name: str) -> None:
        """Removes a file or folder of a run's artifacts; what is not there is fine."""

    def untag(self, found: Found, name: str) -> None:
        """Takes a tag off a run; one that is not there is fine."""

    def last_value(self, found: Found, metric: str) -> float | None:
        """The newest point of a metric; None where there is none."""

    def end(self, found: Found, run: Run) -> None:
        """Ends a run with its status and true time."""

    def experiment_tags(self) -> Mapping[str, str]:
        """The tags of the experiment."""

    def tag_experiment(self, name: str, value: str) -> None:
        """Sets a tag of the experiment, as long as it is."""

    def list_model(self, found: Found, entry: Entry, write: Callable[[Path], None]) -> str:
        """The id of a run's entry among the logged models, made the first time; `write` fills its folder."""

    def unlist_model(self, found: Found) -> None:
        """Takes a run's entry off the logged models, with its files; one that is not there is fine."""

    def register(self, model: str, found: Found, tags: Mapping[str, str]) -> str:
        """The version of a registered model that is the artifact `model` of a run, made the first time, with these tags."""

    def point(self, model: str, alias: str, version: str) -> None:
        """Moves an alias of a registered model to a version."""

    def delete(self, found: Found) -> None:
        """Moves a run to the deleted runs, from which it can be restored."""


def cut(value: str) -> str:
    """A text as a tag or param holds it."""
    return value if len(value) <= TEXT_LIMIT else value[: TEXT_LIMIT - 1] + "…"
