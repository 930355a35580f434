"""Reloads the chosen trial's model, once it is sure to be that model and to score on validation as recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker.canonical import digest_file
from tracker.confusion import Z, count_confusion
from tracker.design_effects import VERSION, design_effects
from tracker.errors import DataError, InputError, SealError
from tracker.evaluation.files import read_report
from tracker.evaluation.ranked import RankedTrial
from tracker.evaluation.scoring import index_labels
from tracker.families.trusted_code import require_trusted
from tracker.fields import model as model_shape
from tracker.hyperparameters import FAMILIES
from tracker.loading import loading
from tracker.metrics import score_intervals, separation_intervals
from tracker.paths import Paths
from tracker.records import THRESHOLD, TrialSpec, record_from
from tracker.remedies import run_again
from tracker.shown import counted
from tracker.standalone.decision import decide_as

if TYPE_CHECKING:
    import pandas as pd

    from tracker.standalone.load import StandaloneModel
    from tracker.studies.derived_model import DerivedModel

FLIPPED = 1 / 200  # share of rows that another machine's arithmetic may call otherwise; one row may always be


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """The chosen trial's model: raw columns in, label names out; `positive` is None where scores are means.

    `trusted` is the digest of code that is not this folder's and ran because somebody vouched for it.
    """

    labels: tuple[str, ...]
    positive: str | None
    loaded: StandaloneModel | DerivedModel
    trusted: str | None = None

    @property
    def place(self) -> int | None:
        """The place of the class that scores speak about; None where they are means."""
        return None if self.positive is None else self.labels.index(self.positive)

    def probabilities(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """The probability of every class, (rows, classes) in the order of `labels`. Raises DataError."""
        try:
            return np.asarray(self.loaded.predict_proba(frame), dtype=np.float64)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise DataError(f"the chosen model cannot read these rows: {error}; {run_again()}") from None

    def predict(self, frame: pd.DataFrame) -> list[str]:
        """The label of every row, decided as the model decides. Raises DataError."""
        return self.decided(self.probabilities(frame))

    def decided(self, probabilities: NDArray[np.float64]) -> list[str]:
        """The labels that follow from class probabilities (rows, classes)."""
        return [self.labels[place] for place in decide_as(self.loaded.description, probabilities)]


def load_chosen(folder: Path, chosen: RankedTrial, paths: Paths, trust: str | None = None) -> ChosenModel:
    """The model in `models/STUDY`; that of the user's own loop is derived again from the rows in data/splits.

    Its code runs where it is that of this project's folder, or the one that `trust` names; else CodeNotTrusted is raised.
    Raises SealError where it is another trial's or not the one that was reported, InputError where there is none.
    """
    if chosen.weights is None:
        raise InputError(
            f"{chosen.study}/{chosen.trial} has no model to score on the test split: its loop returned none; "
            "return a torch.nn.Module"
        )
    described = read_report(folder / "model.json", run_again(folder), model_shape)
    if described.get("key") != chosen.key:
        raise SealError(
            f"{folder}: holds trial {str(described.get('key'))[:12]}, chosen is {chosen.study}/{chosen.trial} "
            f"({chosen.key[:12]}); only the chosen trial is scored on the test split: {run_again(folder)}"
        )
    weights = folder / "weights.safetensors"
    found = digest_file(weights) if weights.is_file() else "nothing"
    if not found == described.get("weights") == chosen.weights:
        raise SealError(
            f"{weights}: expected weights {str(chosen.weights)[:12]}, as reported, found {found[:12]}; {run_again(folder)}"
        )
    told = chosen.metrics if chosen.first_run is None else chosen.first_run
    if THRESHOLD in told and described.get("threshold") != told[THRESHOLD]:
        raise SealError(
            f"{folder / 'model.json'}: decides from {described.get('threshold')} on, {told[THRESHOLD]} was reported; "
            f"{run_again(folder)}"
        )
    try:
        if "code" in described and record_from(TrialSpec, described["spec"]).key != chosen.key:
            raise SealError(
                f"{folder}: its spec contradicts the key of its trial, so its code is not run; {run_again(folder)}"
            )
        code, trusted = dict(described.get("spec", {}).get("code", {})), None
        if "code" in described or code:
            trusted = require_trusted(code, paths.root, str(folder), trust)
        loaded = _open(folder, described, paths.splits)
        return ChosenModel(tuple(described["labels"]), described["positive"], loaded, trusted)
    except (KeyError, TypeError, ValueError) as error:
        raise SealError(f"{folder}: not a model that can be opened ({error!r}); {run_again(folder)}") from None


def _open(folder: Path, described: Mapping[str, Any], splits: Path) -> StandaloneModel | DerivedModel:
    """A network of the user's own that its recorded code does not give again is trained again."""
    with loading():
        from tracker.standalone.load import load_model

    try:
        return load_model(folder)
    except ValueError:
        if "code" not in described or FAMILIES[described["family"]].fitted_once:
            raise
    from tracker.studies.derived_model import derive_model

    return derive_model(folder, described["key"], described["weights"], splits)


