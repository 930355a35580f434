"""From an Optuna study that somebody else made to configurations: what was tried there, best first; no score is taken over."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from tracker.errors import InputError, NotFoundError, TrackerError
from tracker.search.optuna_border import optuna_border

SQLITE = "sqlite:///"


def foreign_configurations(storage: str, name: str | None) -> tuple[str, list[dict[str, Any]]]:
    """The name of a study in an Optuna storage, and the distinct parameters of its completed trials, best first.

    Without a name it is the one that there is; the beginning of a name does where no other begins so. Several objectives are
    in the order of trials. Raises NotFoundError where the storage or the study is not there, InputError where it cannot be
    read. A file is never made or changed.
    """
    _refuse_absent(storage)
    with _reading(storage), optuna_border():
        names = optuna.get_all_study_names(storage)
        alike = [one for one in names if one.startswith(name or "")]
        wanted = name if name in names else alike[0] if len(alike) == 1 else None
        if wanted is None:
            found = f"no study {name}" if name else f"{len(names)} studies"
            raise NotFoundError(f"{storage}: {found}; say which: {', '.join(names) or 'there are none'}")
        study = optuna.load_study(study_name=wanted, storage=storage)
        trials = _best_first(study.directions, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    distinct: list[dict[str, Any]] = []
    for trial in trials:
        params = {key: value for key, value in trial.params.items() if _is_plain(value)}
        distinct += [params] if params and params not in distinct else []
    return wanted, distinct


def _best_first(directions: Sequence[Any], trials: Sequence[Any]) -> list[Any]:
    if len(directions) > 1:
        return sorted(trials, key=lambda trial: trial.number)
    sign = -1.0 if directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0

    def order(trial: Any) -> tuple[float, int]:
        value = trial.values[0] if trial.values else math.nan
        return (math.inf if math.isnan(value) else sign * value), trial.number

    return sorted(trials, key=order)


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _refuse_absent(storage: str) -> None:
    """Optuna would make a file, or its tables in the file of somebody else."""
    if not storage.startswith(SQLITE):
        return
    path = Path(storage.removeprefix(SQLITE).partition("?")[0])
    if not path.is_file():
        raise NotFoundError(f"{path}: there is no such file")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables: Mapping[str, str] = dict(connection.execute("SELECT name, type FROM sqlite_master"))
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read ({error}); expected an Optuna storage in SQLite") from None
    if missing := sorted({"studies", "trials", "trial_params", "version_info"} - tables.keys()):
        raise InputError(f"{path}: holds no Optuna studies: it has no table {missing[0]}")


@contextmanager
def _reading(storage: str) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except TrackerError:
        raise
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{storage}: Optuna cannot read this storage ({reason})") from None
