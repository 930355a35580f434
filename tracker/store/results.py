"""What follows from studies and is kept beside them: looks at the test split, final results, decisions of retunings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracker.canonical import digest
from tracker.errors import NotFoundError
from tracker.store.database import Database
from tracker.store.queue import queue, queue_final


class Results:
    """The part of a store that keeps results; each is stored once, under the digest of its content."""

    _database: Database
    _clock: Callable[[], float]

    def put_final(self, final: Mapping[str, Any], at: float | None = None) -> str:
        """Stores a final result under its digest and queues its run; the digest."""
        key = digest("final", dict(final))
        if not self._database.get("finals", [key]):
            with self._database.writing() as writer:
                writer.insert("finals", key, {"final": dict(final), "created": self._time(at)})
                queue_final(writer, key)
        return key

    def finals(self) -> list[dict[str, Any]]:
        """All final results, oldest first."""
        return [row.value["final"] for row in sorted(self._database.rows("finals"), key=lambda row: row.place)]

    def final(self, key: str) -> tuple[dict[str, Any], float]:
        """A final result and when it was stored. Raises NotFoundError."""
        rows = self._database.get("finals", [key])
        if not rows:
            raise NotFoundError(f"no final result {key} in {self._database.path}")
        return rows[0].value["final"], rows[0].value["created"]

    def put_look(self, digest: str, look: Mapping[str, Any]) -> None:
        """Stores a look at the test split under its digest, once."""
        self._put_once("looks", digest, look)

    def looks(self) -> dict[str, dict[str, Any]]:
        """All looks by digest."""
        return {row.key: row.value for row in self._database.rows("looks")}

    def put_retune(self, retune: Mapping[str, Any], at: float | None = None) -> str:
        """Stores a decision of a retuning under its digest and queues its run; the digest."""
        key = digest("retune", dict(retune))
        if not self._database.get("retunes", [key]):
            with self._database.writing() as writer:
                writer.insert("retunes", key, {"retune": dict(retune), "created": self._time(at)})
                queue(writer, f"retune/{key}", key)
        return key

    def retunes(self) -> dict[str, dict[str, Any]]:
        """All decisions of retunings by digest, oldest first."""
        rows = sorted(self._database.rows("retunes"), key=lambda row: row.place)
        return {row.key: row.value["retune"] for row in rows}

    def retune(self, key: str) -> tuple[dict[str, Any], float]:
        """A decision of a retuning and when it was stored. Raises NotFoundError."""
        rows = self._database.get("retunes", [key])
        if not rows:
            raise NotFoundError(f"no retuning {key} in {self._database.path}")
        return rows[0].value["retune"], rows[0].value["created"]

    def _time(self, at: float | None) -> float:
        return self._clock() if at is None else at

    def _put_once(self, table: str, key: str, value: Mapping[str, Any]) -> None:
        if not self._database.get(table, [key]):
            with self._database.writing() as writer:
                writer.insert(table, key, dict(value))
