"""Chooses by family what trains a cohort, and loads the user's own code once per process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tracker.errors import ConfigError
from tracker.models.own_code import OwnCode, read_code, require_generator
from tracker.records import TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.cohort import Result, train_cohort
from tracker.training.function import ARGUMENTS, Fit, train_functions


class Trainers:
    """Trains specs of any family; `root` is the folder of params.yaml, where the user's own code lies.

    A cohort of family `function` may come back in part: what is left over is to be handed out again.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._loaded: dict[str, tuple[OwnCode, Fit]] = {}

    def __call__(self, specs: Sequence[TrialSpec], arrays: Arrays) -> list[Result]:
        """The results of the first specs, in order, at least of one. Raises ConfigError where code has changed."""
        if specs[0].family != "function":
            return train_cohort(specs, arrays)
        code, fit = self.loop(specs[0].code)
        with code.importable():
            return train_functions(specs, arrays, fit)

    def loop(self, identity: Mapping[str, str]) -> tuple[OwnCode, Fit]:
        """The user's loop of that identity. Raises ConfigError where its files are others by now."""
        entry = identity.get("entry", "")
        if entry not in self._loaded:
            self._loaded[entry] = load_loop(self._root, entry)
        code, fit = self._loaded[entry]
        found = code.identity
        if changed := sorted(name for name in {**identity, **found} if identity.get(name) != found.get(name)):
            raise ConfigError(f"{', '.join(changed)}: changed since the study began; run the same command again")
        return code, fit


def load_loop(root: Path | None, entry: str) -> tuple[OwnCode, Fit]:
    """The loop that `model.entry` names, and the code it stands in. Raises ConfigError."""
    if root is None:
        raise ConfigError(f"model.entry: {entry} needs the folder of params.yaml, and none was given")
    code = read_code(root, entry)
    return code, loop_of(code)


def loop_of(code: OwnCode) -> Fit:
    """The loop that a code's entry names. Raises ConfigError where it cannot be imported or is no such generator."""
    fit = code.load()
    require_generator(fit, code.entry, ARGUMENTS)
    return fit
