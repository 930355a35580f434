"""Whether the networks of a study can begin with their parent, looked at before any trial trains; what to change where not.

Networks are built, over no rows but one of each class, and begun as a trial begins: whatever a trial would refuse is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from tracker.canonical import digest_bytes
from tracker.errors import SpaceError, TrainingError
from tracker.families.family import OwnFunction, open_family
from tracker.families.transfer import Misfit
from tracker.hyperparameters import FAMILIES, OURS, TRANSFER
from tracker.knobs import Value
from tracker.records import StudySpec
from tracker.search.entries import Constant, Entry, Interval
from tracker.search.space import Space, assemble, space_from
from tracker.standalone.transform import blocks_of, shape_of
from tracker.studies.parent import Parent
from tracker.studies.plan import Planner, corners, ends, greatest
from tracker.training.arrays import Arrays

Params = Mapping[str, Any]
FEW = 9  # numbers of layers that are tried, from 0 on


@dataclass(frozen=True, slots=True)
class Read:
    """What networks read: the classes, and the fitted state of preprocessing, which has features, columns and shape."""

    labels: Sequence[str]
    state: Mapping[str, Any]

    def arrays(self, weights: bytes) -> Arrays:
        """A row of zeros for each class, beside the weights of a parent."""
        features, y = tuple(self.state["features"]), np.arange(len(self.labels), dtype=np.int64)
        x = np.zeros((len(y), len(features)), np.float32)
        about = tuple(self.labels), features, shape_of(self.state), bool(self.state.get("mask"))
        parents = {f"{digest_bytes(weights)}.safetensors": weights}
        return Arrays(x, y, x, y, len(y), None, *about, parents, blocks_of(self.state))


def parent_fault(spec: StudySpec, parent: Parent, head: str, read: Read, own: OwnFunction | None = None) -> str | None:
    """The first thing in the way of a study's networks, with the layer and what to do; None where all can begin.

    `head` is the entry `model.transfer.head`, `own` the user's function where networks are theirs.
    """
    begins = _Begins(spec, parent, parent.identity(head, read.labels), read.arrays(parent.content), own)
    for params in chain(corners(spec), _variations(spec)):
        try:
            begins.start(params)
        except Misfit as misfit:
            return f"{misfit.found}; {_advice(begins, params, read) or misfit.remedy}"
        except TrainingError as error:
            if own is None:  # what else the user's code does not like is a trial's failure
                return str(error)
    return None


@dataclass(frozen=True, slots=True)
class _Begins:
    spec: StudySpec
    parent: Parent
    identity: Mapping[str, str]
    arrays: Arrays
    own: OwnFunction | None
    planner: Planner = field(init=False)
    space: Space = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "planner", Planner(self.spec))
        object.__setattr__(self, "space", space_from(self.spec.space, self.spec.fixed, self.spec.family))

    def start(self, params: Params) -> None:
        """Begins a run of these hyperparameters. Raises TrainingError where that cannot be."""
        run = replace(self.planner.run(params, self.spec.seed), parent=self.identity)
        engine = open_family(self.spec.family).start([run], self.arrays, self.own)
        engine.prepare()
        engine.close()

    def fits(self, params: Params) -> bool:
        """Whether a run of these hyperparameters could begin; widths and layers may contradict each other in them."""
        try:
            self.start(assemble(Space(self.spec.family, (), {}), dict(params)))
        except (TrainingError, SpaceError, ValueError):
            return False
        return True


def _variations(spec: StudySpec) -> Iterator[Params]:
    """The ends and choices, one after the other, of each searched name that is one of the network's own."""
    space = space_from(spec.space, spec.fixed, spec.family)
    for entry in space.entries:
        if isinstance(entry.domain, Constant) or not _shapes(entry.name):
            continue
        for value in ends(entry):

            def choose(name: str, other: Entry, entry: Entry = entry, value: Value = value) -> Value:
                del name
                return value if other is entry else greatest(ends(other))

            searched, _ = space.walk(choose)
            if space.forbidding(searched) is None:
                yield assemble(space, searched)


def _shapes(name: str) -> bool:
    """Whether a name may decide how large layers are: names of the user's own do, those of training do not."""
    return name not in OURS and name not in TRANSFER


