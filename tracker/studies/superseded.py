"""Which reports on disk `params.yaml` no longer describes, and what differs, without running or loading anything heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracker.canonical import parse_canonical
from tracker.config import Config, Refinement, load_config
from tracker.config.asked import own_metrics
from tracker.datasets.made_with import changed_settings, outdated_unless_dvc
from tracker.datasets.training_data import identify_data
from tracker.errors import TrackerError
from tracker.families.own_code import read_code
from tracker.families.own_metrics import identify_metrics
from tracker.paths import Paths
from tracker.records import StudySpec
from tracker.remedies import project_folder, stage_command
from tracker.store.store import Store
from tracker.studies.adopt import recorded_study
from tracker.studies.changed import list_changes
from tracker.studies.finished import finished_in
from tracker.studies.parent import identify_parent
from tracker.studies.plan import Basis, study_spec

GONE = "not in it any more"


def superseded(config: Config, paths: Paths) -> dict[str, str]:
    """Each report that tells of another study than `params.yaml` describes now, by name, with what differs.

    A report of another environment or release is none of these, as long as it tells of the same study. Where it cannot be
    known (no record of the study, no splits, unreadable code) nothing is said to differ.
    """
    now, found = _Now.of(config, paths), {}
    for path in sorted(paths.study_reports.glob("*.json")):
        last = _recorded(path, paths) if path.stem in config.studies else None
        why = GONE if path.stem not in config.studies else None if last is None else now.difference(last)
        if why:
            found[path.stem] = why
    for name, study in config.studies.items():
        is_there = (paths.study_reports / f"{name}.json").is_file()
        if isinstance(study, Refinement) and study.refine in found and is_there:
            found.setdefault(name, f"{study.refine}, which it refines, changed")
    return found


def superseded_note(found: Mapping[str, str], near: Path, what: str) -> list[str]:
    """A line that names the reports that `params.yaml` no longer describes, what becomes of them, and what to run."""
    if not found:
        return []
    listed = "; ".join(f"{name} ({why})" for name, why in found.items())
    again = [stage_command(near, _stage(near, name), name) for name, why in found.items() if why != GONE]
    run = f"; run {', '.join([*_rows_first(near), *again])}" if again else ""
    return [f"params.yaml no longer describes {listed}: {what}{run}"]


def _rows_first(near: Path) -> list[str]:
    """The stages that come before a study where its rows are those of before a change."""
    paths = Paths.of(project_folder(near), {})
    try:
        found = outdated_unless_dvc(load_config(paths.params), paths)
    except TrackerError:  # who reads params.yaml says what is wrong with it
        return []
    return [stage_command(near, "prepare"), stage_command(near, "split")] if found else []


def _stage(near: Path, name: str) -> str:
    """What DVC calls the stage of a study that has a report."""
    report = Paths.of(project_folder(near), {}).study_reports / f"{name}.json"
    try:
        return "refine" if "refines" in parse_canonical(report.read_bytes()) else "tune"
    except (OSError, ValueError, TypeError):
        return "tune"


def changed_since(config: Config, last: StudySpec, paths: Paths) -> bool:
    """Whether `params.yaml`, the rows or code changed since a study was recorded; False where it cannot be known."""
    return _Now.of(config, paths).difference(last) is not None


@dataclass(frozen=True, slots=True)
class _Now:
    """What studies would be made of now: `data` and `code` None where they cannot be read, `made` the settings that changed."""

    config: Config
    paths: Paths
    data: Mapping[str, Any] | None
    code: Mapping[str, str] | None
    made: list[str]

    @classmethod
    def of(cls, config: Config, paths: Paths) -> _Now:
        made = [name for name, _, _ in changed_settings(config, paths)]
        return cls(config, paths, _data(config, paths), _code(config, paths), made)

    def difference(self, last: StudySpec) -> str | None:
        """What differs from a recorded study, in words; None for nothing, or where it cannot be known."""
        if self.code is None and self.config.model.entry is not None:
            return None
        try:
            parent = identify_parent(self.config, self.paths)
            basis = Basis(
                last.data if self.data is None else self.data,
                last.environment,
                self.code,
                last.parent if parent is None else parent,
                identify_metrics(self.paths.root, own_metrics(self.config, last.name)),
            )
            now = study_spec(self.config, last.name, basis, finished_in(self.paths))
        except TrackerError:
            return None
        other = list_changes(last, replace(now, numerics=last.numerics, versions=last.versions))
        changed = list(dict.fromkeys([*self.made, *other]))
        return f"{', '.join(changed)} changed" if changed else None


def _recorded(path: Path, paths: Paths) -> StudySpec | None:
    """The spec of the study that a report tells of: beside its model, else in the store."""
    try:
        key = parse_canonical(path.read_bytes())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # whoever reads the report for what is in it says what is wrong
    spec = recorded_study(paths.records(path.stem))
    if spec is not None and spec.key == key:
        return spec
    try:
        with Store.opened_if_there(paths.store) as store:
            studies = [] if store is None else store.studies(path.stem)
    except TrackerError:
        return None
    return next((spec for known, spec in studies if known == key), None)


def _data(config: Config, paths: Paths) -> Mapping[str, Any] | None:
    try:
        return identify_data(paths.splits, config.preprocessing).digests
    except TrackerError:
        return None


def _code(config: Config, paths: Paths) -> Mapping[str, str] | None:
    try:
        return None if config.model.entry is None else read_code(paths.root, config.model.entry).identity
    except TrackerError:
        return None
