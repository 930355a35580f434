"""A file of what has reached one destination, a cache of what MLflow itself knows.

It may lose lines, or be deleted, without harm: a record is searched for in MLflow before it is created.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tracker.canonical import digest
from tracker.durable import make_folder
from tracker.errors import StoreError


def destination(tracking_uri: str, experiment: str) -> str:
    """The short name of a destination; addresses may hold passwords and stay out of file names."""
    return digest("destination", [tracking_uri, experiment])[:16]


class DeliveredItems:
    """The item names that have reached a destination: lines `+name`, `-name` (it is gone there), `@owner`."""

    def __init__(self, store_folder: Path, name: str, owner: str = "") -> None:
        self._path = store_folder / "delivered" / f"{name}.log"
        self._owner = owner
        self._last_owner = ""
        self._read = 0
        self.names: set[str] = set()

    def refresh(self) -> bool:
        """Reads what was appended since; whether anybody else has delivered in the meantime."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._read:
                    self.names.clear()
                    self._read = 0
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:
            content, self._read = b"", 0
            self.names.clear()
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be read ({error.strerror}); delete it, it is a cache") from None
        self._read += len(content)
        owners = {line[1:] for line in self._apply(content) if line.startswith("@")}
        return bool(owners - {self._owner})

    def claim(self) -> None:
        """Says who delivers from here on."""
        if self._last_owner != self._owner:
            self._append([f"@{self._owner}"])

    def add(self, names: Iterable[str]) -> None:
        """Notes what has reached the destination."""
        self._append([f"+{name}" for name in names if name not in self.names])

    def forget(self, names: Iterable[str]) -> None:
        """Notes what is no longer there."""
        self._append([f"-{name}" for name in names if name in self.names])

    def _apply(self, content: bytes) -> list[str]:
        lines = content.decode(errors="replace").splitlines()
        for line in lines:
            if line.startswith("+"):
                self.names.add(line[1:])
            elif line.startswith("-"):
                self.names.discard(line[1:])
            elif line.startswith("@"):
                self._last_owner = line[1:]
        return lines

    def _append(self, lines: list[str]) -> None:
        if not lines:
            return
        content = "".join(f"{line}\n" for line in lines).encode()
        try:
            make_folder(self._path.parent)
            with self._path.open("ab") as file:
                self._path.chmod(0o600)
                file.write(content)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written ({error.strerror}); free disk space") from None
        self._read += len(content)
        self._apply(content)
