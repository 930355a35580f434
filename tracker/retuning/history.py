"""The decisions of retunings: a line each in reports/retunes.jsonl, to be committed, with a copy in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, digest, parse_canonical
from tracker.durable import sync_folder, write_whole
from tracker.errors import StoreCorrupt, StoreError
from tracker.fields import retune as shape
from tracker.store.store import Store
from tracker.tracking.retuned import MOVES

FORMAT = 1
TUNED = frozenset({"first", "promoted", "refitted", "kept"})  # decisions for which studies ran on the data


@dataclass(frozen=True, slots=True)
class History:
    """All decisions, oldest first, by digest."""

    told: dict[str, Mapping[str, Any]]

    @property
    def last(self) -> Mapping[str, Any] | None:
        """The last decision of any kind."""
        return next(reversed(self.told.values()), None)

    @property
    def last_digest(self) -> str | None:
        """The digest of the last decision."""
        return next(reversed(self.told), None)

    @property
    def last_tuned(self) -> Mapping[str, Any] | None:
        """The last decision for which studies ran."""
        return next((told for told in reversed(self.told.values()) if told["decision"] in TUNED), None)

    @property
    def champion(self) -> Mapping[str, Any] | None:
        """The model that is served: study, study_key, trial, key, value."""
        last = self.last
        return None if last is None else last["champion"]

    @property
    def former_champion(self) -> Mapping[str, Any] | None:
        """The model that was served before the present one; None where there was none."""
        present = self.champion
        for told in reversed(self.told.values()):
            if told["champion"] is not None and told["champion"] != present:
                champion: Mapping[str, Any] = told["champion"]
                return champion
        return None

    def moves(self) -> list[Mapping[str, Any]]:
        """The decisions after which another model was served, oldest first."""
        return [told for told in self.told.values() if told["decision"] in MOVES]


def read_history(path: Path, store: Store) -> History:
    """The union of file and store; what one of them lacks is written back to it. Raises StoreCorrupt, naming the line."""
    in_file, kept = _read(path), store.retunes()
    for key, told in in_file.items():
        if key not in kept:
            store.put_retune(told)
    history = _ordered({**kept, **in_file})
    if set(history.told) != set(in_file):
        _write(path, history)
    return history


def peek(path: Path) -> History:
    """The decisions of the file alone, without opening a store. Raises StoreCorrupt, naming the line."""
    return _ordered(_read(path))


def keep(path: Path, store: Store, told: Mapping[str, Any], clock: Callable[[], float]) -> History:
    """Adds a decision to store and file; the store first, so that a kill between them loses nothing."""
    history = read_history(path, store)
    now = clock()
    time = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    number = 1 + max((one["number"] for one in history.told.values()), default=0)
    whole = {"format": FORMAT, "number": number, "time": time, "previous": history.last_digest, **told}
    store.put_retune(whole, now)
    return read_history(path, store)


def _ordered(told: Mapping[str, Mapping[str, Any]]) -> History:
    return History(dict(sorted(told.items(), key=lambda item: (item[1]["number"], item[1]["time"], item[0]))))


def _read(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreCorrupt(f"{path}: cannot be read ({error.strerror})") from None
    found: dict[str, Mapping[str, Any]] = {}
    for place, line in enumerate(lines, start=1):
        try:
            value = parse_canonical(line)
            key = value.pop("digest")
            shape(value)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreCorrupt(f"{path}, line {place}: no decision of a retuning ({error}); {_MEND}") from None
        if digest("retune", value) != key:
            raise StoreCorrupt(f"{path}, line {place}: differs from its digest; {_MEND}")
        found[key] = value
    return found


def _write(path: Path, history: History) -> None:
    lines = (canonical_json({**told, "digest": key}) + b"\n" for key, told in history.told.items())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, b"".join(lines))
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); the store has the decision") from None


_MEND = "bring it back from git, or delete the line: what the store holds is written there again"
