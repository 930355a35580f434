"""When a study ends before it has all its trials, by what its finished generations say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from tracker.config.base import Part, raise_faults
from tracker.sampler_table import SAMPLERS

if TYPE_CHECKING:
    from tracker.config.parts import Study


class Stop(Part):
    """After so many generations without a better value, or after the generation in which so many epochs were reached."""

    plateau: int | None = Field(default=None, ge=1, le=100_000)
    epochs: int | None = Field(default=None, ge=1, le=10**12)

    @model_validator(mode="after")
    def _says_something(self) -> Stop:
        raise_faults(
            {
                "expected plateau: generations without improvement, or epochs: a budget, or both": (
                    self.plateau is None and self.epochs is None
                )
            }
        )
        return self


def stop_faults(study: Study) -> dict[str, bool]:
    """What a study says of its end that does not fit its sampler."""
    row = SAMPLERS[study.sampler]
    return {
        f"stop belongs to samplers that are asked for trials; {row.name} has a list": (
            study.stop is not None and not row.needs_trials
        )
    }
