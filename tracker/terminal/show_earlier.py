"""What `tracker show STUDY/NUMBER@KEY` prints: a trial of the study with that key, as the store has it, superseded or not."""

from __future__ import annotations

from typing import Any

from tracker.deriving.find_trial import PLACE, SHOWN, reported_study, trial_of_key
from tracker.errors import InputError
from tracker.hyperparameters import with_unsaid
from tracker.paths import Paths
from tracker.records import Trial, run_value
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
    names = list(dict.fromkeys(name for proposal in told for name in proposal.spec.params))
    trial = Trial.of(spec, stored.proposal, stored.outcomes)
    row = trial_row(trial, [run_value(spec, outcome) for outcome in stored.outcomes])
    return {
        "study": study, **row, "objective": dict(spec.objective), "environment": spec.environment, "study_key": spec.key,
        "place": _place(paths, study, spec.key), "params": with_unsaid(row["params"], names),
        "history": list(map(dict, trial.outcome.history)),
    }  # fmt: skip


def _place(paths: Paths, study: str, key: str) -> str:
    """Whether it is the study that the name means now."""
    reported = reported_study(paths, study)
    if reported is None:
        return f"in study {key[:SHOWN]}, which no report tells of"
    if reported[0] == key:
        return f"in study {key[:SHOWN]}, the one that {study} means now"
    return f"in study {key[:SHOWN]}, superseded: {study} means study {reported[0][:SHOWN]} now"
