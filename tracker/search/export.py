"""From the trials of a study to an Optuna study for its dashboard and its figures; a projection, never read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from tracker.canonical import canonical_json
from tracker.errors import InputError
from tracker.goals import constraint_text, excess
from tracker.knobs import Value
from tracker.records import StudySpec, Trial
from tracker.search.entries import Entry, Interval, Options
from tracker.search.optuna_border import distribution, optuna_border
from tracker.search.space import space_from

STATES = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL, "pruned": TrialState.PRUNED}


def to_optuna(spec: StudySpec, trials: Sequence[Trial], direction: str, storage: str | None) -> optuna.Study:
    """The study as Optuna shows it, named after the study and its key; `storage` None keeps it in memory.

    A second export into the same storage adds the trials that are not there yet. Raises InputError where the storage
    cannot be opened.
    """
    ordered = sorted(trials, key=lambda trial: trial.number)
    entries = _entries(spec, ordered)
    with optuna_border():
        study = _open(spec, direction, storage)
        present = {trial.user_attrs.get("number") for trial in study.get_trials(deepcopy=False)}
        for trial in ordered:
            if trial.number not in present:
                study.add_trial(_frozen(spec, trial, entries))
    return study


def _open(spec: StudySpec, direction: str, storage: str | None) -> optuna.Study:
    from sqlalchemy.exc import SQLAlchemyError

    name = f"{spec.name}-{spec.key[:12]}"
    try:
        directions = [direction, *(goal["direction"] for goal in spec.further)]
        study = optuna.create_study(study_name=name, directions=directions, storage=storage, load_if_exists=True)
    except (SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{storage}: Optuna cannot open this storage ({reason}); try sqlite:///optuna.db") from None
    if study.user_attrs.get("key") != spec.key:
        study.set_user_attr("key", spec.key)
        study.set_metric_names([goal["metric"] for goal in spec.objectives])
    return study


def _frozen(spec: StudySpec, trial: Trial, entries: Mapping[str, Entry]) -> optuna.trial.FrozenTrial:
    params = _flat(trial.proposal.searched)
    finite = None not in trial.values
    beyond = {constraint_text(one): excess(one, trial.metrics) for one in spec.constraints}
    state = STATES[trial.state]
    return optuna.trial.create_trial(
        state=TrialState.FAIL if state is TrialState.COMPLETE and not finite else state,
        values=list(trial.values) if state is TrialState.COMPLETE and finite else None,
        params=params,
        distributions={name: distribution(entries[name]) for name in params},
        user_attrs={"number": trial.number, "key": trial.spec.key, "seed": trial.spec.seed},
        intermediate_values={} if spec.further else _curve(trial, spec.objective["metric"]),
        constraints=beyond if state is TrialState.COMPLETE and beyond else None,
    )


def _curve(trial: Trial, metric: str) -> dict[int, float]:
    return {row["epoch"]: row[metric] for row in trial.outcome.history if row.get(metric) is not None}


def _flat(searched: Mapping[str, Any]) -> dict[str, Value]:
    """Lists as one name per item, as a space with one value per layer names them; weights by class as JSON."""
    flat: dict[str, Value] = {}
    for name, given in searched.items():
        value = canonical_json(given).decode() if isinstance(given, Mapping) else given
        items = {f"{name}_{index}": item for index, item in enumerate(value)} if isinstance(value, list) else {}
        flat.update(items or {name: value})
    return flat


def _entries(spec: StudySpec, trials: Sequence[Trial]) -> dict[str, Entry]:
    """An entry for every searched name: of the space, else (manual) one that spans the configurations."""
    space = {entry.name: entry for entry in space_from(spec.space, spec.fixed, spec.family).entries}
    rows = [_flat(values) for values in spec.sampler.get("configurations", ())]
    rows += [_flat(trial.proposal.searched) for trial in trials]
    entries: dict[str, Entry] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        stem = name if name in space else name.rpartition("_")[0]
        entries[name] = space.get(stem) or _spanning(name, [row[name] for row in rows if name in row])
    return entries


def _spanning(name: str, values: Sequence[Value]) -> Entry:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return Entry(name, Options(tuple(dict.fromkeys(values))))
    kind = int if all(isinstance(value, int) for value in numbers) else float
    return Entry(name, Interval(kind(min(numbers)), kind(max(numbers))))
