"""How the runs of studies of one name are told apart, by what their settings differ in, and how folds are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracker.records import StudySpec, record_json
from tracker.store.store import Store

SHOWN = 2  # settings that a name has room for
ROOM = 24  # characters of a setting
UNTOLD = {"name", "versions", "code", "refines"}


def told_apart(store: Store, study_key: str) -> str:
    """What follows a study's name in its run's: nothing for the first of its name, else what differs from the one before.

    `[epochs 60]`, `[other data]`, or eight characters of its key where that would be too long.
    """
    named = store.studies(store.study(study_key).name)  # the newest first
    place = [key for key, _ in named].index(study_key)
    if place == len(named) - 1:
        return ""
    told = differences(named[place + 1][1], named[place][1])
    return f" [{', '.join(told)}]" if 0 < len(told) <= SHOWN else f" [{study_key[:8]}]"


def differences(before: StudySpec, after: StudySpec) -> list[str]:
    """What one study has otherwise than another, each in a few words: `epochs 60`, `other data`."""
    old, new = record_json(before), record_json(after)
    told: list[str] = []
    for part in sorted((old.keys() | new.keys()) - UNTOLD):
        if old.get(part) == new.get(part):
            continue
        if part in {"training", "fixed", "objective", "sampler", "runs", "pruner", "stop"}:
            told += _changed(old.get(part) or {}, new.get(part) or {})
        elif part in {"generation", "seed"}:
            told.append(f"{part} {new.get(part)}")
        else:
            told.append(f"other {'objectives' if part == 'further' else part}")
    return told


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            value = str(new.get(name, "none"))
            short = isinstance(new.get(name), str | int | float) and len(value) <= ROOM
            yield f"{name} {value}" if short or name not in new else f"other {name}"


def fold_name(rows: Mapping[str, Any]) -> str:
    """The fold that a run is scored on, as metrics are named by it: `fold_1`; of a later repeat `repeat_2_fold_1`."""
    repeat = f"repeat_{rows['repeat']}_" if rows["repeat"] > 1 else ""
    return f"{repeat}fold_{rows['fold']}"
