"""The command line: one function per command, each thin over `tracker.api`."""

from __future__ import annotations

import sys

# isort: off
from tracker.cli import daily, looking, checking, retuning, keeping, exchanging  # the order of `tracker --help`

# isort: on
from tracker.cli.app import app
from tracker.errors import InputError
from tracker.terminal.endings import NOTHING_KEPT, STOPPED, run_command

__all__ = ["app", "main"]
MOST_LETTERS = 4096  # of a word of the command line, as of a path
del daily, looking, checking, retuning, keeping, exchanging


def main() -> None:
    """Runs a command; what was raised on purpose becomes a message on stderr and its exit code."""
    words = sys.argv[3:] if sys.argv[1:2] == ["-C"] else sys.argv[1:]
    run_command(_run, NOTHING_KEPT if words[:1] in (["reproduce"], ["verify"]) else STOPPED)


def _run() -> None:
    longest = max(sys.argv[1:], key=len, default="")
    if len(longest) > MOST_LETTERS:  # messages repeat words
        raise InputError(f"{longest[:20]}...: a word of {len(longest)} letters; expected at most {MOST_LETTERS}")
    app()
