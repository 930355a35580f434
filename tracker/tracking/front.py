"""What people meet first in MLflow: which studies are current, saved views, notes. What they changed there stays theirs."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import partial

from tracker.errors import NotFoundError, TrackingError
from tracker.records import StudySpec
from tracker.store.store import Store
from tracker.tracking.notes import NOTE, Ended, experiment_note, final_note, study_note
from tracker.tracking.project_files import seen_without_files
from tracker.tracking.recorder import TEXT_LIMIT, Found, Recorder
from tracker.tracking.run_contents import Dataset, Run, best_of, objective_name
from tracker.tracking.seeded import SEEDED, to_write
from tracker.tracking.transport import Transport
from tracker.tracking.views import CURRENT, leading, run_address, study_view_id, views

KIND, PRIMARY = "mlflow.experimentKind", "mlflow.experiment.primaryMetric.name"
MOST_VIEWS = 50  # studies with a view of their own, the newest ones
TAG_LIMIT = 20_000  # characters of an experiment's tag


class _Pen:
    """Writes decoration: what is refused is remembered and passed over, a server that is away is said."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.refused = False

    def write(self, write: Callable[[], None]) -> bool:
        """Calls it; whether it was not refused. Raises TrackingError where the server is away."""
        try:
            write()
        except TrackingError:
            self.refused = True
            self._recorder.reach()
            return False
        return True

    def tag(self, found: Found, tags: Mapping[str, str]) -> None:
        """Sets tags of a run."""
        run = Run(found.name, found.start_ms, found.end_ms, "FINISHED", tags)
        self.write(partial(self._recorder.fill, found, run))


def dress(transport: Transport, tuned: Collection[str]) -> bool:
    """Marks what is current, and writes views and notes; `tuned` are the keys of studies that were just run.

    Of several studies of one name the one that was tuned last is current. What a server refuses is left out; False where
    it refused something. Raises TrackingError where it is away.
    """
    pen = _Pen(transport.recorder)
    _dress(transport, pen, tuned)
    return not pen.refused


def _dress(transport: Transport, pen: _Pen, tuned: Collection[str]) -> None:
    recorder, store = transport.recorder, transport.store
    studies, finals = recorder.search("tracker.kind", "study"), recorder.search("tracker.kind", "final")
    current = _mark_studies(pen, studies, tuned)
    newest = _mark_newest(pen, finals)
    ours = {key: store.study(key) for key in current if _has(store, key)}
    ended = [one for one in (_ended(transport, key, spec) for key, spec in ours.items()) if one is not None]
    best_first = sorted(ended, key=_place)
    tags = {KIND: "custom_model_development"}
    if ours:
        newest_key = next(iter(ours))
        tags[PRIMARY] = objective_name(leading(ours.values())[0])
        shown = dict(list(ours.items())[:MOST_VIEWS])
        tags |= views(shown, round(store.created(newest_key) * 1000), retuned=bool(store.retunes()))
        tags[NOTE] = experiment_note(best_first, *_final_told(transport, newest))
    _tag_experiment(recorder, pen, {name: value for name, value in tags.items() if len(value) <= TAG_LIMIT})
    for one in ended:
        parent = transport.presence.study(one.spec.key).parent
        if parent is not None:
            _note(pen, parent, study_note(one, _seen(transport, one.spec.data)))
    metric = leading(ours.values())[0].objective["metric"] if ours else None
    for found in finals:
        _note_final(transport, pen, found, metric)


def _tag_experiment(recorder: Recorder, pen: _Pen, tags: Mapping[str, str]) -> None:
    """Writes tags of the experiment; where one is refused the memory stays undecided, and the next time it is tried again."""
    refused = False
    for name, value in to_write(recorder.experiment_tags(), tags):
        if name == SEEDED and refused:
            return
        written = pen.write(partial(recorder.tag_experiment, name, value))
        refused |= not written
        if name == SEEDED and refused:  # no text without its mark: it would pass for somebody's
            return


