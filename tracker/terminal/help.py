"""`tracker --help` in groups, in plain text (rich would take longer than the rest), and `--version`."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

FIRST = "Commands"


class GroupedCommands(TyperGroup):
    """A group of commands whose help lists them under their `rich_help_panel`, in the order of their definition."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  typer calls it so
        """Writes one section per panel; commands without one come first."""
        sections: dict[str, list[tuple[str, str]]] = {FIRST: []}
        visible = [(name, command) for name, command in self.commands.items() if not command.hidden]
        width = formatter.width - 6 - max((len(name) for name, _ in visible), default=0)
        for name, command in visible:
            panel = getattr(command, "rich_help_panel", None)
            place = panel if isinstance(panel, str) else FIRST
            sections.setdefault(place, []).append((name, command.get_short_help_str(width)))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def say_version(wanted: bool) -> None:
    """Prints the installed release and ends the command, where that is wanted."""
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"repro-tracker {version('repro-tracker')}\n")
        raise typer.Exit