def _advice(begins: _Begins, params: Params, read: Read) -> str | None:
    """What the parent has otherwise, where its description says so, or one value is found with which it fits."""
    told = begins.parent.described
    family = begins.spec.family
    if not told:
        guessed = _guess(begins, params)
        return _set(begins.space, guessed) if guessed else None
    if told["family"] != family:
        theirs = told["family"]
        return f"the parent is of family {theirs}: set model.family: {theirs}, or take a parent of family {family}"
    theirs = _completed(family, told["params"], params)
    others = {name: value for name, value in theirs.items() if params.get(name) != value}
    if begins.fits({**params, **others}):
        return _set(begins.space, _needed(begins, params, others))
    return _of_rows(told, read, kept=begins.identity["head"] == "kept")


def _completed(family: str, theirs: Params, ours: Params) -> dict[str, Any]:
    """The parent's hyperparameters that shape a network, with those that a record leaves unsaid."""
    knobs = FAMILIES[family].knobs
    names = [name for name in {**theirs, **ours} if _shapes(name)]
    unsaid = {name: knobs[name].usual if knobs[name].neutral is None else knobs[name].neutral for name in knobs}
    whole = {name: theirs.get(name, unsaid.get(name)) for name in names}
    return {name: value for name, value in whole.items() if value is not None}


def _needed(begins: _Begins, params: Params, others: Params) -> dict[str, Any]:
    """Those of the parent's values without which a network of these hyperparameters could not begin."""
    needed = dict(others)
    for name in others:
        fewer = {other: value for other, value in needed.items() if other != name}
        if begins.fits({**params, **fewer}):
            needed = fewer
    return needed


def _guess(begins: _Begins, params: Params) -> dict[str, Any] | None:
    """A hyperparameter of ours with a value at which a network could begin with a parent of which only shapes are known."""
    from safetensors.torch import load

    sizes = {size for tensor in load(begins.parent.content).values() for size in tensor.shape} | {*range(FEW)}
    for name, knob in FAMILIES[begins.spec.family].knobs.items():
        tried: Sequence[Any] = {"bool": (False, True), "choice": knob.choices, "int": sorted(sizes)}.get(knob.kind, ())
        for value in tried if _shapes(name) else ():
            if value != params.get(name) and begins.fits({**params, name: value}):
                return {name: value}
    return None


def _set(space: Space, needed: Params) -> str:
    """Which hyperparameters to set to what, and which of them are searched."""
    values = ", ".join(f"{name}: {_written(value)}" for name, value in needed.items())
    searched = [f"{entry.name} ({_range(entry)})" for entry in space.entries if entry.name in needed]
    if not searched:
        return f"set hyperparameters: {{{values}}}, as the parent has"
    return (
        f"what shapes the network cannot be searched: take {', '.join(searched)} out of search_space, and set "
        f"hyperparameters: {{{values}}}, as the parent has"
    )


def _range(entry: Entry) -> str:
    if isinstance(entry.domain, Interval):
        return f"{entry.domain.low} to {entry.domain.high}"
    return ", ".join(map(_written, ends(entry)))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_rows(told: Mapping[str, Any], read: Read, *, kept: bool) -> str | None:
    """What parent and child read, and tell apart, where that differs."""
    theirs, ours = shape_of(told["preprocessing"]), shape_of(read.state)
    if theirs != ours:
        return (
            f"the parent reads rows of shape {_shape(theirs)}, these are {_shape(ours)}; bring them to one (data.shape)"
        )
    their, our = told["preprocessing"]["features"], read.state["features"]
    if not ours and len(their) != len(our):
        odd = [name for name in our if name not in their] or [name for name in their if name not in our]
        which = f" ({', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''})" if odd else ""
        return f"the parent reads {len(their)} features, these rows have {len(our)}{which}; take the same columns"
    if kept and len(told["labels"]) != len(read.labels):
        return (
            f"the parent has {len(told['labels'])} classes, the target {len(read.labels)}; say model.transfer.head: new"
        )
    return None


def _shape(shape: Sequence[int]) -> str:
    return str(list(shape)) if shape else "of a table"