def _mark_studies(pen: _Pen, studies: list[Found], tuned: Collection[str]) -> list[str]:
    """The keys of the current studies, the newest first; the tags that say so are set."""
    named: dict[str, list[Found]] = defaultdict(list)
    for found in studies:
        named[found.tags.get("tracker.study", "")].append(found)
    chosen = []
    for group in named.values():
        known = [found for found in group if found.tags.get("tracker.study_key") in tuned]
        marked = [found for found in group if found.tags.get(CURRENT) == "true"]
        best = max(known or marked or group, key=lambda found: (found.start_ms, found.run_id))
        chosen.append(best)
        _mark(pen, group, best)
    chosen.sort(key=lambda found: (-found.start_ms, found.run_id))
    return [found.tags.get("tracker.study_key", "") for found in chosen]


def _mark_newest(pen: _Pen, finals: list[Found]) -> Found | None:
    newest = max(finals, key=lambda found: (found.end_ms, found.run_id), default=None)
    _mark(pen, finals, newest)
    return newest


def _mark(pen: _Pen, group: list[Found], current: Found | None) -> None:
    for found in group:
        wanted = "true" if found is current else "false"
        if found.tags.get(CURRENT) != wanted:
            pen.tag(found, {CURRENT: wanted})


def _ended(transport: Transport, key: str, spec: StudySpec) -> Ended | None:
    finish = transport.store.finish(key)
    if finish is None:
        return None
    runs, summary = transport.presence.study(key), finish[0]
    best = best_of(transport.store, key, summary)
    states = Counter(found.tags.get("tracker.state", "unfinished") for found in runs.trials.values())
    experiment = transport.recorder.connect()
    found = None if best is None else runs.trials.get(best.number)
    trials = (
        f"#/experiments/{experiment}/runs?viewStateShareKey={study_view_id(spec.name)}&workflowType=machine_learning"
    )
    return Ended(spec, summary, dict(sorted(states.items())), _run_link(experiment, found), trials)


def _place(one: Ended) -> tuple[bool, float, str]:
    value = one.summary.get("value")
    sign = 1 if one.spec.objective["direction"] == "minimize" else -1
    return value is None, sign * (value or 0.0), one.spec.name


def _final_told(
    transport: Transport, found: Found | None
) -> tuple[Mapping[str, object] | None, tuple[int, int] | None, str | None]:
    """A final result, its ties and the address of its run, as far as this store knows it."""
    try:
        final, _ = transport.store.final(found.tags.get("tracker.final", "") if found else "")
    except NotFoundError:
        return None, None, None
    ties = transport.files.ties(str(final.get("key"))) if transport.files else None
    return final, ties, _run_link(transport.recorder.connect(), found)


def _note_final(transport: Transport, pen: _Pen, found: Found, metric: str | None) -> None:
    final, ties, _ = _final_told(transport, found)
    if final is None:
        return
    link, seen = None, list[Dataset]()
    with contextlib.suppress(NotFoundError, ValueError):
        spec = transport.store.spec(str(final.get("key")))
        seen = _seen(transport, spec.data)
        link = _run_link(transport.recorder.connect(), _trial_run(transport, final, spec.configuration))
    _note(pen, found, final_note(final, seen, ties, link, metric))


def _trial_run(transport: Transport, final: Mapping[str, object], configuration: str) -> Found | None:
    """The run of the trial that a final result is of; where it was confirmed, another seed of its configuration is scored."""
    for key, _spec in transport.store.studies(str(final.get("study"))):
        found = transport.presence.study(key).trials.get(int(str(final.get("trial"))))
        if found is not None and found.tags.get("tracker.configuration") == configuration:
            return found
    return None


def _seen(transport: Transport, data: Mapping[str, object]) -> list[Dataset]:
    return transport.files.seen(data) if transport.files else seen_without_files(data)


def _run_link(experiment: str, found: Found | None) -> str | None:
    return None if found is None else run_address(experiment, found.run_id)


def _note(pen: _Pen, found: Found, text: str) -> None:
    if written := dict(to_write(found.tags, {NOTE: text[:TEXT_LIMIT]})):
        pen.tag(found, written)


def _has(store: Store, key: str) -> bool:
    try:
        store.study(key)
    except NotFoundError:
        return False
    return True
