"""`tracker retune`, one command for schedulers: tunes again where the data changed, and decides which model is served.

It can be killed anywhere and run again: stages replay from the store, and a decision is one row that is written last.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest
from tracker.config import Config
from tracker.config.metric_faults import promote_fault
from tracker.durable import lock_file
from tracker.errors import AlreadyRetuning, ConfigError, DataError, DataRefused, NotFoundError, StoreBusy
from tracker.paths import Paths
from tracker.retuning.history import History, keep, peek, read_history
from tracker.retuning.pipeline import run_pipeline
from tracker.shown import agree, counted
from tracker.store.store import Store
from tracker.tracking.retuned import named

if TYPE_CHECKING:
    from tracker.evaluation.ranking import Ranking
    from tracker.retuning.changes import Changes
    from tracker.retuning.decide import Judged

WOULD_TUNE = "would tune"  # what a dry run says where a retuning would do more than look
Pipeline = Callable[[Config, Path, float | None], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a retuning: the decision, or `unchanged`; reasons; the model that is served; whether it was written down."""

    decision: str
    reasons: tuple[str, ...]
    champion: Mapping[str, Any] | None
    recorded: bool

    def lines(self) -> list[str]:
        """It as lines of plain text."""
        served = "nothing is served yet" if self.champion is None else f"served: {named(self.champion)}"
        if self.decision == WOULD_TUNE:
            served = "would prepare, split and tune again, and then decide (this was a dry run); now " + served
            return [served, *(f"  because: {reason}" for reason in self.reasons)]
        return [f"{self.decision}: {served}", *(f"  {reason}" for reason in self.reasons)]


@dataclass(frozen=True, slots=True)
class Job:
    """What a retuning needs of the world; `pipeline` tunes every study on the present data."""

    config: Config
    paths: Paths
    user: str | None = None
    clock: Callable[[], float] = time.time
    timeout_s: float | None = None
    workers: int = 1
    trust: str | None = None
    pipeline: Pipeline = run_pipeline


def retune(job: Job, *, dry_run: bool = False) -> Outcome:
    """Compares the data with what was tuned on last; where that calls for it, tunes, judges and records a decision.

    With `dry_run` it says what would happen, and writes nothing. Raises DataRefused for new data that looks broken (recorded,
    and what is served stays), AlreadyRetuning, OutOfTime, ConfigError where there are no rows to decide on.
    """
    with _alone(job.paths):
        source, history = _source(job.config, job.paths.root), peek(job.paths.retunes)
        if _decided(history, source):
            return _unchanged(job, history, dry_run)
        _require_rows_to_decide(job.config)
        with Store.open(job.paths.store, job.clock) as store:
            history = read_history(job.paths.retunes, store)
            if _decided(
                history, source
            ):  # the one before was killed when the store had its decision, and the file had not
                return _unchanged(job, history, dry_run)
            return _retune(job, store, history, source, dry_run)


def _decided(history: History, source: str) -> bool:
    """Whether the last decision was about this data. Raises DataRefused again where it was a refusal."""
    last = history.last
    if last is None or (last["data"] or {}).get("source") != source:
        return False
    if last["decision"] == "refused":
        raise DataRefused(last["reasons"])
    return True


def _unchanged(job: Job, history: History, dry_run: bool) -> Outcome:
    if not dry_run:
        _drop_other_profiles(job.paths, history)
    return Outcome("unchanged", ("the data is that of the last decision",), history.champion, False)


def _retune(job: Job, store: Store, history: History, source: str, dry_run: bool) -> Outcome:
    from tracker.retuning.changes import why_refused, why_relevant

    reasons: list[str] = []
    with _prepared(job) as (frame, schema, unreadable):
        faults = list(unreadable)
        changes = None if faults or history.last_tuned is None else _changes(job, history, frame, schema, source)
        if changes is not None:
            faults = list(why_refused(changes, job.config.retune.refuse, schema))
            reasons = list(why_relevant(changes, job.config.retune))
    if faults:
        return _refuse(job, store, history, source, faults, changes, dry_run)
    if changes is not None and not reasons:
        told = "nothing differs that is read" if changes.same else _counted(changes)
        return Outcome("unchanged", (told,), history.champion, False)
    reasons = reasons or [
        "no retuning was decided before" if history.last_tuned is None else "what was tuned on is not known"
    ]
    if dry_run:
        return Outcome(WOULD_TUNE, tuple(reasons), history.champion, False)
    return _tune_and_decide(job, store, history, source, changes, reasons)


