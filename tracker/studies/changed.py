"""What changed between a study that begins and the last one of its name in the store, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.records import StudySpec, record_json
from tracker.shown import counted
from tracker.store.store import Store
from tracker.studies.plan import StudyPlan

WORDS = {
    "family": "model.family",
    "space": "search_space",
    "fixed": "hyperparameters",
    "environment": "the environment",
    "numerics": "the training arithmetic of this release",
    "code": "your own code",
    "stop": "when it stops",
    "parent": "model.transfer",
    "further": "objectives",
    "refines": "what it refines",
}


def describe_change(store: Store, plan: StudyPlan) -> str | None:
    """Why a study begins anew although its name was run before; None for a new name, or a study that the store has."""
    studies = store.studies(plan.spec.name)
    if not studies or any(key == plan.spec.key for key, _ in studies):
        return None
    _, last = studies[0]
    changed = ", ".join(list_changes(last, plan.spec))
    return (
        f"{plan.spec.name}: {changed} changed since the last run: a new study of {counted(plan.trials, 'trial')} begins, "
        "the old one is kept"
    )


def list_changes(last: StudySpec, spec: StudySpec) -> list[str]:
    """The parts of a study that differ, in the words of `params.yaml`; releases with both numbers."""
    old, new = record_json(last), record_json(spec)
    found: list[str] = []
    for name in dict.fromkeys([*new, *old]):
        was, now = old.get(name), new.get(name)
        if was == now or name == "name":
            continue
        if name == "versions":
            found += [
                "what BLAS gives" if library == "blas" else f"{library.capitalize()} ({a} to {b})"
                for library, a, b in _pairs(was or {}, now or {})
            ]
        elif name in {"data", "sampler", "training", "objective", "pruner"}:
            parts = ", ".join(part for part, _, _ in _pairs(was or {}, now or {}))
            found.append(f"{name} ({parts})")
        elif name == "runs":
            differing = {part for part, _, _ in _pairs(was or {}, now or {})}
            folded = differing & {"folds", "refit", "prune"}
            found.append("cross_validation" if folded else "reshuffle" if "reshuffle" in differing else "repeats")
        else:
            found.append(WORDS.get(name, name))
    return found


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)]
