"""Champion and challenger on the rows of `split.promotion`, which took no part in tuning either."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import Config
from tracker.datasets.assign import PROMOTION
from tracker.datasets.storage import read_document
from tracker.datasets.training_data import label_codes, read_clusters, read_split
from tracker.errors import InputError, NotFoundError
from tracker.evaluation.chosen_model import ChosenModel
from tracker.evaluation.scoring import index_labels
from tracker.families.trusted_code import require_trusted
from tracker.loading import loading
from tracker.paths import Paths
from tracker.records import TrialSpec
from tracker.remedies import run_again
from tracker.seeds import bit_generator
from tracker.store.model_folder import describe_model, write_model
from tracker.store.store import Store
from tracker.tracking.retuned import named

if TYPE_CHECKING:
    from tracker.evaluation.ranked import RankedTrial
    from tracker.retuning.decide import Judged


def model_of(store: Store, row: RankedTrial) -> dict[str, Any]:
    """What a record says of a ranked trial: study, its key, trial, the run's key, its value on validation."""
    for key, _ in store.studies(row.study):
        try:
            spec = store.proposal(key, row.trial).spec
        except NotFoundError:
            continue
        if spec.key == row.key:
            return {"study": row.study, "study_key": key, "trial": row.trial, "key": row.key, "value": row.value}
    raise NotFoundError(f"{row.study}/{row.trial} is not in {store.folder}; {run_again()}")


def configuration_of(store: Store, model: Mapping[str, Any]) -> str:
    """The digest of a model's configuration: hyperparameters and training, without seed and data."""
    return replace(store.proposal(model["study_key"], model["trial"]).spec, data={}).configuration


def meet(
    config: Config,
    paths: Paths,
    store: Store,
    champion: Mapping[str, Any],
    challenger: Mapping[str, Any],
    trust: str | None,
) -> Judged:
    """Both models on the present rows for promotion. Raises InputError where one of them cannot be opened."""
    from tracker.retuning.decide import Side, judge

    frame = read_split(paths.splits, PROMOTION)
    clusters = read_clusters(paths.splits, PROMOTION)
    schema = read_document(paths.splits / "schema.json", "schema", run_again(paths.splits))
    truth, sides = label_codes(frame, schema), []
    positive = None if schema["positive"] is None else schema["labels"].index(schema["positive"])
    with tempfile.TemporaryDirectory(prefix="tracker-") as scratch:
        for place, told in enumerate((champion, challenger)):
            model = open_model(store, told, paths, trust, Path(scratch) / str(place))
            if list(model.labels) != list(schema["labels"]):
                raise InputError(f"{named(told)} knows the classes {', '.join(model.labels)}, the data has others")
            probabilities = model.probabilities(frame)
            sides.append(Side(probabilities, index_labels(model.decided(probabilities), model.labels)))
    metric = config.retune.promote.metric or config.objective.metric
    bits = bit_generator(config.seed, "retune", str(champion["key"]), str(challenger["key"]), len(truth))
    return judge(truth, sides[0], sides[1], config.retune.promote, metric, positive, clusters, bits)


def open_model(store: Store, told: Mapping[str, Any], paths: Paths, trust: str | None, scratch: Path) -> ChosenModel:
    """A trial's model from the store's weights, by way of the folder `scratch`. Raises InputError, NotFoundError."""
    with loading():
        from tracker.standalone.load import load_model

    try:
        spec: TrialSpec = store.proposal(told["study_key"], told["trial"]).spec
        outcome = store.outcomes([spec.key])[spec.key]
    except (NotFoundError, KeyError):
        raise NotFoundError(
            f"the store has no trial {named(told)} ({told['key'][:12]}); `tracker pull` brings it"
        ) from None
    serving = store.serving(spec.data)
    if outcome.weights is None or serving is None or not store.has_weights(outcome.weights):
        raise InputError(f"the store has no model of {named(told)}; `tracker pull` brings it, or tune again")
    code = store.provenance(spec.key).get("code") if spec.code else None
    description = describe_model(spec, outcome, serving, code)
    trusted = require_trusted(dict(spec.code), paths.root, named(told), trust) if spec.code else None
    write_model(scratch, description, store.weights(outcome.weights))
    try:
        loaded = load_model(scratch)
    except ValueError as error:
        raise InputError(
            f"{named(told)} cannot be opened by itself ({error}); champions need family mlp or build"
        ) from None
    return ChosenModel(tuple(description["labels"]), description["positive"], loaded, trusted)
