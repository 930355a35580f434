"""What people meet first in MLflow: which studies are current, saved views, notes. What they changed there stays theirs.

All of it costs what was delivered, not what is there: of studies that nothing came for, what the experiment's note needs is
read from tags of their runs, which one search brings; their trials are not asked for, and their own notes stay as they are.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from tracker.errors import NotFoundError, TrackingError
from tracker.records import StudySpec
from tracker.shapes import CONFIRMS, NESTED
from tracker.tracking.notes import NOTE, Ended, best_runs, experiment_note, final_note, study_note
from tracker.tracking.project_files import Ties, seen_without_files
from tracker.tracking.recorder import TEXT_LIMIT, Found, Recorder
from tracker.tracking.run_contents import Dataset, Run, objective_name
from tracker.tracking.seeded import SEEDED, to_write
from tracker.tracking.transport import Transport
from tracker.tracking.views import (
    BEST_RUN,
    CURRENT,
    FOLD,
    VIEW,
    address,
    best_view,
    leading,
    run_address,
    study_view_id,
    views,
)

KIND, PRIMARY = "mlflow.experimentKind", "mlflow.experiment.primaryMetric.name"
MOST_VIEWS = 50  # studies with a view of their own, the newest ones
TAG_LIMIT = 20_000  # characters of an experiment's tag
EXPERIMENT = ""  # among the subjects of what was refused


class _Pen:
    """Writes decoration: what is refused is remembered and passed over, a server that is away is said."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.experiment = recorder.connect()
        self.refused: set[str] = set()

    def write(self, write: Callable[[], None], subject: str = EXPERIMENT) -> bool:
        """Calls it; whether it was not refused. Raises TrackingError where the server is away."""
        try:
            write()
        except TrackingError:
            self.refused.add(subject)
            self._recorder.reach()
            return False
        return True

    def tag(self, found: Found, tags: Mapping[str, str]) -> None:
        """Sets tags of a run."""
        run = Run(found.name, found.start_ms, found.end_ms, "FINISHED", tags)
        self.write(partial(self._recorder.fill, found, run), _subject(found))

    def untag(self, found: Found, name: str) -> None:
        """Takes a tag off a run."""
        self.write(partial(self._recorder.untag, found, name), _subject(found))


def dress(transport: Transport, tuned: Sequence[str], fresh: Collection[str] | None) -> set[str]:
    """Marks what is current, and writes views and notes; `tuned` are the keys of studies that were just run, in turn.

    `fresh` are the studies, by key, and final results, by digest, that something was delivered for (None: all). Of several
    studies of one name the one that was tuned last is current. What a server refuses is left out; of what that was is
    returned, as `fresh` names it, "" for the experiment. Raises TrackingError where it is away.
    """
    pen = _Pen(transport.recorder)
    _dress(transport, pen, tuned, fresh)
    return pen.refused


def _dress(transport: Transport, pen: _Pen, tuned: Sequence[str], fresh: Collection[str] | None) -> None:
    recorder, store = transport.recorder, transport.store
    studies, finals = recorder.search("tracker.kind", "study"), recorder.search("tracker.kind", "final")
    confirming = transport.files.confirming() if transport.files else None
    current, specs = _mark_studies(pen, studies, tuned, confirming), dict(store.studies())
    newest = _mark_newest(pen, finals)
    ours = {key: specs[key] for key in current if key in specs}
    is_fresh = {_subject(found): fresh is None or _subject(found) in fresh for found in (*studies, *finals)}
    tags, there, ended = {KIND: "custom_model_development"}, recorder.experiment_tags(), dict[str, Ended]()
    if ours:
        tags[PRIMARY] = objective_name(leading(ours.values())[0])
        shown = dict(list(ours.items())[:MOST_VIEWS])
        tags |= views(shown, {key: current[key].start_ms for key in ours}, retuned=bool(store.retunes()))
        for key, spec in ours.items():
            if (finish := store.finish(key)) is not None:
                one = Ended(spec, finish[0], {}, None, _trials_link(pen.experiment, spec, {*there, *tags}))
                ended[key] = (_of_runs if is_fresh[key] else _of_tags)(transport, pen, one, current[key])
        compared = [one for one in ended.values() if not one.spec.name.startswith(NESTED)]
        best_first = sorted(compared, key=_place)
        oldest = min(current[key].start_ms for key in ours)
        tags |= best_view(ours.values(), best_runs(best_first)[:MOST_VIEWS], oldest)
        tags[NOTE] = experiment_note(best_first, *_final_told(transport, newest))
    _tag_experiment(recorder, pen, there, {name: value for name, value in tags.items() if len(value) <= TAG_LIMIT})
    for key in filter(is_fresh.__getitem__, ended):
        _note(pen, current[key], study_note(ended[key], _seen(transport, ended[key].spec.data)))
    metric = leading(ours.values())[0].objective["metric"] if ours else None
    for found in finals:
        if is_fresh[_subject(found)]:
            _note_final(transport, pen, found, metric)


