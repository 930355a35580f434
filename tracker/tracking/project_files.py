"""What the files of a project say beside its store: which table the rows came from, and how many trials tie with the best."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tracker.tracking.run_contents import Dataset


class Ties(NamedTuple):
    """How many trials the validation rows cannot tell from the first of those that were ranked, and what was confirmed.

    `first` names that one where another is chosen, `confirmed` says what further seeds gave the choice.
    """

    tied: int
    ranked: int
    first: str | None = None
    confirmed: str = ""


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

    def ties(self, key: str) -> Ties | None:
        """How sure it is that the run of this key was to be chosen; None where another one is, or nothing is known of ties."""
        ranking = _read(self.reports / "ranking.json")
        try:
            rows, chosen, tied = ranking["rows"], ranking["chosen"], ranking["indistinguishable"]
            confirmed = ranking.get("confirmation") or {}
            scored = ranking.get("refit") or confirmed.get("served") or chosen
            if scored["key"] != key or tied is None:
                return None
            first = None if rows[0]["key"] == chosen["key"] else f"{rows[0]['study']}/{rows[0]['trial']}"
            told = "" if not confirmed else _confirmed(confirmed)
            return Ties(len(tied["trials"]), len(rows), first, told)
        except (LookupError, TypeError, ValueError):
            return None

    def confirming(self) -> dict[str, str] | None:
        """The studies that confirm, or train again, what is ranked now: digests by name. None where no ranking is there."""
        ranking = _read(self.reports / "ranking.json")
        try:
            confirmed, refit = ranking.get("confirmation") or {}, ranking.get("refit") or {}
            told = {**confirmed.get("digests", {}), **({"confirm.refit": refit["digest"]} if refit else {})}
        except (LookupError, TypeError, AttributeError):
            return None
        return told if ranking else None

    def _seen(self, data: Mapping[str, Any]) -> Iterator[Dataset]:
        splits = _read(self.splits / "manifest.json").get("splits", {})
        if "outer" in data.get("rows", ()) and all(splits.get(n, {}).get("digest") == data.get(n) for n in _CONTEXTS):
            yield from self._outside(data)
            return
        for split, context in _CONTEXTS.items():
            if split in data:
                told = splits.get(split, {})
                if told.get("digest") == data[split]:
                    profile = {"rows": told.get("rows"), **_classes(told)}
                    yield Dataset(self.source, data[split], self.source, context, profile)
                else:
                    yield unnamed(data[split], context)

    def _outside(self, data: Mapping[str, Any]) -> Iterator[Dataset]:
        """The rows outside of an outer fold, which are counted; a name of their own keeps them apart from those of both."""
        from tracker.datasets.resampling import pick_frames  # here, because it imports pandas
        from tracker.datasets.storage import read_document
        from tracker.datasets.training_data import read_split
        from tracker.errors import DataError

        rows = data["rows"]
        try:
            schema = read_document(self.splits / "schema.json", "schema", "")
            frames = list(pick_frames([read_split(self.splits, split) for split in _CONTEXTS], schema, rows))
        except DataError:  # of files that changed nothing is told
            yield from seen_without_files(data)
            return
        name = f"{self.source}, without fold {rows['outer']} of {rows['outers']}"
        for (split, context), frame in zip(_CONTEXTS.items(), frames, strict=True):
            counts = frame[schema["target"]].value_counts()
            classes = {str(label): int(counts.get(label, 0)) for label in schema["labels"]}
            yield Dataset(name, data[split], self.source, context, {"rows": len(frame), "classes": classes})


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


def _confirmed(told: Mapping[str, Any]) -> str:
    """The choice of a confirmation with its mean, of seeds that chose nothing; nothing where one of them failed."""
    choice = told["measured"]["choice"]
    if choice["mean"] is None:
        return ""
    spread = f"{choice['mean']:.4f} ± {choice['sd']:.4f}"
    return f"{choice['study']}/{choice['trial']} {spread} (mean ± sd) over {told['seeds']} more seeds"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