def _tune_and_decide(
    job: Job, store: Store, history: History, source: str, changes: Changes | None, reasons: list[str]
) -> Outcome:
    from tracker.datasets.prepare import read_prepared
    from tracker.datasets.training_data import read_window
    from tracker.retuning.champion import model_of
    from tracker.retuning.profile import profile, write_profile

    job, cold = _warmed(job, store, history)
    job.pipeline(job.config, job.paths.root, job.timeout_s)
    kept = profile(*read_prepared(job.paths.prepared), source)
    challenger = model_of(store, _ranking(job).chosen)
    decision, champion, judged, why = _decide(job, store, history, challenger)
    write_profile(_profile_path(job.paths, kept.table), kept)
    if window := read_window(job.paths.splits):
        gone = int(window["forgotten"])
        rows = f"{counted(gone, 'row')} {agree(gone, 'is forgotten, its', 'are forgotten, their')}"
        why = [*why, f"{rows} {window['column']!r} is before {window['since']}"]
    told = {
        "decision": decision,
        "reasons": [*reasons, *why, *cold],
        "champion": champion,
        "challenger": challenger,
        "table": kept.table,
        "data": {
            "source": source,
            **({} if changes is None else changes.figures()),
            "rows": kept.count,
            **({"window": window} if window else {}),
        },
        "judged": judged and _figures(judged),
        "studies": {name: store.studies(name)[0][0] for name in job.config.studies},
    }
    return _record(job, store, told)


def _warmed(job: Job, store: Store, history: History) -> tuple[Job, list[str]]:
    """The job whose studies begin with the best of the last ones, which a file says, and which cannot.

    It is the same again after a kill.
    """
    from tracker.retuning.warm import best_configurations, left_cold, write_warm_start

    last = (history.last_tuned or {}).get("studies", {})
    first = best_configurations(job.config, store, last)
    write_warm_start(job.paths, first)
    return replace(job, config=job.config.with_("warm_start", first)), left_cold(job.config, last)


def _decide(
    job: Job, store: Store, history: History, challenger: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], Judged | None, list[str]]:
    """The decision, the champion after it, how they met, and why."""
    from tracker.retuning.champion import meet

    settings, champion = job.config.retune.promote, history.champion
    if champion is None:
        return "first", challenger, None, [f"{named(challenger)} is the first to be served"]
    if champion["key"] == challenger["key"]:
        return "kept", champion, None, ["the same trial was chosen again"]
    judged = meet(job.config, job.paths, store, champion, challenger, job.trust)
    told = _met(judged, challenger, champion)
    if judged.promotes(settings):
        return "promoted", challenger, judged, [f"{told}: surely better, and by the margin of {settings.margin:g}"]
    why = [f"{told}: not surely better by the margin of {settings.margin:g}"]
    if job.config.retune.otherwise == "refit" and (again := _refitted(job, store, champion)) is not None:
        second = meet(job.config, job.paths, store, champion, again, job.trust)
        if second.holds(settings.margin):
            return (
                "refitted",
                again,
                second,
                [*why, f"{_met(second, again, champion)}: as good, and trained on this data"],
            )
        why.append(f"{_met(second, again, champion)}: not surely as good")
    return "kept", champion, judged, why


def _refitted(job: Job, store: Store, champion: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The champion's configuration as it was trained on the present data; None where no study tried it."""
    from tracker.retuning.champion import configuration_of, model_of

    wanted = configuration_of(store, champion)
    for row in _ranking(job).rows:
        again = model_of(store, row)
        if row.key != champion["key"] and configuration_of(store, again) == wanted:
            return again
    return None


def rollback(job: Job, to: int | None = None) -> Outcome:
    """Serves the former champion again, or that of the decision `to`. Raises NotFoundError where there was none.

    The same command again changes nothing: what a rollback serves is served until a retuning moves on.
    """
    with _alone(job.paths), Store.open(job.paths.store, job.clock) as store:
        history = read_history(job.paths.retunes, store)
        present, moves = history.champion, history.moves()
        if to is None and moves and moves[-1]["decision"] == "rollback":
            told = f"decision {moves[-1]['number']} went back to it; `tracker rollback --to NUMBER` serves another one"
            return Outcome("unchanged", (told,), present, False)
        former = history.former_champion if to is None else _champion_of(history, to)
        if former is None or present is None:
            raise NotFoundError("no model was served before the present one; `tracker retune` decides which is served")
        if former == present:
            return Outcome("unchanged", (f"decision {to} served it, and it is served now",), present, False)
        data = (history.last or {}).get("data")
        decision: dict[str, Any] = {
            "decision": "rollback",
            "reasons": [f"{named(former)} is served again instead of {named(present)}"],
            "champion": former,
            "challenger": present,
            "data": data,
            "judged": None,
        }
        return _record(job, store, decision)


def _champion_of(history: History, number: int) -> Mapping[str, Any]:
    """What the decision of that number served. Raises NotFoundError."""
    found = next((told["champion"] for told in history.told.values() if told["number"] == number), None)
    if found is None:
        raise NotFoundError(f"no decision {number} served a model; `tracker retunes` lists the decisions")
    return dict(found)


def _record(job: Job, store: Store, told: Mapping[str, Any]) -> Outcome:
    settings = job.config.retune
    place = {"registered_model": settings.registered_model, "alias": settings.alias, "user": job.user}
    history = keep(job.paths.retunes, store, {**told, **place}, job.clock)
    _drop_other_profiles(job.paths, history)
    return Outcome(told["decision"], tuple(told["reasons"]), history.champion, True)


def _refuse(
    job: Job,
    store: Store,
    history: History,
    source: str,
    faults: list[str],
    changes: Changes | None,
    dry_run: bool,
) -> Outcome:
    where = job.config.data.source
    reasons = [fault if fault.startswith(where) else f"{where}: {fault}" for fault in faults]
    if not dry_run:
        data = {"source": source, **({} if changes is None else changes.figures())}
        told = {"decision": "refused", "reasons": reasons, "champion": history.champion, "challenger": None}
        _record(job, store, {**told, "data": data, "judged": None})
    raise DataRefused(reasons)


@contextmanager
def _prepared(job: Job) -> Iterator[tuple[Any, dict[str, Any], list[str]]]:
    """The new table as `prepare` would leave it, in a folder of its own; or what is wrong with it."""
    from tracker.datasets.prepare import prepare, read_prepared

    job.paths.store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="retune-", dir=job.paths.store) as scratch:
        out = Path(scratch) / "prepared"
        try:
            prepare(job.config.data, job.config.preprocessing, job.paths.root, out)
        except DataError as error:
            yield None, {}, list(error.faults)
            return
        yield (*read_prepared(out), [])


