"""Derives the scored trial of `reports/final.json` again, and its test scores from what came of that, without a new look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracker.aggregation import mean_metrics
from tracker.deriving.compare_models import describe_again
from tracker.deriving.compare_outcomes import Difference
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_trial import Recorded, find_final, find_recorded, recorded_key
from tracker.deriving.judge_trial import reproduce_record
from tracker.deriving.verdict import Verdict
from tracker.design_effects import effects_version
from tracker.errors import DataError, TrackerError
from tracker.evaluation.chosen_model import ChosenModel, load_chosen
from tracker.evaluation.compare import score_again
from tracker.evaluation.confirm_scores import SeedModel
from tracker.evaluation.final import DETAILS, OPTIONAL, RESULT, SEEDS, confusion_text
from tracker.evaluation.ranked import RankedTrial
from tracker.evaluation.scoring import as_told
from tracker.paths import Paths
from tracker.remedies import stage_command
from tracker.store.model_folder import write_model
from tracker.surroundings.changes import Cause
from tracker.trees import first_difference

AGAIN = "`tracker compare --test` writes it again without a new look"


def reproduce_final(paths: Paths, fresh: FreshProcess | None = None) -> Verdict:
    """Derives the scored trial again, scores what came of it on the test rows, compares with the report; no new look.

    Raises NotFoundError where there is no report, or its trial is in no record.
    """
    final, recorded = find_final(paths)
    with TemporaryDirectory(prefix="tracker-") as folder:
        weights = Path(folder) / "weights.safetensors"
        found = replace(reproduce_record(recorded, paths.root, paths.splits, fresh, weights), kind="final")
        if not found.is_sound:
            return found
        try:
            others = _seed_models(paths, final, fresh, Path(folder))
            again, looks = _score(paths, _with_weights(recorded, found.weights), final, Path(folder), weights, others)
        except TrackerError as error:
            cause = Cause("test", None, None, str(error))
            split = f"{stage_command(paths.root, 'split')} writes data/splits and data/sealed again"
            back = split if isinstance(error, DataError) else None
            return replace(found, state="cannot", first_difference=None, causes=(cause,), remedy=back)
    if found.state == "equivalent":  # other last digits: another machine's curves and optimism are its own
        final = {name: value for name, value in final.items() if name != DETAILS}
    told = [*_differences(final, again), *_other_telling(final, again, looks, paths)]
    difference = next(iter(told), None)
    if difference is None:
        return found
    if found.state == "equivalent" and _matrix(final) != _matrix(again):
        return replace(found, state="differs", first_difference=difference)  # of what was derived, or of the report
    equal = "weights and validation are equal" if found.state == "identical" else "the trial is equivalent"
    words = f"{equal}, so the report was altered: {difference.metric}"
    cause = Cause(difference.metric, difference.recorded, difference.derived, words)
    return replace(found, state="differs", first_difference=difference, causes=(cause,), remedy=AGAIN)


def _with_weights(recorded: Recorded, weights: str | None) -> Recorded:
    """The record with the digest of the weights that were derived, which are those that are scored."""
    return replace(recorded, outcome=replace(recorded.outcome, weights=weights))


def _matrix(result: Mapping[str, Any]) -> Any:
    """The confusion matrix on the test rows, from which every score follows."""
    test = result.get("test")
    return test.get("confusion_matrix") if isinstance(test, Mapping) else None


def _score(
    paths: Paths,
    recorded: Recorded,
    final: Mapping[str, Any],
    folder: Path,
    weights: Path,
    others: Sequence[SeedModel],
) -> tuple[Mapping[str, Any], int]:
    scored = scored_row(recorded, final)
    if (recorded.spec.data.get("rows") or {}).get("all"):  # what is known of it are the means over folds
        folds = find_recorded(f"{final['study']}/{final['trial']}", paths)
        means = mean_metrics([run.outcome.metrics for run in (folds, *folds.others)])
        scored = replace(scored, metrics=means, first_run=recorded.outcome.metrics)
    model = _model(paths, recorded, scored, folder / "model", weights)
    told = final.get("test")
    version = effects_version(told if isinstance(told, Mapping) else {})
    return score_again(paths, scored, model, str(final["test_digest"]), others, version)


def scored_row(recorded: Recorded, final: Mapping[str, Any]) -> RankedTrial:
    """The recorded trial as the ranking has it, with the place that a final result tells."""
    outcome = recorded.outcome
    return RankedTrial(
        rank=1,
        study=str(final["study"]),
        trial=int(final["trial"]),
        key=outcome.key,
        candidate=recorded.spec.candidate,
        weights=outcome.weights,
        value=0.0,
        best_epoch=outcome.best_epoch,
        metrics=outcome.metrics,
        params=recorded.spec.params,
        rows=recorded.spec.data.get("rows"),
    )


def _seed_models(paths: Paths, final: Mapping[str, Any], fresh: FreshProcess | None, folder: Path) -> list[SeedModel]:
    """The models of the further seeds that the report tells scores of, each derived again. Raises TrackerError."""
    keys = (final.get(SEEDS) or {}).get("keys", ())
    if keys and fresh is None:
        with closing(FreshProcess()) as process:  # one for all: most of a derivation is the start of its process
            return _seed_models(paths, final, process, folder)
    models = []
    for place, key in enumerate(keys):
        recorded = recorded_key(paths, str(key), f"final {final['study']}/{final['trial']} (seed {place + 1})")
        weights = folder / f"{place}.safetensors"
        found = reproduce_record(recorded, paths.root, paths.splits, fresh, weights)
        if not found.is_sound:
            raise TrackerError(f"{recorded.name}: {found.state}; `tracker verify --all` says how its study differs")
        recorded = _with_weights(recorded, found.weights)
        model = _model(paths, recorded, scored_row(recorded, final), folder / str(place), weights)
        models.append(SeedModel(str(key), model))
    return models


def _model(paths: Paths, recorded: Recorded, scored: RankedTrial, folder: Path, weights: Path) -> ChosenModel:
    """The derived weights with preprocessing that is fitted again, opened as any model is."""
    write_model(folder, describe_again(recorded, paths), weights.read_bytes())
    return load_chosen(folder, scored, paths)


def _differences(final: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[Difference]:
    """The first value that is not the same, of every entry of the result."""
    names = dict.fromkeys(
        [*RESULT, *(one for one in OPTIONAL if one in final), *(one for one in (SEEDS,) if one in again)]
    )
    for name in names:
        old, new = final.get(name), again.get(name)
        if name == "test" and isinstance(old, Mapping):
            new = as_told(old, again[name])
        if leaf := first_difference(old, new, name):
            place, was, now = leaf
            gap = abs(was - now) if isinstance(was, float) and isinstance(now, float) else None
            yield Difference(None, place, was, now, gap)


def _other_telling(
    final: Mapping[str, Any], again: Mapping[str, Any], looks: int, paths: Paths
) -> Iterator[Difference]:
    """What the report says of looks beyond those on record, a stale that nothing explains, another table of predictions."""
    told = final.get("looks")
    if not (isinstance(told, int) and 1 <= told <= looks):  # looks that were taken since are not in it
        yield Difference(None, "looks", told, looks)
    if final.get("stale") is not ("stale_because" in final):
        yield Difference(None, "stale", final.get("stale"), "stale_because" in final)
    path = paths.reports / "confusion.csv"
    text = path.read_text(encoding="utf-8") if path.is_file() else None
    if text != confusion_text(again):
        yield Difference(None, path.name, "no such file" if text is None else "another table", "the report's counts")
