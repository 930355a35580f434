"""Takes models away that nobody asks for, in the store and in MLflow: of superseded studies, and beyond `tracking.models`.

Records stay, so every number stays, and a model that went is derived again, and checked, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from tracker.canonical import parse_canonical
from tracker.config import BestModels, Config
from tracker.errors import InputError
from tracker.evaluation.compare import known_looks
from tracker.paths import Paths
from tracker.shown import agree, counted
from tracker.store.store import FILE, Store
from tracker.store.weights import WeightFiles
from tracker.studies.adopt import read_study
from tracker.studies.superseded import superseded
from tracker.tracking.recorder import Recorder
from tracker.tracking.report import Policy
from tracker.tracking.run_models import best_numbers
from tracker.tracking.unload import Loaded, find_loaded, open_recorder, unload

LOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go, of what there is: weights by digest, and runs of MLflow; `pinned` counts trials of looks and results."""

    studies: int
    current: int
    pinned: int
    weights: tuple[str, ...]
    going: tuple[str, ...]
    bytes_there: int
    bytes_going: int
    loaded: Loaded


def clean(config: Config, paths: Paths, tracking_uri: str, *, dry_run: bool = False) -> Iterator[str]:
    """Says what there is and what goes, then removes it unless `dry_run`; what it did, in lines.

    Raises StoreBusy while a study runs, TrackingError where MLflow is away: nothing is removed from the store then.
    """
    if not (paths.store / FILE).is_file():
        raise InputError(f"{paths.store}: no store yet; nothing to clean")
    with Store.open(paths.store) as store, ExitStack() as held:
        for name in sorted({*config.studies, *(spec.name for _, spec in store.studies())}):
            held.enter_context(store.lock(f"study-{name}", LOCK_S))
        recorder = open_recorder(tracking_uri, config.tracking.experiment)
        plan = _plan(store, config, paths, recorder)
        yield from _told(plan, dry_run)
        if dry_run:
            return
        if recorder is not None:
            unload(store, recorder, plan.loaded.going)
        WeightFiles(paths.store / "weights").drop(plan.going)


def _plan(store: Store, config: Config, paths: Paths, recorder: Recorder | None) -> Plan:
    keys, pinned = [key for key, _ in store.studies()], _pinned(store, paths)
    current = _current(store, config, paths)
    in_store, in_mlflow = set(pinned), set(pinned)
    for key in current:
        confirms = "." in store.study(key).name  # its runs are what the look scores
        in_store |= _kept(store, key, None if confirms else config.tracking.models, least=1)
        in_mlflow |= _kept(store, key, config.tracking.models, least=0)
    files = WeightFiles(paths.store / "weights")
    wanted = {outcome.weights for outcome in store.outcomes(sorted(in_store)).values()}
    weights = tuple(files.kept())
    going = tuple(digest for digest in weights if digest not in wanted)
    loaded = Loaded() if recorder is None else find_loaded(recorder, keys, in_mlflow)
    sizes = {digest: files.size(digest) for digest in weights}
    there, gone = sum(sizes.values()), sum(sizes[digest] for digest in going)
    return Plan(len(keys), len(current), len(pinned), weights, going, there, gone, loaded)


def _current(store: Store, config: Config, paths: Paths) -> list[str]:
    """The keys of the studies that `params.yaml` describes: by their reports, else the newest of the name; what confirms."""
    known, old = {key for key, _ in store.studies()}, superseded(config, paths)
    found = []
    for name in config.studies:
        reported = None if name in old else _reported(paths, name)
        newest = [key for key, _ in store.studies(name)][:1]
        found += [reported] if reported in known else newest
    confirming = [read_study(path).spec.key for path in sorted(paths.confirmed.glob("*/trials.jsonl"))]
    return [key for key in dict.fromkeys([*found, *confirming]) if key in known]


def _reported(paths: Paths, name: str) -> str | None:
    try:
        return str(parse_canonical((paths.study_reports / f"{name}.json").read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _pinned(store: Store, paths: Paths) -> set[str]:
    """The keys of runs that were looked at, are of a final result, or were ever served: those are never without a model."""
    pinned = {look.key for look in known_looks(paths).looks.values()}
    for final in store.finals():
        pinned |= {str(final.get("key")), *map(str, (final.get("seeds") or {}).get("keys", ()))}
    return pinned | {told["champion"]["key"] for told in store.retunes().values() if told["champion"]}


def _kept(store: Store, study: str, policy: Policy | None, least: int) -> set[str]:
    """The keys of the runs of a study whose models the policy keeps (None: all), of the best `least` in any case."""
    proposals = store.proposals(study)
    numbers: Collection[int] = range(len(proposals))
    if policy is not None and policy != "all":
        wanted = policy.best if isinstance(policy, BestModels) else 0
        numbers = set(best_numbers(store, study, max(wanted, least)))
    return {key for proposal in proposals if proposal.number in numbers for key in proposal.keys}


def _told(plan: Plan, dry_run: bool) -> Iterator[str]:
    verb, loaded = ("would go" if dry_run else "go"), plan.loaded
    old = plan.studies - plan.current
    studies = f"{plan.studies} {agree(plan.studies, 'study', 'studies')} in the store"
    yield (
        f"{studies}, {old} of them superseded: params.yaml describes others now"
        if old
        else f"{studies}, none superseded"
    )
    yield (
        f"store:  {counted(len(plan.weights), 'model')}, {_mb(plan.bytes_there)}; "
        f"{len(plan.going)} {verb}, {_mb(plan.bytes_going)}; {_mb(plan.bytes_there - plan.bytes_going)} stay"
    )
    sizes = [loaded.bytes_there, loaded.bytes_going]
    there, going = ("" if size is None else f", {_mb(size)}" for size in sizes)
    yield f"MLflow: {counted(len(loaded.there), 'model')} of trials{there}; {len(loaded.going)} {verb}{going}"
    kept = f"{counted(plan.pinned, 'trained model')} of what was looked at, scored (with its further seeds) or served"
    yield f"kept in any case: the best of each current study, and {kept}"
    if plan.going or loaded.going:
        yield "numbers stay; a model that went is derived again, and checked: tracker.load_model('STUDY/NUMBER') in Python"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
