"""Takes the trial records that travel with `models/NAME/` back into the store as a study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest_bytes, parse_canonical
from tracker.errors import StoreCorrupt
from tracker.fields import check_foreign, model
from tracker.paths import Paths
from tracker.records import (
    Proposal,
    StudySpec,
    Timing,
    Trial,
    TrialOutcome,
    TrialSpec,
    record_from,
    records_from,
    trained_runs,
)
from tracker.remedies import fetch_again
from tracker.store.store import Store
from tracker.store.stored import Decision, Finished, outcome_slot
from tracker.studies.report import FORMAT
from tracker.studies.result import StudyResult, study_result, summarise_study

if TYPE_CHECKING:
    from tracker.config import Config


def adopt_studies(models: Path, store: Store, provenance: Mapping[str, Any], clock: Callable[[], float]) -> list[str]:
    """Takes every study of a models folder that the store does not hold whole; their names.

    When the trials ran is not in the cache (equal runs must have equal files), so they bear the time of the adoption.
    Raises StoreCorrupt where a record contradicts its key.
    """
    adopted = []
    for path in sorted(models.glob("*/trials.jsonl")):
        result = read_study(path)
        slots = [outcome_slot(outcome) for trial in result.trials for outcome in trial.outcomes]
        finish = store.finish(result.spec.key)
        is_whole = finish is not None and int(finish[0].get("trials", 0)) >= len(result.trials)
        if is_whole and len(store.outcomes(slots)) == len(set(slots)):
            continue
        with store.together():
            _adopt(path.parent, store, result, provenance, clock())
            store.finish_study(result.spec.key, summarise_study(result))
        adopted.append(result.spec.name)
    return adopted


def retell_fewer(config: Config, models: Path, store: Store, now: float) -> list[str]:
    """Says of studies with fewer trials than they had how they end now, where their records hold no more; their names.

    DVC may have brought those back from its run cache; then nothing ran that would have told.
    """
    told = []
    for name, study in config.studies.items():
        path = models / name / "trials.jsonl"
        spec = None if study.trials is None else recorded_study(path)
        finish = None if spec is None else store.finish(spec.key)
        if finish is None or study.trials is None or int(finish[0].get("trials", 0)) <= study.trials:
            continue
        result = read_study(path)
        if len(result.trials) <= study.trials:
            store.finish_study(result.spec.key, summarise_study(result), now)
            told.append(name)
    return told


def _adopt(folder: Path, store: Store, result: StudyResult, provenance: Mapping[str, Any], now: float) -> None:
    spec, proposals = result.spec, [trial.proposal for trial in result.trials]
    key = store.put_study(spec, provenance)
    store.put_proposals(key, proposals)
    weights = _weights(folder)
    about = provenance
    if (folder / "model.json").is_file():
        description = _described(folder / "model.json")
        best = result.best
        of_model = spec.served_data if best is None else best.spec.data
        if store.serving(of_model) is None:
            serving = {name: description[name] for name in ("labels", "positive", "columns", "preprocessing")}
            store.put_serving(of_model, serving | {"example": description.get("example", [])})
        if "code" in description:  # of the user's own, without which no model of these trials can be opened
            about = {**provenance, "code": description["code"]}
    timing = Timing(now, now)
    runs = [pair for t in result.trials for pair in zip(t.proposal.runs, t.outcomes, strict=True)]
    known = store.outcomes([outcome_slot(outcome) for _, outcome in runs])
    missing = [(run, outcome) for run, outcome in runs if outcome_slot(outcome) not in known]
    put_decisions(store, key, [(trial.proposal, trial.outcomes) for trial in result.trials])
    store.put_outcomes(key, [Finished(run, one, timing, weights.get(one.weights), about) for run, one in missing])
    store.announce(key, [proposal.number for proposal in proposals])


def _described(path: Path) -> dict[str, Any]:
    try:
        description: dict[str, Any] = parse_canonical(path.read_bytes())
        model(description)
    except (OSError, ValueError) as error:
        raise StoreCorrupt(f"{path}: not a readable model ({error}); {fetch_again(path)}") from None
    return description


def put_decisions(store: Store, key: str, trials: Iterable[tuple[Proposal, Sequence[TrialOutcome]]]) -> None:
    """Stores at which rungs trials were stopped; rungs that stopped nobody follow from the curves.

    It comes before the outcomes, so that what is queued for MLflow is never without its stop.
    """
    stops: dict[tuple[int, int], list[int]] = {}
    for proposal, outcomes in trials:
        if any(outcome.state == "paused" for outcome in outcomes):
            rung = outcomes[0].epochs if len(outcomes) == 1 else trained_runs(outcomes)
            stops.setdefault((proposal.generation, rung), []).append(proposal.number)
    for (generation, epoch), numbers in stops.items():
        store.put_outcomes(key, [], rung=Decision(generation, epoch, tuple(numbers)))


def _weights(folder: Path) -> dict[str | None, bytes]:
    path = folder / "weights.safetensors"
    content = path.read_bytes() if path.is_file() else b""
    return {digest_bytes(content): content} if content else {}


def _require_format(head: Mapping[str, Any]) -> None:
    if head.get("format") != FORMAT:
        raise ValueError(f"format {head.get('format')}; this release reads {FORMAT}")


def recorded_study(path: Path) -> StudySpec | None:
    """The study that the first line of a `trials.jsonl` names; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return record_from(StudySpec, parse_canonical(file.readline().rstrip(b"\n"))["study"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def recorded_runs(paths: Paths) -> Iterator[tuple[Trial, TrialSpec, TrialOutcome]]:
    """Every run that is recorded beside a model or beside what confirms. Raises StoreCorrupt as `read_study`."""
    for path in sorted([*paths.models.glob("*/trials.jsonl"), *paths.confirmed.glob("*/trials.jsonl")]):
        for trial in read_study(path).trials:
            yield from ((trial, *run) for run in zip(trial.proposal.runs, trial.outcomes, strict=True))


def read_study(path: Path) -> StudyResult:
    """The study of a `trials.jsonl`.

    Raises StoreCorrupt where a record contradicts its key, or all of them the digest on the first line.
    """
    try:
        head, *lines = [parse_canonical(line) for line in path.read_bytes().removesuffix(b"\n").split(b"\n")]
        _require_format(head)
        spec = record_from(StudySpec, head["study"])
        check_foreign(spec.name, spec.family, spec.sampler["name"])
        proposals = [record_from(Proposal, line["proposal"]) for line in lines]
        outcomes = [records_from(TrialOutcome, line["outcomes"]) for line in lines]
        digest = head.get("digest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorrupt(f"{path}: not a readable study ({error}); {fetch_again(path)}") from None
    for proposal, found in zip(proposals, outcomes, strict=True):
        if proposal.keys != tuple(outcome.key for outcome in found):
            raise StoreCorrupt(f"{path}: trial {proposal.number} contradicts its key; {fetch_again(path)}")
    result = study_result(spec, proposals, outcomes)
    if result.digest != digest:
        raise StoreCorrupt(f"{path}: its records differ from the study's digest on the first line; {fetch_again(path)}")
    return result