def _subject(found: Found) -> str:
    """The key of a study, or the digest of a final result, that a run is of."""
    return found.tags.get("tracker.final") or found.tags.get("tracker.study_key", "")


def _tag_experiment(recorder: Recorder, pen: _Pen, there: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Writes tags of the experiment; where one is refused the memory stays undecided, and the next time it is tried again."""
    refused = False
    for name, value in to_write(there, tags):
        if name == SEEDED and refused:
            return
        written = pen.write(partial(recorder.tag_experiment, name, value))
        refused |= not written
        if name == SEEDED and refused:  # no text without its mark: it would pass for somebody's
            return


def _mark_studies(
    pen: _Pen, studies: list[Found], tuned: Sequence[str], confirming: Mapping[str, str] | None
) -> dict[str, Found]:
    """The current studies by their keys, the newest first; the tags that say so are set.

    Of those that confirm, which no tuning names, those of the present ranking are current, by their digests in `confirming`.
    """
    named: dict[str, list[Found]] = defaultdict(list)
    for found in studies:
        named[found.tags.get("tracker.study", "")].append(found)
    chosen = []
    for name, group in named.items():
        if confirming is not None and name.startswith(CONFIRMS):
            known = [found for found in group if found.tags.get("tracker.digest") == confirming.get(name, "")]
            newest = max(known, key=_age, default=None)
            chosen += [] if newest is None else [newest]
            _mark(pen, group, newest)
            continue
        last = next((key for key in reversed(tuned) if key in map(_subject, group)), None)
        known = [found for found in group if _subject(found) == last]
        marked = [found for found in group if found.tags.get(CURRENT) in {"true", FOLD}]
        best = max(known or marked or group, key=_age)
        chosen.append(best)
        _mark(pen, group, best)
    chosen.sort(key=lambda found: (-found.start_ms, found.run_id))
    return {_subject(found): found for found in chosen}


def _age(found: Found) -> tuple[int, str]:
    return found.start_ms, found.run_id


def _mark_newest(pen: _Pen, finals: list[Found]) -> Found | None:
    newest = max(finals, key=lambda found: (found.end_ms, found.run_id), default=None)
    _mark(pen, finals, newest)
    return newest


def _mark(pen: _Pen, group: list[Found], current: Found | None) -> None:
    for found in group:
        word = FOLD if found.tags.get("tracker.study", "").startswith(NESTED) else "true"
        wanted = word if found is current else "false"
        if found.tags.get(CURRENT) != wanted:
            pen.tag(found, {CURRENT: wanted})


def _of_runs(transport: Transport, pen: _Pen, one: Ended, found: Found) -> Ended:
    """A study with the states of its trials and where its best one is shown, of their runs; its own run remembers the place."""
    trials, number = transport.presence.study(_subject(found)).trials, one.summary.get("number")
    states = Counter(trial.tags.get("tracker.state", "unfinished") for trial in trials.values())
    best = None if number is None else trials.get(int(number))
    if best is None and BEST_RUN in found.tags:  # somebody deleted it
        pen.untag(found, BEST_RUN)
    if best is not None and found.tags.get(BEST_RUN) != best.run_id:
        pen.tag(found, {BEST_RUN: best.run_id})
    told = replace(one, states=dict(sorted(states.items())))
    return told if best is None else _with_best(told, pen, best.run_id)


def _of_tags(transport: Transport, pen: _Pen, one: Ended, found: Found) -> Ended:
    """The same without the states, as a tag of the study's run says; where it is lacking, the runs are asked once."""
    if one.best is None:
        return one
    if BEST_RUN not in found.tags:
        return _of_runs(transport, pen, one, found)
    return _with_best(one, pen, found.tags[BEST_RUN])


def _with_best(one: Ended, pen: _Pen, run: str) -> Ended:
    return replace(one, best_run=run, best_link=run_address(pen.experiment, run))


def _trials_link(experiment: str, spec: StudySpec, saved: Collection[str]) -> str | None:
    """Where the trials of a study are shown; None where no view of them was saved."""
    view = study_view_id(spec.name)
    return address("", experiment, view).removeprefix("/") if f"{VIEW}{view}" in saved else None


def _place(one: Ended) -> tuple[bool, float, str]:
    value = one.summary.get("value")
    sign = 1 if one.spec.objective["direction"] == "minimize" else -1
    return value is None, sign * (value or 0.0), one.spec.name


def _final_told(
    transport: Transport, found: Found | None
) -> tuple[Mapping[str, object] | None, Ties | None, str | None]:
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
