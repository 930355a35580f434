"""Turns verdicts on trials and studies into lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.evaluation.reproduce import Reproduction

MOST_CAUSES = 8


def reproduction_lines(found: Reproduction) -> list[str]:
    """The verdict in a line, what differs first, and the causes, the likeliest first."""
    if found.verdict == "identical":
        return [f"{found.name}: identical ({found.epochs} epochs, predictions, weights {str(found.weights)[:12]})"]
    lines = [f"{found.name}: {found.verdict}"]
    if found.first_difference is not None:
        lines.append(f"  first difference: {found.first_difference.words}")
    title = "missing" if found.verdict == "cannot" else "possible causes, the likeliest first"
    if found.causes:
        lines += [f"  {title}:", *(f"    {cause.words}" for cause in found.causes[:MOST_CAUSES])]
    elif found.verdict == "differs":
        lines.append("  nothing that is recorded differs; another CPU may compute otherwise, or memory may be faulty")
    if len(found.causes) > MOST_CAUSES:
        lines.append(f"    and {len(found.causes) - MOST_CAUSES} more: --format json")
    return [*lines, f"  to do: {found.remedy}"] if found.remedy else lines
