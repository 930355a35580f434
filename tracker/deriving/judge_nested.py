"""Derives the reports of nested cross-validation again: from the recorded studies of their outer folds, and their models."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.deriving.compare_outcomes import Difference
from tracker.deriving.find_study import find_study
from tracker.deriving.verdict import Verdict, cannot
from tracker.errors import TrackerError
from tracker.evaluation.confirm_training import ConfirmTraining
from tracker.evaluation.nested import read_nested, report_paths, score_results
from tracker.paths import Paths
from tracker.shapes import NESTED
from tracker.trees import first_difference


def outer_studies(paths: Paths, names: Collection[str] | None = None) -> list[str]:
    """The studies of all outer folds that reports tell of; a report that cannot be read has a verdict of its own.

    `names` are the nested studies that count; None: all.
    """
    found: list[str] = []
    for path in _reports(paths, names):
        with contextlib.suppress(TrackerError):
            found += [str(fold["study"]) for fold in read_nested(path)["folds"]]
    return found


def verify_nested(
    paths: Paths, config: Config, unsound: Sequence[str], names: Collection[str] | None = None
) -> Iterator[Verdict]:
    """The verdict on each report; on one that rests on studies which are not as recorded, none can be given."""
    for path in _reports(paths, names):
        name = f"{NESTED}{path.stem}"
        try:
            told = read_nested(path)
            resting = [fold["study"] for fold in told["folds"] if fold["study"] in unsound]
            words = f"it rests on {', '.join(resting)}, see above"
            yield cannot("nested", name, words) if resting else _verdict(paths, config, name, told)
        except TrackerError as error:
            yield cannot("nested", name, str(error))


def _reports(paths: Paths, names: Collection[str] | None) -> list[Path]:
    return [path for path in report_paths(paths) if names is None or path.stem in names]


def _verdict(paths: Paths, config: Config, name: str, told: Mapping[str, Any]) -> Verdict:
    results = [find_study(str(fold["study"]), paths).result for fold in told["folds"]]
    again = score_results(ConfirmTraining(config, paths), results)
    same = Verdict("nested", name, "identical", counted=len(results), derived=len(results))
    leaf = first_difference(dict(told), again)
    if leaf is None:
        return same
    words = f"reports/nested/{told['study']}.json: {leaf[0]} is {leaf[1]} there, {leaf[2]} was derived"
    difference = Difference.told(f"nested, {leaf[0]}", words, *leaf[1:])
    remedy = f"`tracker nested {told['study']} --outer {told['outer']}` writes it again"
    return Verdict("nested", name, "differs", difference, remedy=remedy, counted=len(results))
