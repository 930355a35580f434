"""The DVC stages: each reads the world and calls one function of tracker."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tracker.errors import TrackerError


def run(stage: Callable[[], None]) -> None:
    """Runs a stage; what was raised on purpose becomes a message on stderr and its exit code."""
    try:
        stage()
    except TrackerError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what is finished is kept: the same command goes on\n")
        raise SystemExit(130) from None
