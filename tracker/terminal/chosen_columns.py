"""Which columns a list of trials has: what people asked for, else what tells trials apart, as far as the terminal is wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.errors import InputError
from tracker.evaluation.reports import named_params

ALWAYS = ("study", "trial")
EVERYTHING = "all"
GAP = 2  # spaces between columns


def asked_columns(rows: Sequence[Mapping[str, Any]], wanted: str) -> list[str]:
    """Study, trial and the columns of a list `a,b`; every column for `all`. Raises InputError for one that no trial has."""
    there = list(dict.fromkeys(name for row in rows for name in row))
    if wanted == EVERYTHING:
        return there
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if unknown := [name for name in names if name not in there]:
        raise InputError(f"--columns: nothing is called {', '.join(map(repr, unknown))}; there are {', '.join(there)}")
    return list(dict.fromkeys([*ALWAYS, *names]))


def usual_columns(
    rows: Sequence[Mapping[str, Any]], reports: Sequence[Mapping[str, Any]], named: Sequence[str] = ()
) -> dict[str, str]:
    """The columns of a table with their headings: objectives once, under their names, then what is searched, then metrics.

    A state is told where not all trials are complete; hyperparameters that all have alike and metrics that are the objective
    are left out. `named` are hyperparameters that no trial of the reports names.
    """
    there = dict.fromkeys(name for row in rows for name in row)
    objectives = {report["objective"]["metric"] for report in reports}
    objective = next(iter(objectives)) if len(objectives) == 1 else "value"
    params = {*named_params(reports), *named}
    metrics = {name for report in reports for trial in report["trials"] for name in trial["metrics"]}
    alike = {name for name in params if len({repr(row.get(name)) for row in rows}) == 1 and len(rows) > 1}
    dull = {"state"} if all(row["state"] == "complete" for row in rows) else set()
    goals = [goal["metric"] for report in reports for goal in report.get("further", ())]
    first = [name for name in there if name not in params | metrics | dull and name != "reason"]
    first += [name for name in dict.fromkeys(goals) if name in there]
    searched = [name for name in there if name in params - alike]
    others = [name for name in there if name in metrics - {objective, *goals} - params]
    reasons = [name for name in there if name == "reason"]
    return {name: objective if name == "value" else name for name in [*first, *searched, *reasons, *others]}


def fitting(cells: Sequence[Sequence[str]], width: int | None) -> int:
    """How many columns of a table of cells, the heading among them, fit in so many letters; at least three, all for None."""
    count, used = 0, 0
    for column in zip(*cells, strict=True):
        used += max(map(len, column)) + (GAP if count else 0)
        if width is not None and used > width and count >= 3:
            break
        count += 1
    return count
