"""What trains on a node of a cluster: it needs no file of the project; rows, own code and parents' weights come along."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tracker.errors import TrackerError
from tracker.execution.cohorts import Cohort
from tracker.execution.executor import one_thread
from tracker.execution.row_sets import rows_named
from tracker.execution.trainer import Trainer
from tracker.surroundings.environment import deciding_sources, environment
from tracker.training.arrays import Arrays
from tracker.training.loop import Result


class Trainee:
    """What an actor is: its own copy of the rows, a trainer that has one thread."""

    def __init__(
        self, arrays: Arrays, texts: Mapping[str, str] | None, root: str | None, parents: Mapping[str, bytes]
    ) -> None:
        # Ray lets a worker on the driver's machine import from the driver's folder; what is not in a key may not run.
        sys.path[:] = [entry for entry in sys.path if root is None or os.path.realpath(entry) != root]
        self._parents = dict(parents)  # a node may have no folder of the project
        own = self._copied(arrays)
        self.rows: dict[str, Arrays] = {}
        self.trainer = Trainer(own, texts, rows_of=lambda spec: self.rows.get(rows_named(spec) or "", own))

    def greet(self, numerics: str, family: str, device: str) -> dict[str, Any]:
        """What this process computes with."""
        return surroundings_here(numerics, family, device)

    def begin(self) -> None:
        """Answers before a cohort is trained."""

    def run(self, cohort: Cohort, names: Sequence[str], *rows: Arrays) -> list[Result] | TrackerError:
        """The results, or why no trial can run; `rows` are those of runs that have not those of all, by their `names`."""
        for name, arrays in zip(names, rows, strict=True):
            if name not in self.rows:
                self.rows[name] = self._copied(arrays)
        try:
            with one_thread():
                return self.trainer.run(cohort)
        except TrackerError as error:
            return error

    def forget(self) -> None:
        """Lets go of all that is paused."""
        self.trainer.forget()

    def _copied(self, arrays: Arrays) -> Arrays:
        """The same in memory of its own, which can be written to, unlike Ray's store, with the parents that came along."""
        names = ("x_train", "y_train", "x_validation", "y_validation", "x_selection", "y_selection")
        there = {name: rows for name in names if (rows := getattr(arrays, name)) is not None}
        own: dict[str, Any] = {name: rows.copy() for name, rows in there.items()}
        return replace(arrays, **own, parents=self._parents)


def surroundings_here(numerics: str, family: str, device: str = "cpu") -> dict[str, Any]:
    """What decides the bits of a trial where this runs: environment, and our own files."""
    digest, parts = environment(numerics, family, device)
    return {"asked": (numerics, family, device), "digest": digest, "environment": parts, "sources": deciding_sources()}
