"""Turns the trial records that travel with `models/NAME/` back into a study of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import digest_bytes, parse_canonical
from tracker.errors import StoreCorrupt
from tracker.recording.store import Finished, Store
from tracker.records import Proposal, StudySpec, Timing, TrialOutcome, record_from
from tracker.studies.result import study_result, summarise_study

REMEDY = "fetch it again with `dvc pull`, or run `dvc repro`"


def adopt_studies(models: Path, store: Store, provenance: Mapping[str, Any], clock: Callable[[], float]) -> list[str]:
    """Takes every study of a models folder that the store does not hold whole; their names.

    When the trials ran is not in the cache (equal runs must have equal files), so they bear the time of the adoption.
    Raises StoreCorrupt where a record contradicts its key.
    """
    adopted = []
    for path in sorted(models.glob("*/trials.jsonl")):
        spec, proposals, outcomes = read_study(path)
        known = store.outcomes([outcome.key for outcome in outcomes])
        missing = [outcome for outcome in outcomes if outcome.key not in known]
        if not missing and store.finish(spec.key) is not None:
            continue
        _adopt(path.parent, store, spec, proposals, missing, provenance, clock())
        store.finish_study(spec.key, summarise_study(study_result(spec, proposals, outcomes)))
        adopted.append(spec.name)
    return adopted


def _adopt(
    folder: Path,
    store: Store,
    spec: StudySpec,
    proposals: list[Proposal],
    missing: list[TrialOutcome],
    provenance: Mapping[str, Any],
    now: float,
) -> None:
    key = store.put_study(spec, provenance)
    store.put_proposals(key, proposals)
    weights = _weights(folder)
    about = provenance
    if (folder / "model.json").is_file():
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if store.serving(spec.data) is None:
            serving = {name: description[name] for name in ("labels", "positive", "columns", "preprocessing")}
            store.put_serving(spec.data, serving | {"example": []})
        if "code" in description:  # of the user's own, without which no model of these trials can be opened
            about = {**provenance, "code": description["code"]}
    timing = Timing(now, now)
    store.put_outcomes(key, [Finished(one, timing, weights.get(one.weights), about) for one in missing])
    store.announce(key, [proposal.number for proposal in proposals])


def _weights(folder: Path) -> dict[str | None, bytes]:
    path = folder / "weights.safetensors"
    content = path.read_bytes() if path.is_file() else b""
    return {digest_bytes(content): content} if content else {}


def read_study(path: Path) -> tuple[StudySpec, list[Proposal], list[TrialOutcome]]:
    """The study, proposals and outcomes of a `trials.jsonl`.

    Raises StoreCorrupt where a record contradicts its key, or all of them the digest on the first line.
    """
    try:
        head, *lines = [parse_canonical(line) for line in path.read_text(encoding="utf-8").splitlines()]
        spec = record_from(StudySpec, head["study"])
        proposals = [record_from(Proposal, line["proposal"]) for line in lines]
        outcomes = [record_from(TrialOutcome, line["outcome"]) for line in lines]
        digest = head.get("digest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(f"{path}: not a readable study ({error}); {REMEDY}") from None
    for proposal, outcome in zip(proposals, outcomes, strict=True):
        if proposal.spec.key != outcome.key:
            raise StoreCorrupt(f"{path}: trial {proposal.number} contradicts its key; {REMEDY}")
    if study_result(spec, proposals, outcomes).digest != digest:
        raise StoreCorrupt(f"{path}: its records differ from the study's digest on the first line; {REMEDY}")
    return spec, proposals, outcomes
