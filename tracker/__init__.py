"""Experiment tracking for hyperparameter tuning in which every number can be derived again, and is checked.

A name is imported when it is first used, so that `import tracker` loads neither torch, pandas, MLflow nor Optuna.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.api import (
        Project,
        bundle,
        compare,
        load_config,
        load_model,
        prepare,
        pull,
        read_table,
        reproduce,
        split,
        sync,
        tune,
        verify,
        verify_bundle,
    )
    from tracker.config import Config
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.split import SplitReport
    from tracker.deriving.verdict import Verdict
    from tracker.errors import (
        CodeNotTrusted,
        ConfigError,
        DataError,
        EnvironmentChanged,
        InputError,
        LookWithheld,
        NotFoundError,
        ReplayError,
        SealError,
        SpaceError,
        StoreBusy,
        StoreCorrupt,
        StoreError,
        TestLooksSpent,
        TrackerError,
        TrackingError,
        TrainingError,
    )
    from tracker.evaluation.final import Final
    from tracker.evaluation.paired_trials import compare_trials
    from tracker.evaluation.ranking import Ranking
    from tracker.studies.pull import Pulled
    from tracker.studies.study import Study, StudyTrial
    from tracker.tracking.report import Delivered

__all__ = [
    "CodeNotTrusted",
    "Config",
    "ConfigError",
    "DataError",
    "DataReport",
    "Delivered",
    "EnvironmentChanged",
    "Final",
    "InputError",
    "LookWithheld",
    "NotFoundError",
    "Project",
    "Pulled",
    "Ranking",
    "ReplayError",
    "SealError",
    "SpaceError",
    "SplitReport",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "Study",
    "StudyTrial",
    "TestLooksSpent",
    "TrackerError",
    "TrackingError",
    "TrainingError",
    "Verdict",
    "bundle",
    "compare",
    "compare_trials",
    "load_config",
    "load_model",
    "prepare",
    "pull",
    "read_table",
    "reproduce",
    "split",
    "sync",
    "tune",
    "verify",
    "verify_bundle",
]

_HOMES = {
    "Config": "config",
    "DataReport": "datasets.prepare",
    "Delivered": "tracking.report",
    "Final": "evaluation.final",
    "Project": "api",
    "Pulled": "studies.pull",
    "Ranking": "evaluation.ranking",
    "SplitReport": "datasets.split",
    "Study": "studies.study",
    "StudyTrial": "studies.study",
    "Verdict": "deriving.verdict",
    "bundle": "api",
    "compare": "api",
    "compare_trials": "evaluation.paired_trials",
    "load_config": "config",
    "load_model": "api",
    "prepare": "api",
    "pull": "api",
    "read_table": "api",
    "reproduce": "api",
    "split": "api",
    "sync": "api",
    "tune": "api",
    "verify": "api",
    "verify_bundle": "api",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"tracker.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
