"""The command line: one function per command, each thin over `tracker.api`."""

from __future__ import annotations

import sys

# isort: off
from tracker.cli import daily, looking, checking, retuning, keeping  # the order of `tracker --help`

# isort: on
from tracker.cli.app import app
from tracker.terminal.endings import NOTHING_KEPT, STOPPED, run_command

__all__ = ["app", "main"]
del daily, looking, checking, retuning, keeping


def main() -> None:
    """Runs a command; what was raised on purpose becomes a message on stderr and its exit code."""
    words = sys.argv[3:] if sys.argv[1:2] == ["-C"] else sys.argv[1:]
    run_command(app, NOTHING_KEPT if words[:1] in (["reproduce"], ["verify"]) else STOPPED)
