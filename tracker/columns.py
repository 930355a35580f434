"""Writes rows of cells as lines of text for people."""

from __future__ import annotations

from tracker.shown import one_line


def align(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines in which the cells of a column begin at the same place."""
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