def _changes(job: Job, history: History, frame: Any, schema: Mapping[str, Any], source: str) -> Changes | None:
    """What changed since the last tuning; None where what it saw is not known any more."""
    from tracker.retuning.changes import find_changes
    from tracker.retuning.profile import read_profile

    last = history.last_tuned
    path = _profile_path(job.paths, last["table"]) if last and last.get("table") else None
    return None if path is None or not path.is_file() else find_changes(read_profile(path), frame, schema, source)


def _ranking(job: Job) -> Ranking:
    from tracker.evaluation.compare import rank_again
    from tracker.evaluation.confirm import open_confirming
    from tracker.studies.superseded import superseded

    confirm = open_confirming(job.config, job.paths, job.workers, lambda _: None)
    return rank_again(job.paths, job.config.compare, job.config.studies, superseded(job.config, job.paths), confirm)


def _source(config: Config, root: Path) -> str:
    """A digest of the table's file (or images) and of everything that decides what is made of it; quick, splits nothing."""
    settings = [part.model_dump(mode="json") for part in (config.data, config.preprocessing, config.split)]
    later = {"images": settings[0], "window": settings[2]}
    for name, part in later.items():  # as if there were no such entry: nights after an update have nothing to do
        if part[name] is None:
            del part[name]
    if config.data.source.startswith("sklearn:"):
        from importlib.metadata import version

        return digest("source", [version("scikit-learn"), *settings])
    from tracker.datasets.made_with import table_file

    file = table_file(config.data, root)
    return digest("source", [file.get("sha256", "nothing"), *settings, *([file["images"]] if "images" in file else [])])


def _require_rows_to_decide(config: Config) -> None:
    if not config.split.promotion:
        raise ConfigError(
            "split.promotion: nothing is set aside to decide on; say in params.yaml which share of the validation rows takes "
            "no part in tuning, such as `split: {promotion: 0.3}` (docs/howto/retune.md)"
        )
    if fault := promote_fault(config):
        raise ConfigError(fault)


def _profile_path(paths: Paths, table: str) -> Path:
    return paths.profiles / f"profile-{table[:16]}.json"


def _drop_other_profiles(paths: Paths, history: History) -> None:
    """Takes away profiles of tables before the one that was tuned on last."""
    last = history.last_tuned
    if last is not None and last.get("table"):
        present = _profile_path(paths, last["table"])
        for path in paths.profiles.glob("profile-*.json"):
            if path != present and present.is_file():
                path.unlink()


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Holds the lock of retunings, or leaves at once."""
    lock = lock_file(paths.store / "locks", "retune", 0.0)
    try:
        lock.__enter__()
    except StoreBusy as busy:
        raise AlreadyRetuning(f"another `tracker retune` is at work ({busy}); this one leaves") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _counted(changes: Changes) -> str:
    return (
        f"{changes.added} rows added, {changes.removed} removed, {changes.changed} changed, {changes.relabelled} with another "
        f"label, of {changes.before.count}: less than retune.new_rows, and nothing drifted"
    )


def _met(judged: Judged, challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> str:
    if judged.lead is None or judged.low is None or judged.p is None:
        return f"{named(challenger)} against {named(champion)}: {judged.metric} is undefined on {counted(judged.rows, 'row')}"
    return (
        f"{named(challenger)} {judged.challenger:.3f} against {named(champion)} {judged.champion:.3f} ({judged.metric} on "
        f"{counted(judged.rows, 'row')}): lead {judged.lead:+.3f}, at least {judged.low:+.3f}, by chance in {judged.p:.1%}"
    )


def _figures(judged: Judged) -> dict[str, Any]:
    return {name: getattr(judged, name) for name in judged.__dataclass_fields__}
