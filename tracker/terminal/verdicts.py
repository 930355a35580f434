"""Turns verdicts on trials and studies into lines for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.deriving.reproduce import Reproduction
    from tracker.deriving.verify import Verification

MOST_CAUSES = 8
MOST_ALTERED = 2  # entries of a record; many are altered by one slip


def reproduction_lines(found: Reproduction) -> list[str]:
    """The verdict in a line, what differs first, and the causes, the likeliest first."""
    if found.verdict == "identical":
        return [f"{found.name}: identical ({found.epochs} epochs, predictions, weights {str(found.weights)[:12]})"]
    lines = [f"{found.name}: {found.verdict}"]
    if found.first_difference is not None:
        lines.append(f"  first difference: {found.first_difference.words}")
    title = "missing" if found.verdict == "cannot" else "possible causes, the likeliest first"
    if found.causes:
        most = sum(not cause.name.startswith("outcome.") for cause in found.causes) + MOST_ALTERED
        shown = found.causes[: min(MOST_CAUSES, most)]
        lines += [f"  {title}:", *(f"    {cause.words}" for cause in shown)]
        if len(found.causes) > len(shown):
            lines.append(f"    and {len(found.causes) - len(shown)} more: --format json")
    elif found.verdict == "differs":
        lines.append("  nothing that is recorded differs; another CPU may compute otherwise, or memory may be faulty")
    return [*lines, f"  to do: {found.remedy}"] if found.remedy else lines


def verification_lines(found: Verification) -> list[str]:
    """The verdict on a study in a line; where it differs, the first place, and the trial's causes."""
    lines = [f"{found.study}: {found.verdict}{_counted(found)}"]
    if found.trial:
        return lines + [f"  {line}" for line in reproduction_lines(found.trial)]
    if found.first_difference:
        lines.append(f"  {'missing' if found.verdict == 'cannot' else 'first difference'}: {found.first_difference}")
    return [*lines, f"  to do: {found.remedy}"] if found.remedy else lines


def _counted(found: Verification) -> str:
    """How much was read or derived, in brackets; nothing where there was nothing."""
    if not found.trials:
        return ""
    if found.study == "store":
        return f" ({found.trials} rows and weights)"
    if found.study == "looks":
        return f" ({found.trials} looks and results)"
    if found.study == "ranking":
        return f" ({found.trials} trials, digest {found.digest[:12]})"
    which = f": {', '.join(map(str, found.sample))}" if found.sample else ""
    return f" ({found.derived} of {found.trials} trials derived again{which}; digest {found.digest[:12]})"


@contextmanager
def verify_progress(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """What to call with a study, trials derived and trials to derive: a bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, int] = {}

        def advance(study: str, done: int, wanted: int) -> None:
            if study not in tasks:
                tasks[study] = bar.add_task(study, total=wanted)
            bar.update(tasks[study], completed=done)  # type: ignore[arg-type]

        yield advance


def verdict_lines(found: Verification | Reproduction) -> list[str]:
    """The lines of a verdict of either kind."""
    from tracker.deriving.verify import Verification

    return verification_lines(found) if isinstance(found, Verification) else reproduction_lines(found)


def verdict_json(found: Verification | Reproduction) -> dict[str, Any]:
    """A verdict of either kind as plain mappings and lists."""
    from tracker.deriving.reproduce import reproduction_json
    from tracker.deriving.verify import Verification, verification_json

    return verification_json(found) if isinstance(found, Verification) else reproduction_json(found)
