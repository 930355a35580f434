"""Builds study specs from the forms that people write, without a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from tracker.config import Entry
from tracker.hyperparameters import without_neutral
from tracker.neutral import TRAINING
from tracker.records import StudySpec
from tracker.search.samplers import default_generation, versions
from tracker.search.space import Space, compile_space

MakeSpace = Callable[..., Space]
MakeSpec = Callable[..., StudySpec]


def build_space(entries: Mapping[str, Any], fixed: Mapping[str, Any] | None = None) -> Space:
    """A space over the mlp family."""
    read = TypeAdapter(dict[str, Entry]).validate_python(dict(entries))
    return compile_space(read, fixed or {}, "mlp")


def build_spec(sampler: str, entries: Mapping[str, Any], **changes: Any) -> StudySpec:
    """A spec that maximizes val_f1; `fixed`, `seed`, `generation`, `direction`, `configurations`, `further` objectives and
    `constraints` may be given.
    """
    space = build_space(entries, changes.get("fixed"))
    listed = {"configurations": changes["configurations"]} if "configurations" in changes else {}
    return StudySpec(
        name="study",
        family="mlp",
        sampler={"name": sampler, **listed},
        space=space.canonical(),
        fixed=without_neutral("mlp", space.fixed),
        training=dict(TRAINING),
        objective={"metric": "val_f1", "direction": changes.get("direction", "maximize")},
        generation=changes.get("generation", default_generation(sampler)),
        seed=changes.get("seed", 2026),
        data={},
        environment="environment",
        numerics=1,
        versions=versions(sampler),
        further=changes.get("further", ()),
        constraints=changes.get("constraints", ()),
    )


@pytest.fixture
def make_space() -> MakeSpace:
    """`make_space(entries, fixed)`."""
    return build_space


@pytest.fixture
def make_spec() -> MakeSpec:
    """`make_spec(sampler, entries, **changes)`."""
    return build_spec
