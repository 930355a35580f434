"""Which metrics params.yaml may name, as objective, as monitor and as further columns, and which of them a study asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from tracker.hyperparameters import FAMILIES
from tracker.metrics import CURVES, asked_of, how_asked, in_order, is_asked, metric_of, name_fault, needs_number

if TYPE_CHECKING:
    from tracker.config.settings import Config


def _asked(value: Any) -> str:
    if isinstance(value, str) and is_asked(value):
        return value
    missing = needs_number(value) if isinstance(value, str) else None
    raise ValueError(f"{missing}, found {value!r}" if missing else f"expected {how_asked()}, found {value!r}")


Asked = Annotated[str, BeforeValidator(_asked)]


def metric_faults(config: Config, place: str, metric: str) -> Iterator[str]:
    """Our own families compute a fixed set of metrics; the user's own code may yield any."""
    bare = metric.removeprefix("val_")
    if FAMILIES[config.model.family].metrics == "ours" and not (
        metric in CURVES or (bare != metric and metric_of(bare))
    ):
        if missing := needs_number(bare):
            yield f"{place}: {missing}, found {metric!r}"
            return
        listed = " or ".join([", ".join(map(repr, CURVES[:-1])), repr(CURVES[-1])])
        yield f"{place}: expected {listed}, found {metric!r}"
    elif fault := name_fault(metric):
        yield f"{place}: {metric!r} {fault}"


def asked_metrics(config: Config, study: str | None = None) -> list[str]:
    """The metrics that a study (None: any) asks for beside those that all have, in the order of the table."""
    training = config.training if study is None else config.training_of(study)
    stopping = training.early_stopping
    named = [config.objective.metric, stopping.monitor if stopping else ""]
    return in_order([*asked_of(named), *training.metrics])
