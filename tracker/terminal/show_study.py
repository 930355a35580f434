"""What `tracker show STUDY` prints: what was asked, what came out, the space, and what the score depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracker.canonical import parse_canonical
from tracker.columns import align
from tracker.deriving.find_study import find_study
from tracker.goals import constraint_text, front_words, goals_text, number_text
from tracker.paths import Paths
from tracker.records import record_json
from tracker.search.stopping import stopped
from tracker.shown import counted
from tracker.studies.result import StudyResult

MOST_SHOWN = 20  # trials of a front
METHODS = {"fanova": "fANOVA: share of the variance", "ped_anova": "PED-ANOVA: what tells the best tenth from all"}


def read_study_shown(paths: Paths, name: str) -> dict[str, Any]:
    """A study that ended, as plain values. Raises NotFoundError where nothing is recorded of it."""
    from tracker.search.importance import importances

    result = find_study(name, paths).result
    spec, best = result.spec, result.best
    states = [trial.state for trial in result.trials]
    found = record_json(spec)
    told = {
        part: found[part]
        for part in (
            "sampler",
            "objective",
            "further",
            "constraints",
            "generation",
            "pruner",
            "stop",
            "refines",
            "parent",
        )
        if found.get(part)
    }
    return {
        "study": spec.name,
        "key": spec.key,
        "digest": result.digest,
        **told,
        **({"stopped": end[1]} if (end := stopped(spec, result.trials)) else {}),
        **_cut_off(paths, name, spec.key),
        **_front(result),
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "best": best.number if best else None,
        "best_value": best.value if best else None,
        "search_space": found["space"],
        "importance": {
            method: dict(importances(spec, result.trials, spec.objective["direction"], method)) for method in METHODS
        },
    }


def _cut_off(paths: Paths, name: str, key: str) -> dict[str, Any]:
    """What ended the study by wall time, as its report says it; the records of trials do not know."""
    try:
        report = parse_canonical((paths.study_reports / f"{name}.json").read_bytes())
        return {"cut_off": report["cut_off"]} if report["key"] == key and report.get("cut_off") else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _front(result: StudyResult) -> dict[str, Any]:
    """The front and how many trials break a constraint, where the study has several objectives, or any constraint."""
    rows = [{"number": trial.number, "values": list(trial.values)} for trial in result.front]
    told: dict[str, Any] = {"front": rows} if result.spec.further else {}
    broke = sum(bool(trial.breaks) for trial in result.trials)
    return told | ({"breaking": broke} if result.spec.constraints else {})


def _goal_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The constraints, and the front: its trials with their values."""
    if limits := found.get("constraints"):
        yield f"limits    {', '.join(map(constraint_text, limits))}: {counted(found['breaking'], 'trial')} broke one"
    if not (further := found.get("further")):
        return
    goals, front = [found["objective"], *further], found["front"]
    second = further[0]["metric"]
    yield f"goals     {goals_text(goals)}"
    yield f"front     {front_words(len(front))}; best is the best by {goals[0]['metric']}, ties by {second}"
    rows = [("", *(goal["metric"] for goal in goals))]
    rows += [(f"  {found['study']}/{one['number']}", *map(number_text, one["values"])) for one in front[:MOST_SHOWN]]
    yield from align(rows) if front else []
    if len(front) > MOST_SHOWN:
        yield f"  and {len(front) - MOST_SHOWN} more: `tracker runs {found['study']} --columns front`"


def describe_study(found: Mapping[str, Any]) -> Iterator[str]:
    """The same as lines."""
    metric = found["objective"]["metric"]
    states = ", ".join(f"{count} {state}" for state, count in found["states"].items())
    best = "none best" if found["best"] is None else f"best {found['study']}/{found['best']}"
    value = "" if found["best_value"] is None else f" with {metric} {found['best_value']:.4g}"
    yield f"{found['study']}  {found['objective']['direction']} {metric}, {found['sampler']['name']}: {states}; {best}{value}"
    if found.get("stopped"):
        yield f"stopped   {found['stopped']}"
    if found.get("cut_off"):
        yield f"cut off   by its {found['cut_off']}; `tracker tune {found['study']}` goes on"
    yield from _goal_lines(found)
    if refines := found.get("refines"):
        yield f"refines   {refines['study']}: the best {refines['keep']:.0%} of its first {counted(refines['trials'], 'trial')}"
    if parent := found.get("parent"):
        yield f"parent    weights {parent['weights'][:12]}, {parent['head']} head (model.transfer)"
    shares = found["importance"]
    rows = [("searched", "values", *(method for method in METHODS if shares[method]))]
    for entry in found["search_space"].get("entries", []):
        own = [shares[method].get(entry["name"]) for method in METHODS if shares[method]]
        rows.append((entry["name"], _values(entry), *("" if share is None else f"{share:.1%}" for share in own)))
    yield from align(rows) if len(rows) > 1 else []
    yield from (f"forbidden {_clause(clause)}" for clause in found["search_space"].get("forbid", []))
    yield from (f"{method:<9} {words}" for method, words in METHODS.items() if shares[method])
    if not any(shares.values()):
        yield "importances need ten trials with different values"
    yield f"key       {found['key']}"
    yield f"again     tracker verify {found['study']}"


def _clause(clause: Mapping[str, Any]) -> str:
    """A forbidden combination, in words."""
    return " with ".join(f"{name} {_test(test)}" for name, test in clause.items())


def _test(test: Any) -> str:
    if isinstance(test, Mapping):
        return " and ".join(f"{end} {number:g}" for end, number in test.items())
    return " or ".join(map(str, test))


def _values(entry: Mapping[str, Any]) -> str:
    """The values of a searched name, in a cell."""
    if entry["kind"] == "range":
        how = ", log" if entry["log"] else f", step {entry['step']}" if entry["step"] else ""
        values = f"{entry['low']:g} to {entry['high']:g}{how}"
    else:
        values = ", ".join(map(str, entry.get("choices", [entry.get("value")])))
    when = " and ".join(f"{name} {', '.join(map(str, allowed))}" for name, allowed in entry["when"].items())
    return values + (f" (with {when})" if when else "") + (f" (per {entry['per']})" if entry["per"] else "")
