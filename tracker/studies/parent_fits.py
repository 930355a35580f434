"""Whether the networks of a study can begin with their parent, looked at before any trial trains; what to change where not.

Networks begin as a trial begins (`tracker.studies.rehearsal`): whatever a trial would refuse is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tracker.errors import TrackerError, TrainingError
from tracker.families.family import OwnFunction
from tracker.families.transfer import Misfit
from tracker.hyperparameters import FAMILIES
from tracker.records import StudySpec
from tracker.search.entries import Entry, Interval
from tracker.search.space import space_from
from tracker.shown import one_line, written
from tracker.standalone.transform import shape_of
from tracker.studies.parent import Parent
from tracker.studies.plan import ends
from tracker.studies.rehearsal import Params, Read, Rehearsal, may_shape

FEW = 9  # numbers of layers that are tried, from 0 on


def parent_fault(spec: StudySpec, parent: Parent, head: str, read: Read, own: OwnFunction | None = None) -> str | None:
    """The first thing in the way of a study's networks, with the layer and what to do; None where all can begin.

    `head` is the entry `model.transfer.head`, `own` the user's function where networks are theirs.
    """
    identity = parent.identity(head, read.labels)
    weights = {f"{identity['weights']}.safetensors": parent.content}
    runs = Rehearsal(spec, read, own, identity, weights)
    for params in runs.configurations():
        try:
            runs.begin(params)
        except Misfit as misfit:
            return f"{misfit.found}; {_advice(runs, parent, params) or misfit.remedy}"
        except TrainingError as error:
            if own is None:  # what else the user's code does not like is a trial's failure
                return str(error)
        except TrackerError:  # no memory for it here
            continue
    return None


def _advice(runs: Rehearsal, parent: Parent, params: Params) -> str | None:
    """What the parent has otherwise, where its description says so, or one value is found with which it fits."""
    told, family = parent.described, runs.spec.family
    if not told:
        guessed = _guess(runs, parent, params)
        return _set(runs.spec, guessed) if guessed else None
    if told["family"] != family:
        theirs = told["family"]
        return f"the parent is of family {theirs}: set model.family: {theirs}, or take a parent of family {family}"
    theirs = _completed(family, told["params"], params)
    others = {name: value for name, value in theirs.items() if params.get(name) != value}
    if runs.can_begin({**params, **others}):
        return _set(runs.spec, _needed(runs, params, others))
    rows = _of_rows(told, runs.read, kept=runs.parent["head"] == "kept")
    there = replace(runs, read=Read(told["labels"], told["preprocessing"]))  # on the rows that the parent reads
    if rows and not there.can_begin(params) and there.can_begin({**params, **others}):
        rows = f"{rows}; and {_set(runs.spec, _needed(there, params, others))}"
    return rows


def _completed(family: str, theirs: Params, ours: Params) -> dict[str, Any]:
    """The parent's hyperparameters that shape a network, with those that a record leaves unsaid."""
    knobs = FAMILIES[family].knobs
    names = [name for name in {**theirs, **ours} if may_shape(name)]
    unsaid = {name: knobs[name].usual if knobs[name].neutral is None else knobs[name].neutral for name in knobs}
    whole = {name: theirs.get(name, unsaid.get(name)) for name in names}
    return {name: value for name, value in whole.items() if value is not None}


def _needed(runs: Rehearsal, params: Params, others: Params) -> dict[str, Any]:
    """Those of the parent's values without which a network of these hyperparameters could not begin."""
    needed = dict(others)
    for name in others:
        fewer = {other: value for other, value in needed.items() if other != name}
        if runs.can_begin({**params, **fewer}):
            needed = fewer
    return needed


def _guess(runs: Rehearsal, parent: Parent, params: Params) -> dict[str, Any] | None:
    """A hyperparameter of ours with a value at which a network could begin with a parent of which only shapes are known."""
    from safetensors.torch import load

    sizes = {size for tensor in load(parent.content).values() for size in tensor.shape} | {*range(FEW)}
    for name, knob in FAMILIES[runs.spec.family].knobs.items():
        tried: Sequence[Any] = {"bool": (False, True), "choice": knob.choices, "int": sorted(sizes)}.get(knob.kind, ())
        for value in tried if may_shape(name) else ():
            if value != params.get(name) and runs.can_begin({**params, name: value}):
                return {name: value}
    return None


def _set(spec: StudySpec, needed: Params) -> str:
    """Which hyperparameters to set to what, and which of them are searched."""
    space = space_from(spec.space, spec.fixed, spec.family)
    values = ", ".join(f"{name}: {written(value)}" for name, value in needed.items())
    if listed := [name for name in needed if any(name in one for one in spec.sampler.get("configurations", ()))]:
        return f"each of its configurations needs {{{values}}}, as the parent has: change {', '.join(listed)} there"
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
    return ", ".join(map(written, ends(entry)))


def _of_rows(told: Mapping[str, Any], read: Read, *, kept: bool) -> str | None:
    """What parent and child read, and tell apart, where that differs."""
    theirs, ours = shape_of(told["preprocessing"]), shape_of(read.state)
    if theirs != ours:
        return (
            f"the parent reads rows of shape {_shape(theirs)}, these are {_shape(ours)}; bring them to one (data.shape)"
        )
    their, our = told["preprocessing"]["features"], read.state["features"]
    if not ours and len(their) != len(our):
        return f"the parent reads {len(their)} features, these rows have {len(our)}: {_odd(their, our)}; take the same columns"
    if kept and len(told["labels"]) != len(read.labels):
        return (
            f"the parent has {len(told['labels'])} classes, the target {len(read.labels)}; say model.transfer.head: new"
        )
    return None


def other_features(parent: Parent, read: Read) -> str | None:
    """That weights of the first layer meet other columns of a table than they were trained with; None where they do not."""
    told = parent.described
    their, our = (told["preprocessing"]["features"] if told else []), read.state["features"]
    if not told or shape_of(read.state) or shape_of(told["preprocessing"]) or [*their] == [*our]:
        return None
    return (
        f"model.transfer.from: the parent's features are not these ({_odd(their, our)}), so the weights of its "
        "first layer meet other columns than they were trained with; name and order columns as there"
    )


def _odd(their: Sequence[str], our: Sequence[str]) -> str:
    """The first features that the parent has alone, and that these rows have alone."""
    lacking, unknown = [one for one in their if one not in our], [one for one in our if one not in their]
    told = {"these lack": lacking, "the parent does not know": unknown}
    return "; ".join(f"{words} {_first(odd)}" for words, odd in told.items() if odd) or "their order is another"


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(map(one_line, names[:3]))}{', ...' if len(names) > 3 else ''}"


def _shape(shape: Sequence[int]) -> str:
    return str(list(shape)) if shape else "of a table"
