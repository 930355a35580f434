"""Refinements: studies that search what the best trials of another study leave of its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, model_validator

from tracker.config.base import raise_faults
from tracker.config.study import Study
from tracker.sampler_table import SAMPLERS
from tracker.shown import there_are


class Refinement(Study):
    """A study over the space of the study `refine`, shrunk around the best `keep` (a share) of its trials."""

    refine: str
    keep: float = Field(default=0.2, gt=0, le=1)

    @model_validator(mode="after")
    def _has_no_space(self) -> Refinement:
        faults = {
            f"a refinement searches what is left of the space of {self.refine}; take search_space out": (
                self.search_space is not None
            ),
            f"a refinement searches; sampler {self.sampler} has configurations": not SAMPLERS[self.sampler].space,
        }
        raise_faults(faults)
        return self


def in_chain_order(studies: Mapping[str, Study], refinements: Mapping[str, Refinement]) -> dict[str, Study]:
    """All of them by name, each behind what it refines; those whose chain has no beginning are left out."""
    ordered: dict[str, Study] = dict(studies)
    waiting = {name: one for name, one in refinements.items() if name not in studies}
    while ready := {name: one for name, one in waiting.items() if one.refine in ordered}:
        ordered |= ready
        waiting = {name: one for name, one in waiting.items() if name not in ready}
    return ordered


def refinement_faults(studies: Mapping[str, Study], refinements: Mapping[str, Refinement]) -> Iterator[str]:
    """What is wrong with what refinements name, one sentence each, beginning with the place."""
    known = [*studies, *refinements]
    ordered = in_chain_order(studies, refinements)
    for name, one in refinements.items():
        place = f"refinements.{name}"
        if name in studies:
            yield f"{place}: studies has a {name} too; a refinement needs a name of its own"
        elif one.refine not in known:
            others = [other for other in known if other != name]
            yield f"{place}.refine: there is no study {one.refine}; {there_are(one.refine, others)}"
        elif name not in ordered:
            chain = " refines ".join(_chain(name, refinements))
            yield f"{place}.refine: {chain}: such a chain has no beginning; let one of them refine a study"
        elif not SAMPLERS[ordered[one.refine].sampler].space:
            yield f"{place}.refine: {one.refine} lists its configurations, so it has no space to shrink"


def _chain(name: str, refinements: Mapping[str, Refinement]) -> list[str]:
    """The names from a refinement on, up to one that is among them or is none."""
    chain = [name]
    while (following := refinements.get(chain[-1])) is not None:
        chain.append(following.refine)
        if following.refine in chain[:-1]:
            break
    return chain
