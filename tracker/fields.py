"""The shape of every field of what crosses a border: records, what lies beside them, reports, model folders, rows of a store.

A value is checked here when it is read, wherever it comes from: MLflow, a cache, a report, the store. What is refused is
named (`state: expected complete or failed or paused, found 'evil'`); what passes can be used without a second look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from tracker.hyperparameters import FAMILIES
from tracker.sampler_table import SAMPLERS
from tracker.shapes import (
    DOTTED_NAME,
    LARGEST,
    STUDY_NAME,
    Check,
    ShapeError,
    both,
    digest,
    entries,
    finite,
    flag,
    like,
    many,
    named,
    number,
    one_of,
    optional,
    plain,
    refuse,
    seconds,
    text,
    whole,
)

MOST_TRIALS = 10**8  # numbers of trials are written with eight digits in the store's keys
MOST_EPOCHS = 10**7
MOST_ROWS = 2 * 10**8
MATRIX = "confusion_matrix"

_epochs, _number, _version = whole(0, MOST_EPOCHS), whole(0, MOST_TRIALS), whole(0, 10**6)
_code = named(text)
_metrics = named(optional(number))
_runs = {
    "repeats": whole(1, 10**4),
    "aggregate": one_of("mean", "mean_minus_se"),
    "seeds": one_of("common"),
    "folds": whole(2, 10**4),
    "rule": whole(1, 10**4),
    "refit": flag,
    "all": flag,
    "prune": one_of("forgiving", "aggressive"),
    "reshuffle": one_of("per_trial"),
}
_fold = entries(
    {},
    {name: whole(1, 10**4) for name in ("fold", "folds", "repeat", "rule", "outer", "outers")}
    | {"all": flag, "reshuffle": whole(0, 2**32)},
)
_column = entries({"name": text, "kind": text})
_of_rows = {"shape": many(whole(1, MOST_ROWS), at_least=2), "mask": flag}
_state = entries({"columns": many(_column), "features": many(text)}, _of_rows)
_counts = many(many(whole()))
_USUAL = {float, type(None), int, list}
_SCALARS = {str, bool, int, float}


def _param(value: Any) -> None:
    if value is not None and type(value) not in _SCALARS:
        raise refuse("a number, a text, a truth value, or a list of those", value)


def _data(value: Any) -> None:
    named(plain)(value)
    for name, item in value.items():
        try:
            _OF_DATA.get(name, text)(item)
        except ShapeError as error:
            raise error.within(name) from None


def _history(value: Any) -> None:
    """One mapping of numbers per epoch, with counts of a confusion matrix; the innermost loop of every reading."""
    if type(value) not in {list, tuple}:
        raise refuse("a list", value)
    if not _is_usual(value):
        many(_epoch)(value)


def _is_usual(rows: Sequence[Any]) -> bool:
    """Whether these are rows as training writes them, told for all at once, because there may be a million."""
    if not {dict}.issuperset(map(type, rows)):
        return False
    values = list(chain.from_iterable(row.values() for row in rows))
    counts = [item for item in values if type(item) is int]
    if not _USUAL.issuperset(map(type, values)) or not all(
        type(epoch := row.get("epoch")) is int and 0 <= epoch < MOST_EPOCHS for row in rows
    ):
        return False
    lines = list(chain.from_iterable(item for item in values if type(item) is list))
    if not {list}.issuperset(map(type, lines)):
        return False
    cells = list(chain.from_iterable(lines))
    if not {int}.issuperset(map(type, cells)):
        return False
    return (
        min(cells, default=0) >= 0 and min(counts, default=0) > -LARGEST and max([*counts, *cells], default=0) < LARGEST
    )


def _value(value: Any) -> None:
    (_counts if type(value) in {list, tuple} else optional(number))(value)


_epoch = both(entries({"epoch": _epochs}), named(_value))
# Hyperparameters: whatever names, each a number, a text, a truth value, or a list of those; or a number by class.
_params: Check = named(
    lambda value: (many(_param) if type(value) in {list, tuple} else named(finite) if type(value) is dict else _param)(
        value
    )
)
_own = both(named(text), entries({"entry": text}, {}))  # the identity of code of the user's own
_how_long = {"epochs": optional(whole(1, MOST_EPOCHS)), "device": text, "numerics": text}
_training = both(named(plain), entries({}, {**_how_long, "hypergradients": many(text), "own_metrics": named(_own)}))
_preprocessing = entries({}, {"numeric": named(plain), "categorical": named(plain)})
_OF_DATA: Mapping[str, Check] = {"preprocessing": _preprocessing, "rows": both(named(plain), _fold)}
_objective = entries({"metric": text, "direction": one_of("maximize", "minimize")})
_constraint = entries({"metric": text}, {"most": finite, "least": finite})
_spec: Mapping[str, Check] = {
    "family": text,
    "params": _params,
    "training": _training,
    "seed": whole(),
    "data": _data,
    "environment": text,
    "numerics": _version,
    "code": _code,
    "parent": entries({}, {"weights": digest, "head": one_of("new", "kept")}),
}

# By the name of a record; what a record lacks, or has beyond its fields, `record_from` says.
RECORDS: Mapping[str, Mapping[str, Check]] = {
    "TrialSpec": _spec,
    "TrialOutcome": {
        "key": text,
        "state": one_of("complete", "failed", "paused"),
        "epochs": _epochs,
        "best_epoch": optional(_epochs),
        "metrics": _metrics,
        "history": _history,
        "weights": optional(digest),
        "predictions": optional(text),
        "reason": optional(text),
        "labels": optional(text),
        "example": optional(many(many(finite))),
    },
    "Timing": {"started": seconds, "ended": seconds, "epochs": many(seconds)},
    "StudySpec": {
        **_spec,
        "name": text,
        "sampler": both(named(plain), entries({"name": text})),
        "space": named(plain),
        "fixed": _params,
        "objective": _objective,
        "generation": optional(whole(1, MOST_TRIALS)),
        "versions": named(text),
        "runs": entries({}, _runs),
        "pruner": both(named(plain), entries({}, {"name": text})),
        "stop": entries({}, {"plateau": whole(1, MOST_TRIALS), "epochs": whole(1)}),
        "further": many(_objective),
        "constraints": many(_constraint),
        "refines": entries({}, {"study": text, "key": digest, "trials": whole(1, MOST_TRIALS), "keep": finite}),
    },
    "Proposal": {
        "number": _number,
        "generation": _number,
        "searched": _params,
        "runs": many(named(lambda _: None), at_least=1),  # each of which is a record
    },
}


def check_record(kind: str, value: Any) -> None:
    """Raises ShapeError where an entry of a record, by the name of its kind, is not what it must be."""
    if not isinstance(value, Mapping):
        raise refuse("entries", value)
    known = RECORDS.get(kind, {})
    for name, item in value.items():
        if name in known:
            try:
                known[name](item)
            except ShapeError as error:
                raise error.within(name) from None


# What a run was computed with: free of form, but for what others read from it.
provenance: Check = both(
    named(plain),
    entries({}, {"user": optional(text), "source": optional(text), "commit": optional(text), "code": _code}),
)
# What a model needs to read raw rows.
serving: Check = both(
    named(plain),
    entries(
        {
            "labels": many(text, at_least=1),
            "positive": optional(text),
            "columns": many(_column),
            "preprocessing": _state,
        },
        {"example": many(named(plain))},
    ),
)
# `record.json` of a trial and of a study in MLflow; the records inside are checked as such.
trial_record: Check = entries(
    {
        "format": _version,
        "study": text,
        "number": _number,
        "generation": _number,
        "searched": _params,
        "runs": many(
            entries({"spec": entries({}), "outcome": entries({}), "timing": entries({})}, {"provenance": provenance}),
            at_least=1,
        ),
        "provenance": provenance,
    }
)
study_record: Check = entries(
    {"key": text, "study": entries({})}, {"provenance": optional(provenance), "serving": optional(serving)}
)


def _test_counts(value: Mapping[str, Any]) -> None:
    """As many rows and columns of counts as there are labels, and no more rows than a table may have."""
    labels, matrix = value["labels"], value[MATRIX]
    if not labels or len(matrix) != len(labels) or any(len(line) != len(labels) for line in matrix):
        raise ShapeError(f"expected {len(labels)} rows and columns of counts, one of each per label", MATRIX)
    if (total := sum(map(sum, matrix))) > MOST_ROWS:
        raise ShapeError(f"counts {total} rows, more than a table may have", MATRIX)


_known = {
    "positive": optional(text),
    "average": text,
    "labels": many(text),
    MATRIX: many(many(whole())),
    "intervals": named(optional(many(finite, at_least=2))),
    "classes": many(named(plain)),
    "clusters": whole(),
    "class_clusters": many(whole()),
}
_test: Check = both(named(plain), entries({n: _known[n] for n in ("positive", "labels", MATRIX)}, _known), _test_counts)
# The result of a look, by entry; `final` is what MLflow and the store may hold of one.
RESULT: Mapping[str, Check] = {
    "study": text,
    "trial": _number,
    "key": text,
    "candidate": text,
    "configuration": text,
    "params": _params,
    "validation": optional(_metrics),
    "test": _test,
    "test_digest": text,
    "test_rows": whole(),
    "looks": whole(),
    "budget": whole(),
    "stale": flag,
    "stale_because": entries({}, {"chosen": entries({"study": text, "trial": _number})}),
}
final: Check = entries({name: RESULT[name] for name in ("study", "trial", "key")}, RESULT)
result: Check = entries(
    {name: RESULT[name] for name in ("study", "trial", "key", "params", "validation", "test", "test_digest")}, RESULT
)


def final_report(value: Any) -> None:
    """`reports/final.json`: a result, or why none was scored."""
    if not isinstance(value, Mapping) or value.get("scored") is not False:
        result(value)
    else:
        entries({"study": text, "trial": _number, "because": text}, {})({n: value[n] for n in value if n in _WITHHELD})


_WITHHELD = {"study", "trial", "because"}
look: Check = entries(
    {
        "format": _version,
        "key": text,
        "study": text,
        "trial": _number,
        "test_digest": text,
        "time": text,
        "rows": text,
        "parents": many(text),
    },
    {"candidate": text, "configuration": text, "user": optional(text)},
)
# A decision of `tracker retune`: which model is served from then on, and why.
_model_named = entries(
    {"study": text, "study_key": digest, "trial": _number, "key": digest}, {"value": optional(number)}
)
retune: Check = entries(
    {
        "format": _version,
        "number": _number,
        "decision": one_of("first", "promoted", "refitted", "kept", "refused", "rollback"),
        "reasons": many(text),
        "time": text,
        "previous": optional(digest),
        "champion": optional(_model_named),
        "challenger": optional(_model_named),
        "data": optional(named(plain)),
        "judged": optional(named(plain)),
    },
    {
        "user": optional(text),
        "registered_model": optional(text),
        "alias": optional(text),
        "table": optional(text),
        "studies": named(digest),
    },
)
_row = entries(
    {"number": _number, "state": text, "params": _params, "value": optional(number), "metrics": _metrics},
    {
        "key": text,
        "candidate": text,
        "weights": optional(digest),
        "seed": whole(),
        "reason": optional(text),
        "epochs": _epochs,
        "best_epoch": optional(_epochs),
        "rows": _fold,
        "values": many(optional(number)),
        "breaks": many(text),
        "runs": many(entries({"metrics": _metrics}, {"seed": whole(), "value": optional(number), "rows": _fold})),
    },
)
# The report of a study, as `reports/studies/NAME.json` has it.
report: Check = entries(
    {"study": text, "objective": _objective, "trials": many(_row)},
    {
        "key": text,
        "environment": text,
        "mixed": many(text),
        "cut_off": text,
        "further": many(_objective),
        "front": many(_number),
        "constraints": many(_constraint),
    },
)
# The description in a model's folder.
model: Check = entries(
    {
        "family": text,
        "params": _params,
        "labels": many(text, at_least=1),
        "positive": optional(text),
        "key": text,
        "weights": digest,
        "columns": many(_column),
        "preprocessing": _state,
    },
    {"spec": entries({}, _spec), "code": _code, "example": many(named(plain)), "check": many(many(finite))},
)
_timing = entries({"started": seconds, "ended": seconds}, RECORDS["Timing"])
# Rows of the store by table; those of proposals and outcomes are records, which are checked as such.
ROWS: Mapping[str, Check] = {
    "studies": entries({"spec": named(lambda _: None), "created": seconds}),
    "proposals": entries({}),
    "outcomes": entries({}),
    "runs": entries({}),
    "rungs": entries({"epoch": _epochs, "stopped": many(_number), "going": many(_number)}),
    "attempts": entries({"timing": optional(_timing), "provenance": text}),
    "provenances": provenance,
    "serving": entries({}),
    "finishes": entries({"summary": both(named(plain), entries({}, {"trials": _number})), "ended": seconds}),
    "finals": entries({"final": entries({}, {**RESULT, "test": entries({})}), "created": seconds}),
    "looks": entries({}),
    "retunes": entries({"retune": retune, "created": seconds}),
    "selftests": flag,
    "outbox": entries({"number": optional(_number)}, {"subject": text, "study": text}),
}

_study_name = like(rf"{STUDY_NAME}|{DOTTED_NAME}", "letters, digits, _ and -, the first a letter, at most 64")


def check_foreign(name: str, family: str, sampler: str) -> None:
    """Raises ShapeError where a study that comes from elsewhere has a name, family or sampler that none can have here."""
    try:
        _study_name(name)
    except ShapeError as error:
        raise error.within("name") from None
    for place, known, found in (("family", FAMILIES, family), ("sampler.name", SAMPLERS, sampler)):
        if found not in known:
            raise ShapeError(f"{found!a} is unknown here (known: {', '.join(known)}); upgrade repro-tracker", place)
