"""From entries of a search space to Optuna's distributions and suggestions; its chatter and exceptions stay inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from tracker.errors import TrackerError
from tracker.hyperparameters import Value
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
        value = trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
    return value


def distribution(entry: Entry) -> optuna.distributions.BaseDistribution:
    """The distribution that `suggest` draws from."""
    domain = entry.domain
    if not isinstance(domain, Interval):
        return optuna.distributions.CategoricalDistribution(domain.listed())
    if domain.whole:
        return optuna.distributions.IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step or 1)
    return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
