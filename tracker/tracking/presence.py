"""Searches MLflow for the runs that are already there, by study and trial number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tracker.tracking.recorder import Found, Recorder


@dataclass(slots=True)
class StudyRuns:
    """What MLflow has of a study: the parent and the trials by number. Deliveries keep it up to date."""

    parent: Found | None = None
    trials: dict[int, Found] = field(default_factory=dict)


class Presence:
    """What MLflow has, asked once per study and remembered until forgotten."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._studies: dict[str, StudyRuns] = {}
        self._finals: dict[str, Found] | None = None
        self._deleted: dict[str, set[str]] = {}

    def forget(self, study: str | None = None) -> None:
        """What is known of a study (None: of all) may be wrong now: the next question asks MLflow again."""
        if study is None:
            self._studies.clear()
        else:
            self._studies.pop(study, None)
        self._finals = None
        self._deleted.clear()

    def deleted(self, key: str) -> set[str]:
        """Whose runs of a study somebody deleted: numbers of trials, and "" for the study itself."""
        if key not in self._deleted:
            runs = self._recorder.search("tracker.study_key", key, deleted=True)
            self._deleted[key] = {found.tags.get("tracker.trial", "") for found in runs}
        return self._deleted[key]

    def study(self, key: str) -> StudyRuns:
        """The runs of a study."""
        if key not in self._studies:
            runs = StudyRuns()
            for found in self._single(self._recorder.search("tracker.study_key", key)):
                if found.tags.get("tracker.kind") == "study":
                    runs.parent = found
                elif re.fullmatch(r"[0-9]{1,8}", found.tags.get("tracker.trial", "")):
                    runs.trials[int(found.tags["tracker.trial"])] = found
            self._studies[key] = runs
        return self._studies[key]

    def finals(self) -> dict[str, Found]:
        """The runs of final results by the digest of the result."""
        if self._finals is None:
            runs = self._single(self._recorder.search("tracker.kind", "final"))
            self._finals = {found.tags.get("tracker.final", ""): found for found in runs}
        return self._finals

    def final(self, tags: Mapping[str, str]) -> Found | None:
        """The run of the final result with these tags: the same result, or the same trial on the same test rows.

        A result that was restored from its report may speak of another number of looks; it is no second result.
        """
        runs, names = self.finals(), ("tracker.key", "tracker.test_digest")
        same = (found for found in runs.values() if all(found.tags.get(name) == tags.get(name) for name in names))
        whole = next(same, None) if all(name in tags for name in names) else None
        return runs.get(tags["tracker.final"]) or whole

    def _single(self, runs: Iterable[Found]) -> Iterator[Found]:
        """One run per identity: one that ended before one that did not, then the lower id; others are deleted.

        Two machines that deliver one study at the same moment can create a run twice; both would keep the same one.
        """
        twins: dict[tuple[str, ...], list[Found]] = {}
        for found in runs:
            names = ("tracker.kind", "tracker.trial", "tracker.final")
            twins.setdefault(tuple(found.tags.get(name, "") for name in names), []).append(found)
        for group in twins.values():
            first, *others = sorted(group, key=lambda found: (not found.ended, found.run_id))
            for other in others:
                self._recorder.delete(other)
            yield first
