"""The entries of params.yaml, each part sound by itself, and what follows from them for each study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tracker.config.base import Part
from tracker.config.forms import Entry, Forbid, Form
from tracker.config.model import Model
from tracker.config.parts import (
    Compare,
    Data,
    Decision,
    Objective,
    Preprocessing,
    Retune,
    Split,
    Tracking,
    Training,
)
from tracker.config.refinements import Refinement, in_chain_order
from tracker.config.resources import Resources
from tracker.config.study import Study
from tracker.hyperparameters import FAMILIES
from tracker.sampler_table import SAMPLERS


class Entries(Part):
    """All entries of params.yaml; what they must agree on is checked where they become a `Config`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)

    seed: int = Field(ge=0, lt=2**63)
    data: Data = Data()
    split: Split = Split()
    preprocessing: Preprocessing = Preprocessing()
    model: Model = Model()
    training: Training = Training()
    hyperparameters: Mapping[str, Any] = {}
    search_space: Mapping[str, Entry] = {}
    objective: Objective = Objective()
    decision: Decision = Decision()
    declared: Mapping[str, Study] = Field(alias="studies")
    refinements: Mapping[str, Refinement] = {}
    compare: Compare = Compare()
    tracking: Tracking = Tracking()
    retune: Retune = Retune()
    resources: Resources = Resources()
    warm_start: Mapping[str, Annotated[tuple[Mapping[str, Any], ...], Field(strict=False)]] = {}

    @cached_property
    def studies(self) -> Mapping[str, Study]:
        """Every study by name: those under `studies`, and the refinements, each behind what it refines."""
        return in_chain_order(self.declared, self.refinements)

    def place(self, study: str) -> str:
        """Where a study stands in params.yaml: `studies.tpe`, `refinements.fine`."""
        return f"{'refinements' if study in self.refinements else 'studies'}.{study}"

    def training_of(self, study: str) -> Training:
        """The training settings of a study: the common ones with the study's own entries in their place.

        What is fitted once has one epoch, and nothing that stops it.
        """
        own, training = self.studies[study].training, self.training
        if own:
            training = type(training).model_validate({**training.model_dump(exclude_unset=True), **own})
        if FAMILIES[self.model.family].fitted_once:
            training = training.model_copy(update={"epochs": 1, "early_stopping": None})
        return training

    def space_of(self, study: str) -> Mapping[str, Form | Forbid]:
        """The search space of a study: its own, else the common one; nothing where its sampler searches none.

        Of a refinement it is the space that shrinks.
        """
        entry = self.studies[study]
        if isinstance(entry, Refinement):
            return self.space_of(entry.refine)
        if not SAMPLERS[entry.sampler].space:
            return {}
        return self.search_space if entry.search_space is None else entry.search_space
