"""Finds the rows to derive a record from, by its digests, or says what is missing and how to get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracker.config import Preprocessing
from tracker.datasets.assign import SELECTION
from tracker.datasets.training_data import identify_data, read_split
from tracker.deriving.derive import Rows
from tracker.errors import ConfigError, DataError
from tracker.families.own_code import read_code
from tracker.records import TrialSpec
from tracker.remedies import has_dvc, stage_command
from tracker.surroundings.changes import Cause

ALTERED = "another content"  # than its own manifest names


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a record cannot be derived: each thing that is missing with both values, and what to do."""

    causes: tuple[Cause, ...]
    remedy: str


def find_rows(spec: TrialSpec, root: Path, splits: Path, provenance: Mapping[str, Any]) -> Rows | Missing:
    """The rows with the digests of the spec, each file checked against its digest; Missing where one differs."""
    try:
        settings = Preprocessing.model_validate(spec.data["preprocessing"])
    except (KeyError, ValidationError):
        told = spec.data.get("preprocessing")
        cause = Cause.of("data.preprocessing", "preprocessing", told, "no settings that this release knows")
        return Missing((cause,), _remedy([cause], spec, provenance, root))
    if causes := [*_other_rows(spec, splits, settings), *_other_code(spec, root)]:
        return Missing(tuple(causes), _remedy(causes, spec, provenance, root))
    return Rows(root, splits, settings)


def _other_rows(spec: TrialSpec, splits: Path, settings: Preprocessing) -> Iterator[Cause]:
    try:
        present = identify_data(splits, settings).digests
    except DataError as error:
        yield Cause("data", dict(spec.data), ALTERED, str(error))
        return
    for name, words in (
        ("train", "the training rows"),
        ("validation", "the validation rows"),
        ("schema", "the columns"),
    ):
        if present[name] != spec.data.get(name):
            yield Cause.of(f"data.{name}", f"{words} of {splits}", spec.data.get(name), present[name])
        elif name != "schema":
            yield from _altered(splits, name, present[name])
    if present.get(SELECTION) != spec.data.get(SELECTION):
        words = f"the validation rows of {splits} that only rank"
        yield Cause.of(f"data.{SELECTION}", words, spec.data.get(SELECTION), present.get(SELECTION))


def _altered(splits: Path, name: str, digest: str) -> Iterator[Cause]:
    try:
        read_split(splits, name)
    except DataError as error:
        yield Cause(f"data.{name}", digest, ALTERED, str(error))


def _other_code(spec: TrialSpec, root: Path) -> Iterator[Cause]:
    """The user's own files, where the family, or a metric, runs them."""
    for code in filter(None, [spec.code, *spec.training.get("own_metrics", {}).values()]):
        try:
            present = read_code(root, code["entry"]).identity
        except ConfigError as error:
            yield Cause("code", dict(code), None, str(error))
            continue
        for name in sorted({*code, *present}):
            if code.get(name) != present.get(name):
                yield Cause.of(f"code.{name}", f"your file {name}", code.get(name), present.get(name))


def _remedy(missing: Sequence[Cause], spec: TrialSpec, provenance: Mapping[str, Any], root: Path) -> str:
    """What brings back what is missing: damage is written again, other rows and code come from what they were made of."""
    split = stage_command(root, "split")
    if all(cause.present == ALTERED for cause in missing):
        return f"{split} writes data/splits again"
    if all(cause.name.startswith("code") for cause in missing):
        kept = (
            " (its text is in the trial's record.json in MLflow, under provenance.code)" if "code" in provenance else ""
        )
        own = [spec.code, *spec.training.get("own_metrics", {}).values()]
        files = ", ".join(sorted({name for code in own for name in code} - {"entry"}))
        return f"put {files} back as it was{kept}"
    commit = str(provenance.get("commit") or "")[:12]
    if not commit:
        return f"have the raw table and params.yaml as they were when it was tuned; then {split}"
    then = f"`git checkout {commit} -- params.yaml`, the raw table as it was then too, {split}"
    if provenance.get("dirty"):
        then += "; there were changes besides that were not committed"
    checkout = "`dvc checkout`" if has_dvc(root) else split
    return f"{then}. `git checkout HEAD -- params.yaml` and {checkout} bring back what is committed now"
