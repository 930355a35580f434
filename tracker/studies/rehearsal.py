"""Begins runs before any trial trains, over a row of zeros for each class: what no trial could begin with is found here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from tracker.errors import SpaceError, TrackerError, TrainingError
from tracker.families.family import OwnFunction, open_family
from tracker.hyperparameters import OURS, TRANSFER
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.search.entries import Constant, Entry
from tracker.search.space import Space, assemble, space_from
from tracker.standalone.transform import blocks_of, shape_of
from tracker.studies.plan import Planner, corners, ends, greatest, least
from tracker.training.arrays import Arrays
from tracker.training.size import network_size

Params = Mapping[str, Any]
MOST = 8  # configurations of which one must be able to begin


@dataclass(frozen=True, slots=True)
class Read:
    """What models read: the classes, and the fitted state of preprocessing, which has features, columns and shape."""

    labels: Sequence[str]
    state: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """What a row is: `(features,)` of a table."""
        return shape_of(self.state) or (len(self.state["features"]),)

    def arrays(self, parents: Mapping[str, bytes]) -> Arrays:
        """A row of zeros for each class; `parents` are weights by the names of their files."""
        features, y = tuple(self.state["features"]), np.arange(len(self.labels), dtype=np.int64)
        x = np.zeros((len(y), len(features)), np.float32)
        if self.state.get("mask"):
            x[:, -len(features) // self.shape[0] :] = 1.0  # the last channel: all steps are there
        about = tuple(self.labels), features, shape_of(self.state), bool(self.state.get("mask"))
        return Arrays(x, y, x, y, len(y), None, *about, parents, blocks_of(self.state))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The runs of a study; `own` is the user's function, `parent` the identity of the weights that they begin with."""

    spec: StudySpec
    read: Read
    own: OwnFunction | None = None
    parent: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, bytes] = field(default_factory=dict)

    def configurations(self) -> Iterator[Params]:
        """What has the least of everything, the corners of the space, then the ends and choices, in turn, of each other name.

        Names of training are left out; where the study lists its configurations, those alone.
        """
        if "configurations" in self.spec.sampler:
            yield from corners(self.spec)
            return
        space = space_from(self.spec.space, self.spec.fixed, self.spec.family)
        searched, _ = space.walk(lambda _, entry: least(ends(entry)))
        if searched and space.forbidding(searched) is None:
            yield assemble(space, searched)
        yield from corners(self.spec)
        for entry in space.entries:
            if isinstance(entry.domain, Constant) or not may_shape(entry.name):
                continue
            for value in ends(entry):

                def choose(name: str, other: Entry, entry: Entry = entry, value: Value = value) -> Value:
                    del name
                    return value if other is entry else greatest(ends(other))

                searched, _ = space.walk(choose)
                if space.forbidding(searched) is None:
                    yield assemble(space, searched)

    def begin(self, params: Params) -> None:
        """Begins a run of these hyperparameters. Raises TrainingError where that cannot be."""
        run = replace(Planner(self.spec).run(params, self.spec.seed), parent=self.parent)
        engine = open_family(self.spec.family).start([run], self.read.arrays(self.parents), self.own)
        engine.prepare()
        engine.close()

    def can_begin(self, params: Params) -> bool:
        """Whether a run of these hyperparameters could begin; widths and layers may contradict each other in them."""
        try:
            self.begin(assemble(Space(self.spec.family, (), {}), dict(params)))
        except (TrainingError, SpaceError, ValueError):
            return False
        return True


def smallest_network(spec: StudySpec, read: Read) -> int | None:
    """Parameters of the smallest of a study's networks, as far as the ends of its space tell; of families of ours.

    None where combinations are forbidden, so that the ends may be, too.
    """
    if space_from(spec.space, spec.fixed, spec.family).clauses:
        return None
    params = Rehearsal(spec, read).configurations()
    about = read.shape, len(read.labels)
    mask, widths = bool(read.state.get("mask")), blocks_of(read.state)
    return min(network_size(spec.family, one, *about, mask=mask, widths=widths).parameters for one in params)


def may_shape(name: str) -> bool:
    """Whether a name may decide how large layers are: names of the user's own do, those of training do not."""
    return name not in OURS and name not in TRANSFER


def own_fault(spec: StudySpec, read: Read, own: OwnFunction) -> str | None:
    """What the user's function gives wrongly in the first configurations; None where a run of one of them can begin.

    One that cannot is a failed trial; where none can, every trial would be. The smallest comes first and is mostly enough, so
    that no large network is made here.
    """
    rehearsal, found = Rehearsal(spec, read, own), None
    for params in islice(rehearsal.configurations(), MOST):
        try:
            rehearsal.begin(params)
        except TrainingError as error:
            names = ", ".join(f"{name}: {value}" for name, value in params.items() if may_shape(name))
            found = (
                found or f"with {{{names}}}, on rows of shape {list(read.shape)} in {len(read.labels)} classes: {error}"
            )
        except TrackerError:  # no memory for it here, which says nothing of the function
            return None
        else:
            return None
    return found
