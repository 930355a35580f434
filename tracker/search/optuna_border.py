"""From entries of a search space to Optuna's distributions and suggestions; its chatter and exceptions stay inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from tracker.errors import TrackerError
from tracker.knobs import Value
from tracker.search.entries import Entry, Interval


@contextmanager
def optuna_border() -> Iterator[None]:
    """Inside, Optuna logs only errors and warns of nothing; its own exceptions leave as TrackerError."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except optuna.exceptions.OptunaError as error:
        raise TrackerError(f"Optuna {optuna.__version__}: {error}") from error
    finally:
        logger.setLevel(level)


def suggest(trial: optuna.trial.Trial, name: str, entry: Entry) -> Value:
    """Optuna's next value for a name, as a plain Python value."""
    domain = entry.domain
    value: Value
    if not isinstance(domain, Interval):
        value = trial.suggest_categorical(name, domain.listed())
    elif domain.whole:
        value = trial.suggest_int(name, domain.low, domain.high, step=domain.step or 1, log=domain.log)
    else:
        drawn = float(trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log))
        value = _put_on_step(trial, name, entry, domain.on_step(drawn), drawn)
    return value


def _put_on_step(trial: optuna.trial.Trial, name: str, entry: Entry, exact: float, drawn: float) -> float:
    """The exact value of a step for what Optuna drew, in Optuna's own record too.

    Optuna counts steps in binary and draws 0.30000000000000004; a condition on 0.3, a key and a grid say 0.3.
    """
    if exact != drawn:
        trial.storage.set_trial_param(trial._trial_id, name, exact, distribution(entry))  # noqa: SLF001  no public way
    return exact


def distribution(entry: Entry) -> optuna.distributions.BaseDistribution:
    """The distribution that `suggest` draws from."""
    domain = entry.domain
    if not isinstance(domain, Interval):
        return optuna.distributions.CategoricalDistribution(domain.listed())
    if domain.whole:
        return optuna.distributions.IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step or 1)
    return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
