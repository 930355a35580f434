"""The process that workers are forked from: it shares no state with the driver, and has loaded what a worker needs."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = ["tracker.execution.processes"]  # what a worker needs to train; rows come ready


def worker_context() -> SpawnContext | ForkServerContext:
    """How workers start: on Linux in a moment, forked from one process; elsewhere by themselves."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start_early(workers: int) -> None:
    """Lets it load while the driver loads the same; the environment variables that it will have are those of this moment."""
    if workers > 1 and isinstance(worker_context(), ForkServerContext):
        from multiprocessing import forkserver

        forkserver.ensure_running()
