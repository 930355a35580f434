"""What `tracker show` prints of trials that no report tells of: those of an earlier study, and those that confirm a choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.deriving.find_trial import PLACE, SHOWN, read_beside_model, reported_study, trial_of_key
from tracker.errors import InputError, NotFoundError
from tracker.hyperparameters import with_unsaid
from tracker.paths import Paths
from tracker.records import StudySpec, Trial, run_value
from tracker.store.store import Store
from tracker.studies.report import trial_row


def read_earlier(paths: Paths, target: str) -> dict[str, Any]:
    """The trial as `read_trial` gives one, with the `study_key` of its study; `place` says which study the name means now.

    Raises NotFoundError where the store has no such study or trial, and names the keys that it has; InputError for no name.
    """
    place = PLACE.fullmatch(target)
    if place is None or place[3] is None:
        raise InputError(f"expected STUDY/NUMBER@KEY, the beginning of the key of a study, found {target!r}")
    study, number = place[1], int(place[2])
    spec, stored = trial_of_key(paths, study, number, place[3])
    with Store.opened_if_there(paths.store) as store:
        told = store.proposals(spec.key) if store else []
    names = [*(name for proposal in told for name in proposal.spec.params), *spec.space]
    trial = Trial.of(spec, stored.proposal, stored.outcomes)
    return _told(trial, spec, names) | {"place": _place(paths, study, spec.key)}


def read_confirming(paths: Paths, target: str) -> dict[str, Any]:
    """A trial that confirms the choice, such as confirm.refit/0, as `read_trial` gives one; it lies beside the choice.

    Its `place` says of what it is. Raises NotFoundError where there is no such study or trial, InputError for no name.
    """
    place = PLACE.fullmatch(target)
    if place is None or place[3] is not None:
        raise InputError(f"expected STUDY/NUMBER, for example confirm.choose/0, found {target!r}")
    study, number = place[1], int(place[2])
    result = read_beside_model(paths, study)
    if number >= len(result.trials):
        raise NotFoundError(f"{study} has no trial {number}; it has 0 to {len(result.trials) - 1}")
    about = "confirms the choice; in no report of a study: `tracker show final` shows the run that is scored"
    names = [*(name for trial in result.trials for name in trial.spec.params), *result.spec.space]
    return _told(result.trials[number], result.spec, names) | {"place": about}


def _told(trial: Trial, spec: StudySpec, names: Iterable[str]) -> dict[str, Any]:
    row = trial_row(trial, [run_value(spec, outcome) for outcome in trial.outcomes])
    return {
        "study": spec.name, **row, "objective": dict(spec.objective), "environment": spec.environment, "study_key": spec.key,
        "params": with_unsaid(row["params"], names), "history": list(map(dict, trial.outcome.history)),
    }  # fmt: skip


def _place(paths: Paths, study: str, key: str) -> str:
    """Whether it is the study that the name means now."""
    reported = reported_study(paths, study)
    if reported is None:
        return f"in study {key[:SHOWN]}, which no report tells of"
    if reported[0] == key:
        return f"in study {key[:SHOWN]}, the one that {study} means now"
    return f"in study {key[:SHOWN]}, superseded: {study} means study {reported[0][:SHOWN]} now"
