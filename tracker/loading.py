"""Lets libraries load, and a process end, without searching for garbage again and again where none comes to be."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """For imports that take their time: inside, Python collects no garbage, which is a fifth of what they cost.

    What was loaded counts as old afterwards, so that it is not searched at once. Changes nothing else, in a notebook neither.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # this puts all there is among the oldest, unsearched
        if before:
            gc.enable()


def collect_rarely() -> None:
    """Lets this process look for garbage once per 100,000 things that are new and stay, instead of per 700.

    For one that reads thousands of records from a database at once: each is hundreds of things, and Python would search what
    was just read, and then all there is, again and again: a third to a half of what it takes to read 10,000 runs of MLflow.
    """
    gc.set_threshold(100_000, 20, 100)


def note_absent(*modules: str) -> None:
    """Lets imports of modules that are not installed fail at once: Python looks through every folder each time, for ever.

    Only for processes of our own: what is installed later is not found there.
    """
    for name in modules:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = None  # type: ignore[assignment]  # how Python itself is told so


def end_quickly() -> None:
    """Lets this process collect garbage once when it ends, instead of after each of thousands of modules was emptied."""
    atexit.register(_collect_once)


def _collect_once() -> None:
    gc.collect()
    gc.freeze()


def run_to_its_end(body: Callable[[], object]) -> None:
    """Runs what this process is for, and ends it without taking thousands of modules apart: a third of a second with torch.

    Threads, what libraries want done at the end (`atexit`) and output are waited for, as Python does. What is no SystemExit
    ends as it always does, with a traceback; and so does a process whose output nobody reads.
    """
    code: object = 0
    try:
        body()
    except SystemExit as end:
        code = end.code or 0
    if not isinstance(code, int):
        sys.exit(str(code))
    atexit.unregister(_collect_once)
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  there is no public way to end as Python does
    atexit._run_exitfuncs()  # noqa: SLF001
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code & 0xFF)
