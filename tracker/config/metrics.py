"""Metrics that params.yaml may ask for beside those that every trial has, and metrics of disturbed rows."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tracker.config.base import Part, raise_faults
from tracker.config.model import ENTRY
from tracker.metrics import (
    ASKED,
    SCORES,
    how_asked,
    is_asked,
    metric_of,
    needs_number,
    numbered,
)
from tracker.shown import meant


def _asked(value: Any) -> str:
    if isinstance(value, str) and (is_asked(value) or re.fullmatch(ENTRY, value)):
        return value
    missing = needs_number(value) if isinstance(value, str) else None
    listed, near = f"expected {how_asked()} or module:function, found {value!r}", meant(value, [*ASKED, *numbered()])
    raise ValueError(f"{missing}, found {value!r}" if missing else listed + near)


Asked = Annotated[str, BeforeValidator(_asked)]
ROBUST = "val_robust_"


def _disturbed(value: Any) -> str:
    metric = metric_of(value) if isinstance(value, str) else None
    if metric is None or metric.needs == "loss":
        raise ValueError(f"expected {', '.join(SCORES)}, {how_asked()}, found {value!r}")
    return metric.name


class Robustness(Part):
    """Metrics of the kept model on validation rows with noise and missing columns; in tables noise is on scaled numbers."""

    noise: float = Field(default=0.0, ge=0, le=100)
    drop: float = Field(default=0.0, ge=0, lt=1)
    metrics: tuple[Annotated[str, BeforeValidator(_disturbed)], ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _disturbs(self) -> Robustness:
        raise_faults({"say noise, drop, or both": not (self.noise or self.drop)})
        return self
