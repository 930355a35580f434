"""What the files of a project say beside its store: which table the rows came from, and how many trials tie with the best."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.tracking.run_contents import Dataset


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """Where to look. What is missing, unreadable or about other rows is left out of what is shown: it only explains."""

    source: str
    splits: Path
    reports: Path

    @classmethod
    def from_words(cls, words: Mapping[str, str] | None) -> ProjectFiles | None:
        """What `words` gave; None of None."""
        return None if words is None else cls(words["source"], *(Path(words[name]) for name in _FOLDERS))

    @property
    def words(self) -> dict[str, str]:
        """The same as texts."""
        return {"source": self.source, **{name: str(getattr(self, name)) for name in _FOLDERS}}

    def seen(self, data: Mapping[str, Any]) -> list[Dataset]:
        """The rows that a study with this data saw, by split; without name and counts where the files hold other rows."""
        return list(self._seen(data))

    def ties(self, key: str) -> tuple[int, int] | None:
        """How many trials the validation rows cannot tell from the chosen one of this key, and how many were ranked."""
        ranking = _read(self.reports / "ranking.json")
        tied, rows = ranking.get("indistinguishable"), ranking.get("rows")
        chosen = ranking.get("chosen")
        if not (isinstance(chosen, dict) and isinstance(tied, dict) and isinstance(rows, list)):
            return None
        first = rows[0].get("key") if rows and isinstance(rows[0], dict) else None  # whose ties they are
        return (len(tied["trials"]), len(rows)) if chosen.get("key") == key == first and "trials" in tied else None

    def _seen(self, data: Mapping[str, Any]) -> Iterator[Dataset]:
        splits = _read(self.splits / "manifest.json").get("splits", {})
        for split, context in _CONTEXTS.items():
            if split in data:
                told = splits.get(split, {})
                if told.get("digest") == data[split]:
                    profile = {"rows": told.get("rows"), **_classes(told)}
                    yield Dataset(self.source, data[split], self.source, context, profile)
                else:
                    yield unnamed(data[split], context)


def seen_without_files(data: Mapping[str, Any]) -> list[Dataset]:
    """The rows that a study with this data saw, of which only the digests are known."""
    return [unnamed(data[split], context) for split, context in _CONTEXTS.items() if split in data]


def unnamed(digest: str, context: str) -> Dataset:
    """Rows of which only the digest is known."""
    return Dataset(f"{context} rows", digest, "", context, {})


def data_params(seen: list[Dataset]) -> dict[str, str]:
    """Which data it was, in params that people read."""
    told: dict[str, Any] = {}
    for part in seen:
        if part.source:
            told["data"] = part.source
            told[f"{part.context}_rows"] = part.profile.get("rows")
            told["classes"] = ", ".join(part.profile.get("classes", ()))
    return {name: str(value) for name, value in told.items() if value}


_FOLDERS = ("splits", "reports")
_CONTEXTS = {"train": "training", "validation": "validation"}


def _classes(told: Mapping[str, Any]) -> dict[str, Any]:
    classes = told.get("classes")
    return {"classes": dict(classes)} if isinstance(classes, Mapping) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
