"""The user's own code as the configuration names it: what is wrong with it is a fault of `model.entry`.

The reading itself is in `tracker.standalone.own_code`, because the code travels with models.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracker.errors import ConfigError, TrainingError
from tracker.records import TrialSpec
from tracker.seeds import AmbientRandomness, torch_settings_kept
from tracker.standalone import own_code
from tracker.standalone.own_code import CodeError, OwnCode, Source, describe
from tracker.training.memory import refuse_without_memory

__all__ = [
    "OwnCode",
    "Source",
    "code_from",
    "describe",
    "load",
    "read_code",
    "require_arguments",
    "require_generator",
    "running",
]
COUNTS = {2: "two", 3: "three", 4: "four"}


@contextmanager
def _as_config_error() -> Iterator[None]:
    try:
        yield
    except CodeError as error:
        raise ConfigError(str(error)) from error


@contextmanager
def running(spec: TrialSpec, ambient: AmbientRandomness) -> Iterator[None]:
    """Runs the user's code inside: the global generators are the run's, and put back behind it.

    What goes wrong in it is raised as TrainingError with its text; too little memory is a TrackerError, no fault of a run.
    """
    with ambient.active():
        try:
            yield
        except TrainingError:
            raise
        except (Exception, SystemExit) as error:
            refuse_without_memory(error, spec)
            raise TrainingError(describe(error)) from error


def read_code(root: Path, entry: str) -> OwnCode:
    """Reads the entry's module and, from import to import, those of the project's folder. Raises ConfigError."""
    with _as_config_error():
        return own_code.read_code(root, entry)


def code_from(entry: str, texts: Mapping[str, str]) -> OwnCode:
    """The code whose `texts` were recorded. Raises ConfigError."""
    with _as_config_error():
        return own_code.code_from(entry, texts)


def load(code: OwnCode) -> Callable[..., Any]:
    """The function that the entry names. Raises ConfigError where it cannot be imported or is not there."""
    with _as_config_error(), torch_settings_kept():
        return code.load()


def require_generator(function: Callable[..., Any], entry: str, arguments: Sequence[str]) -> None:
    """Raises ConfigError unless the function is a generator."""
    if not inspect.isgeneratorfunction(inspect.unwrap(function)):
        call = f"{entry.partition(':')[2]}({', '.join(arguments)})"
        raise ConfigError(f"model.entry: {entry} must be a generator, {call}, that yields metrics once per epoch")


def require_arguments(function: Callable[..., Any], entry: str, arguments: Sequence[str], extra: str = "") -> None:
    """Raises ConfigError unless the function takes these arguments, in this order, and `extra` by name if it has that."""
    try:
        signature = inspect.signature(function)
        signature.bind(*arguments, **({extra: ()} if extra in signature.parameters else {}))
    except TypeError as error:
        call = f"{entry.partition(':')[2]}({', '.join(arguments)})"
        raise ConfigError(
            f"model.entry: {entry} must take {COUNTS[len(arguments)]} arguments, {call}: {error}"
        ) from None
