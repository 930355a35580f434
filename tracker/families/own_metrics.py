"""Metrics of the user's own, `module:function` in `training.metrics`: read, digested and run as other code of theirs is.

A key holds the entry and the digest of each of its files, so another content is another trial. Only files of the project's
folder run: a record that came from elsewhere names what it needs, and brings none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import ConfigError, TrainingError
from tracker.families.own_code import OwnCode, code_from, describe, load, read_code, require_arguments
from tracker.records import StudySpec, TrialSpec
from tracker.seeds import AmbientRandomness

if TYPE_CHECKING:
    import numpy as np

ARGUMENTS = ("y_true", "y_probability")
PLACE = "training.metrics"
Root = Path | Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A function of true places (rows,) and class probabilities (rows, classes), which may do with both what it likes."""

    code: OwnCode
    function: Callable[..., Any]

    def __call__(self, truth: np.ndarray, probabilities: np.ndarray) -> float | None:
        """Its value; None, or what is not finite, is undefined. Raises TrainingError where it raises or gives no number."""
        import numpy as np

        try:
            with self.code.importable(), AmbientRandomness(0).active():
                found = self.function(np.array(truth), np.array(probabilities, dtype=np.float64))
        except (Exception, SystemExit) as error:
            raise TrainingError(f"{self.code.entry}: {describe(error)}") from error
        plain = found.item() if isinstance(found, np.generic) else found
        if plain is None:
            return None
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            raise TrainingError(f"{self.code.entry} gave {type(found).__name__}; a metric is a number, or None")
        return float(plain) if math.isfinite(plain) else None


def read_metrics(root: Root, entries: Sequence[str]) -> dict[str, OwnMetric]:
    """Each metric by the name of its function, from a folder or its files' texts. Raises ConfigError."""
    return {entry.partition(":")[2]: _read(root, entry) for entry in entries}


def identify_metrics(root: Root, entries: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What goes into keys: of each metric, by name, the entry and the SHA-256 of its files. None runs. Raises ConfigError."""
    return {name: _code(root, entry).identity for name, entry in entries.items()}


def check_metrics(root: Root, entries: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The same, of functions that are there and can be called. Raises ConfigError."""
    return {name: one.code.identity for name, one in read_metrics(root, list(entries.values())).items()}


def metrics_of(root: Root, spec: TrialSpec | StudySpec) -> dict[str, OwnMetric]:
    """The metrics of the user's own that a run or study asks for. Raises ConfigError where their files are others by now."""
    wanted: Mapping[str, Mapping[str, str]] = spec.training.get("own_metrics", {})
    found = read_metrics(root, [identity["entry"] for identity in wanted.values()])
    for name, identity in wanted.items():
        present = found[name].code.identity
        if changed := sorted(one for one in {**identity, **present} if identity.get(one) != present.get(one)):
            raise ConfigError(f"{', '.join(changed)}: changed since the study began; run the same command again")
    return found


def _code(root: Root, entry: str) -> OwnCode:
    if root is None:
        raise ConfigError(f"{PLACE}: {entry} needs the folder of params.yaml, and none was given")
    with _named_as_metrics():
        return code_from(entry, root) if isinstance(root, Mapping) else read_code(root, entry)


def _read(root: Root, entry: str) -> OwnMetric:
    code = _code(root, entry)
    with _named_as_metrics():
        function = load(code)
        require_arguments(function, entry, ARGUMENTS)
    return OwnMetric(code, function)


@contextmanager
def _named_as_metrics() -> Iterator[None]:
    """Faults of code bear the place where metrics are named."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(str(fault).replace("model.entry", PLACE, 1) for fault in error.faults) from error
