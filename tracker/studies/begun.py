"""Studies that began and have not ended, as a kill leaves them: how many of their trials are stored, and what goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracker.config import Config, Refinement, load_config
from tracker.errors import TrackerError
from tracker.paths import Paths
from tracker.records import StudySpec
from tracker.remedies import project_folder, stage_command
from tracker.shown import agree, counted
from tracker.store.store import Store
from tracker.store.stored import slots_of
from tracker.studies.superseded import changed_since


def begun(near: Path, name: str | None = None) -> list[str]:
    """A line for each study of params.yaml, or the one of that name, of which trials are stored that no report tells of.

    `near` is any path of the project. What cannot be read is told by whoever needs it.
    """
    paths = Paths.of(project_folder(near), {})
    try:
        config = load_config(paths.params)
        with Store.opened_if_there(paths.store) as store:
            return [] if store is None else list(_lines(config, paths, store, name))
    except TrackerError:
        return []


def _lines(config: Config, paths: Paths, store: Store, name: str | None) -> Iterator[str]:
    for study, settings in config.studies.items():
        key, spec = next(iter(store.studies(study)), (None, None))
        if key is None or spec is None or name not in {None, study}:
            continue
        ended, proposed = store.finish(key), len(store.proposals(key))
        if ended is not None and int(ended[0].get("trials", 0)) >= min(proposed, settings.trials or proposed):
            continue
        if not changed_since(config, spec, paths):
            stage = "refine" if isinstance(settings, Refinement) else "tune"
            again = stage_command(paths.root, stage, study)
            count, wanted = _settled(store, key), settings.trials or _total(spec)
            are = agree(count or wanted, "is", "are")
            yield (
                f"{study} has not ended: {count} of {counted(wanted, 'trial')} {are} stored; "
                f"unless it runs now, {again} goes on"
            )


def _total(spec: StudySpec) -> int:
    """How many trials a sampler has that is told no number of them."""
    from tracker.search.samplers import open_sampler

    return open_sampler(spec).total or 0


def _settled(store: Store, key: str) -> int:
    """How many trials have ended, or were stopped by a pruner."""
    proposals = store.proposals(key)
    stops = {generation: store.stopped(key, generation) for generation in {one.generation for one in proposals}}
    slots = [slots_of(one, stops[one.generation].get(one.number)) for one in proposals]
    known = store.outcomes([slot for each in slots for slot in each])
    return sum(all(slot in known for slot in each) for each in slots)
