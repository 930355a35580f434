"""The DVC stages: each reads the world and calls one function of tracker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from tracker.durable import lock_file
from tracker.errors import StoreBusy
from tracker.paths import project_paths
from tracker.terminal.endings import end_with_parent, run_command

WAIT_S = 5.0  # for the same stage of another command


def run(stage: Callable[[], None]) -> None:
    """Runs a stage; what was raised on purpose becomes a message on stderr and its exit code.

    A stage whose `dvc` was killed must not write into the outputs of a newer run. It holds the stage's lock from before
    it reads anything until it has written, so no newer run works meanwhile; and it ends as soon as its parent is gone.
    """
    parent = os.getppid()

    def alone() -> None:
        end_with_parent(parent)
        with lock_file(project_paths().root / ".tracker" / "locks", _name(), WAIT_S):
            if os.getppid() != parent:  # a newer run may be through by now
                raise StoreBusy("what started this stage has ended while it waited; run the stage again")
            stage()

    run_command(alone)


def _name() -> str:
    """The stage as messages and the lock call it; a study's stage has the study in its name."""
    module = getattr(sys.modules["__main__"].__spec__, "name", None) or sys.argv[0]
    return "@".join(["stage " + module.rpartition(".")[2], *sys.argv[1:2]])
