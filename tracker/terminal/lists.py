"""Prints lines and lists of trials: a table for people, all digits for programs; control characters of data are escaped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tracker.errors import InputError
from tracker.remedies import run_again
from tracker.shown import counted, csv_cell, shown
from tracker.terminal.chosen_columns import fitting


class Format(StrEnum):
    """How lists are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def say(text: str) -> None:
    """A line, or several, on stdout; nothing where there is no text."""
    if text:
        sys.stdout.write(shown(text) + "\n")


def note(lines: list[str]) -> None:
    """What a person should know of a list, beside it and not in it: after it, where both go into one pipe."""
    sys.stdout.flush()
    sys.stderr.write("".join(f"{shown(line)}\n" for line in lines))


def print_rows(
    trials: list[dict[str, Any]],
    output: Format,
    limit: int | None,
    in_table: int,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Prints the first trials; a table without a limit has `in_table`, and where there are more it says how to see them.

    `columns` are those to print, with their headings; a table that is wider than the terminal ends before it, and says so.
    """
    limit = limit or (in_table if output == Format.table else len(trials))
    rows = trials[:limit]
    if output == Format.json:
        import json

        told = [{name: row[name] for name in columns if name in row} for row in rows] if columns else rows
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
        return
    if not rows:
        raise InputError(f"nothing to list yet; {run_again()} first")
    names = dict(columns) if columns else {name: name for row in trials for name in row}
    if output == Format.csv:
        import csv

        cells: list[list[Any]] = [[*names], *([row.get(name) for name in names] for row in rows)]  # all digits
        csv.writer(sys.stdout).writerows([[_csv(cell) for cell in line] for line in cells])
        return
    from tracker.columns import align

    table = [tuple(names.values()), *(tuple(_cell(row.get(name)) for name in names) for row in rows)]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    count = fitting(table, width)
    lines = align([line[:count] for line in table])
    if count < len(names):
        left = list(names)[count:]
        lines.append(f"{counted(len(left), 'column')} more: --columns {left[0]} shows one, --columns all every one")
    if len(trials) > limit:
        lines.append(f"{limit} of {len(trials)} trials; all with --limit {len(trials)}")
    say("\n".join(lines))


def _csv(value: Any) -> Any:
    return csv_cell(value) if isinstance(value, str) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