def check_validation(model: ChosenModel, chosen: RankedTrial, frame: pd.DataFrame, actual: Sequence[str]) -> None:
    """Raises SealError where the model does not score on validation as recorded, before a look is spent on it."""
    recorded = (chosen.metrics if chosen.first_run is None else chosen.first_run).get("val_accuracy")
    right = sum(a == b for a, b in zip(model.predict(frame), actual, strict=True))
    if recorded is None or abs(right - recorded * len(actual)) > max(1.0, len(actual) * FLIPPED) + 1e-6:
        raise SealError(
            f"the model of {chosen.study}/{chosen.trial} is right on {right} of {counted(len(actual), 'validation row')}, but "
            f"val_accuracy {recorded} is recorded; {run_again()}"
        )


def validation_interval(
    model: ChosenModel,
    metric: str,
    frame: pd.DataFrame,
    actual: Sequence[str],
    clusters: Sequence[int] | None = None,
    version: int = VERSION,
) -> tuple[float, float] | None:
    """The 95 % interval over validation rows of the chosen trial's objective metric; None where there is none.

    Where rows come in `clusters` (a number per row) it counts these, by this `version` of design effects. Of val_loss it is the
    mean of the rows' losses plus or minus 1.96 standard errors; with clusters, those of Liang and Zeger (1986, Biometrika 73).
    """
    truth = index_labels(actual, model.labels)
    name, probabilities = metric.removeprefix("val_"), model.probabilities(frame)
    if metric == "val_loss":
        return _loss_interval(probabilities[np.arange(len(truth)), truth], clusters)
    if name in (sorted_by := separation_intervals(truth, probabilities, model.place, [name], clusters)):
        return sorted_by[name]
    call, classes = index_labels(model.decided(probabilities), model.labels), len(model.labels)
    effects = None if clusters is None else design_effects(truth, call, clusters, classes, model.place, version)
    return score_intervals(count_confusion(truth, call, classes), model.place, effects, [name]).get(name)


def _loss_interval(
    probabilities: NDArray[np.float64], clusters: Sequence[int] | None = None
) -> tuple[float, float] | None:
    losses = [-math.log(max(p, 1e-300)) for p in probabilities.tolist()]
    count = len(losses if clusters is None else set(clusters))
    if count < 2:
        return None
    mean = math.fsum(losses) / len(losses)
    if clusters is None:
        variance = math.fsum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1)
        reach = Z * math.sqrt(variance / len(losses))
    else:
        totals = np.bincount(np.asarray(clusters), weights=[loss - mean for loss in losses])
        reach = Z * math.sqrt(count / (count - 1) * math.fsum(totals**2)) / len(losses)
    return (mean - reach, mean + reach)
