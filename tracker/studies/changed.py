"""What changed between a study that begins and the last one of its name in the store, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.records import StudySpec, record_json
from tracker.shown import counted
from tracker.store.store import Store
from tracker.studies.plan import StudyPlan

WORDS = {  # of a field, or of a part of one; what begins with a dot is an entry of the study
    "family": "model.family",
    "space": "search_space",
    "fixed": "hyperparameters",
    "environment": "the environment",
    "numerics": "the training arithmetic of this release",
    "code": "your own code",
    "parent": "model.transfer",
    "refines": "what it refines",
    "generation": ".generation",
    "pruner": ".pruner",
    "stop": ".stop",
    "further": ".objectives",
    "constraints": ".constraints",
    "sampler.name": ".sampler",
    "sampler.configurations": ".configurations",
    "sampler.enqueue": ".enqueue",
    "training.own_metrics": "your own metrics",
    "training.costs": "costs that are recorded",
    "training.hypergradients": ".sampler",
    "data.train": "rows",
    "data.validation": "rows",
    "data.schema": "columns, classes or data.positive",
    "data.preprocessing": "preprocessing",
    "data.selection": "split.selection",
}
PARTED = {"data", "sampler", "training"}  # fields of which the parts that differ are told
FOLLOWS = {"generation": {"sampler.name"}, "training.costs": {"further", "constraints"}}  # from an entry that is told


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
    place, found = f"{'refinements' if spec.refines else 'studies'}.{spec.name}", list[str]()
    fields = {name for name in {**new, **old} if old.get(name) != new.get(name)}
    fields |= {
        f"{name}.{part}" for name in fields & PARTED for part, _, _ in _pairs(old.get(name) or {}, new.get(name) or {})
    }
    for name in dict.fromkeys([*new, *old]):
        was, now = old.get(name), new.get(name)
        if was == now or name == "name" or fields & FOLLOWS.get(name, set()):
            continue
        if name == "versions":
            found += [
                "what BLAS gives" if library == "blas" else f"{library.capitalize()} ({a} to {b})"
                for library, a, b in _pairs(was or {}, now or {})
            ]
        elif name in PARTED:
            parts = [f"{name}.{part}" for part, _, _ in _pairs(was or {}, now or {})]
            found += [WORDS.get(part, part) for part in parts if not fields & FOLLOWS.get(part, set())]
        elif name == "runs":
            differing = {part for part, _, _ in _pairs(was or {}, now or {})}
            folded = differing & {"folds", "refit", "prune"}
            found.append(".cross_validation" if folded else ".reshuffle" if "reshuffle" in differing else ".repeats")
        else:
            found.append(WORDS.get(name, name))
    return list(dict.fromkeys(f"{place}{words}" if words.startswith(".") else words for words in found))


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)]
