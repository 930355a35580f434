"""Verdicts on what was derived again, in lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.shown import counted

if TYPE_CHECKING:
    from tracker.deriving.verdict import Verdict

MOST_CAUSES = 8
COUNTED = {
    "store": "rows and weights",
    "files": "files",
    "records": "trials",
    "model": "made-up rows",
    "scores": "test rows",
    "data": "rows",
}  # what a verdict has counted, by its name
MOST_ALTERED = 2  # entries of a record; many are altered by one slip


def verdict_lines(found: Verdict) -> list[str]:
    """The verdict in a line; what differs first, what is missing, or what may be the causes; what to do."""
    lines = [f"{found.name}: {found.state}{_counted(found)}"]
    if found.inner:
        lines += ["  the trial that deviates most:"] if found.state == "equivalent" else []
        return lines + [f"  {line}" for line in verdict_lines(found.inner)]
    if found.first_difference:
        lines.append(f"  first difference: {found.first_difference.words}")
    is_computed = found.kind in {"trial", "final"} or (
        found.kind == "study" and found.state == "differs" and found.causes
    )
    lines += _listed_causes(found) if is_computed else _missing(found)
    return [*lines, f"  to do: {found.remedy}"] if found.remedy else lines


def _counted(found: Verdict) -> str:
    """How much was read or derived, in brackets; nothing where there was nothing."""
    if found.kind in {"trial", "final"}:
        return _compared(found)
    return f" ({_count(found)})" if found.counted else ""


def _count(found: Verdict) -> str:
    trials = counted(found.counted, "trial")
    which = f": {', '.join(map(str, found.sample))}" if found.sample else ""
    told = {
        "looks": f"{counted(found.counted, 'look')} on record",
        "nested": f"{found.counted} outer folds scored again",
        "ranking": f"{trials}, digest {found.digest[:12]}",
        "study": f"{found.derived} of {trials} derived again{which}; digest {found.digest[:12]}",
    }
    return told.get(found.kind) or f"{found.counted} {COUNTED[found.name]}"


def _compared(found: Verdict) -> str:
    """What of a trial is the same."""
    if found.state == "identical":
        model = "no model" if found.weights is None else f"predictions, weights {found.weights[:12]}"
        return f" ({counted(found.epochs, 'epoch')}, {model})"
    if found.state != "equivalent" or found.first_difference is None:
        return ""
    reach = f"{found.first_difference.largest:.3g}, at most {found.tolerance:g}"
    return f" ({counted(found.epochs, 'epoch')}, kept epoch, predicted labels; the largest deviation of any metric is {reach})"


def _listed_causes(found: Verdict) -> list[str]:
    """The causes on a line each, the likeliest first, many altered entries of a record cut short."""
    if not found.causes:
        words = "nothing that is recorded differs; another CPU may compute otherwise, or memory may be faulty"
        return [f"  {words}"] if found.state == "differs" else []
    most = sum(not cause.name.startswith("outcome.") for cause in found.causes) + MOST_ALTERED
    shown = found.causes[: min(MOST_CAUSES, most)]
    title = "missing" if found.state == "cannot" else "possible causes, the likeliest first"
    lines = [f"  {title}:", *(f"    {cause.words}" for cause in shown)]
    if len(found.causes) > len(shown):
        lines.append(f"    and {len(found.causes) - len(shown)} more: --format json")
    return lines


def _missing(found: Verdict) -> list[str]:
    return [f"  missing: {cause.words}" for cause in found.causes]
