"""Scores the models of one configuration with many seeds on the test rows, within the look that its choice has taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracker.aggregation import spread
from tracker.evaluation.certainty import mean
from tracker.evaluation.chosen_model import ChosenModel
from tracker.evaluation.scoring import score_labels
from tracker.metrics import tested

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class SeedModel:
    """The model that one seed gave, and the key of its run."""

    key: str
    model: ChosenModel


def score_seeds(
    models: Sequence[SeedModel], frame: pd.DataFrame, labels: Sequence[str], asked: Sequence[str] = ()
) -> dict[str, Any]:
    """The entry `seeds` of a result: per metric mean, standard deviation and the score of each seed, null where undefined.

    Metrics of probabilities are there where they are `asked` for, as in the result itself.
    """
    each = [_scores(one.model, frame, labels, asked) for one in models]
    columns = {name: [scores[name] for scores in each] for name in tested(each[0])} if each else {}
    told = {name: {"mean": mean(values), "sd": spread(values), "values": values} for name, values in columns.items()}
    return {"keys": [one.key for one in models], **told}


def _scores(model: ChosenModel, frame: pd.DataFrame, labels: Sequence[str], asked: Sequence[str]) -> dict[str, Any]:
    probabilities = model.probabilities(frame)
    called = model.decided(probabilities)
    return score_labels(labels, called, model.labels, model.positive, None, probabilities, asked)
