"""Trials of a ranking with their exact records, which lie beside the models of their studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.errors import InputError
from tracker.evaluation.ranked import RankedTrial
from tracker.records import TrialSpec
from tracker.remedies import run_again
from tracker.studies.adopt import read_study
from tracker.studies.result import StudyResult


@dataclass(frozen=True, slots=True)
class Contender:
    """A configuration that is trained again: where it was found, and the run that it was found with."""

    row: RankedTrial
    spec: TrialSpec
    constraints: tuple[Mapping[str, Any], ...] = ()  # of its study


class StudyRecords:
    """The exact records beside the studies' models, each file read once."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._read: dict[str, StudyResult] = {}

    def contender(self, row: RankedTrial) -> Contender:
        """A row of the ranking with its spec. Raises InputError where its record is missing or another."""
        study = self.study(row)
        return Contender(row, study.trials[row.trial].spec.on_validation, study.spec.constraints)

    def study(self, row: RankedTrial) -> StudyResult:
        """The study of a row of the ranking. Raises InputError where its record is missing or another."""
        path = self._models / row.study / "trials.jsonl"
        if row.study not in self._read:
            if not path.is_file():
                raise InputError(
                    f"{path}: is not there, so nothing more is known of {row.study}/{row.trial}; {run_again(path)}"
                )
            self._read[row.study] = read_study(path)
        trials = (found := self._read[row.study]).trials
        if row.trial >= len(trials) or trials[row.trial].spec.key != row.key:
            raise InputError(
                f"{path}: holds another trial {row.trial} than the report of {row.study}; {run_again(path)}"
            )
        return found
