"""Trials of a study that has ended, found by its spec: in the store, else beside its best model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracker.errors import NotFoundError
from tracker.paths import Paths
from tracker.records import StudySpec, Trial
from tracker.store.store import Store
from tracker.store.stored import StoredTrial
from tracker.studies.adopt import read_study
from tracker.studies.result import study_result

Find = Callable[[str, str, int], Sequence[Trial]]  # name and key of a study, and how many of its first trials at most


def finished_in(paths: Paths) -> Find:
    """Finds trials in a project, up to the first that is not there. Raises StoreCorrupt where a record is damaged."""

    def find(name: str, key: str, count: int) -> Sequence[Trial]:
        with Store.opened_if_there(paths.store) as store:
            found = () if store is None else _stored(store, key, count)
        if len(found) < count and paths.records(name).is_file():
            beside = read_study(paths.records(name))
            found = beside.trials[:count] if beside.spec.key == key and len(beside.trials) > len(found) else found
        return found

    return find


def recorded_spec(paths: Paths, name: str, key: str) -> StudySpec | None:
    """The spec of a study of that name and key, where it was recorded."""
    with Store.opened_if_there(paths.store) as store:
        found = dict(store.studies(name)).get(key) if store else None
    if found is None and paths.records(name).is_file():
        beside = read_study(paths.records(name)).spec
        found = beside if beside.key == key else None
    return found


def _stored(store: Store, key: str, count: int) -> Sequence[Trial]:
    trials: list[StoredTrial] = []
    try:
        spec = store.study(key)
        trials += (store.trial(key, number) for number in range(count))
    except NotFoundError:
        if not trials:
            return ()
    return study_result(spec, [one.proposal for one in trials], [one.outcomes for one in trials]).trials


def nowhere(name: str, key: str, count: int) -> Sequence[Trial]:  # noqa: ARG001 - a Find
    """Nothing has been recorded."""
    return ()
