"""What a new table is beside the one that was tuned on: rows, labels, columns, drift; and whether it may be used at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.config.parts import Refuse, Retune
from tracker.retuning.profile import Profile, label_places, profile, row_keys

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 50  # added rows whose spread is looked at by itself; fewer are looked at with all others


@dataclass(frozen=True, slots=True)
class Drifted:
    """How far one column moved: the population stability index, and the p-value of a chi-square test of both samples."""

    column: str
    psi: float
    p: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two tables.

    `added` and `removed` count rows by what names them (id or features); of `known` rows, which both have, `changed` have other
    features and `relabelled` another label. Of tables beyond 20,000 rows these are estimates from a fixed sample of keys.
    `drift` is that of the added rows, where there are enough, else of the whole table; `repeated` the share of rows that have
    an equal before them, above what it was.
    """

    before: Profile
    after: Profile
    added: int
    removed: int
    known: int
    changed: int
    relabelled: int
    repeated: float
    columns_gone: tuple[str, ...]
    columns_new: tuple[str, ...]
    kinds: Mapping[str, tuple[str, str]]
    drift: tuple[Drifted, ...]
    target_drift: Drifted
    of_added: bool

    @property
    def same(self) -> bool:
        """Whether nothing that `prepare` reads differs."""
        return self.before.table == self.after.table

    def figures(self) -> dict[str, Any]:
        """What a record and a run keep of it."""
        worst = max(self.drift, key=lambda one: one.psi, default=None)
        return {
            "rows": self.after.count,
            "rows_before": self.before.count,
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "relabelled": self.relabelled,
            "drift": None if worst is None else {"column": worst.column, "psi": round(worst.psi, 4)},
            "label_drift": round(self.target_drift.psi, 4),
        }


def find_changes(before: Profile, frame: pd.DataFrame, schema: Mapping[str, Any], source: str) -> Changes:
    """What a prepared table with its schema differs in from a profile."""
    after = profile(frame, schema, source)
    limit = min(before.rows.limit, after.rows.limit)
    old, new = before.rows.up_to(limit), after.rows.up_to(limit)
    scale = 2**64 / (limit + 1)
    both, in_old, in_new = np.intersect1d(old.names, new.names, assume_unique=True, return_indices=True)
    names_old, names_new = (np.array(part.label_names, dtype=object) for part in (before, after))
    relabelled = int((names_old[old.labels[in_old]] != names_new[new.labels[in_new]]).sum())
    _, names = row_keys(frame, schema)
    fresh = (
        ~np.isin(names, old.names) if limit == 2**64 - 1 else (names <= np.uint64(limit)) & ~np.isin(names, old.names)
    )
    of_added = int(fresh.sum()) >= ENOUGH
    looked_at = frame[fresh] if of_added else frame
    drift = tuple(
        _drifted(name, column.counts, column.count(looked_at[name]))
        for name, column in before.columns.items()
        if name in after.columns and after.columns[name].kind == column.kind != "date"  # time goes on
    )
    return Changes(
        before=before,
        after=after,
        added=round((len(new.names) - len(both)) * scale),
        removed=round((len(old.names) - len(both)) * scale),
        known=round(len(both) * scale),
        changed=round(int((old.contents[in_old] != new.contents[in_new]).sum()) * scale),
        relabelled=round(relabelled * scale),
        repeated=after.repeated / max(1, after.count) - before.repeated / max(1, before.count),
        columns_gone=tuple(name for name in before.columns if name not in after.columns),
        columns_new=tuple(name for name in after.columns if name not in before.columns),
        kinds={
            name: (one.kind, after.columns[name].kind)
            for name, one in before.columns.items()
            if name in after.columns and after.columns[name].kind != one.kind
        },
        drift=drift,
        target_drift=_label_drift(before, looked_at, schema),
        of_added=of_added,
    )


def why_refused(changes: Changes, settings: Refuse, schema: Mapping[str, Any]) -> Iterator[str]:
    """Why a table is not taken for new data of the same kind, a sentence per fault; nothing where it may be used."""
    yield from _other_columns(changes, schema)
    before, after = changes.before, changes.after
    for label in before.labels:
        if not after.labels.get(label):
            yield f"class {label!r} has gone ({before.labels[label]} rows before)"
    for label in after.labels:
        if label not in before.labels:
            yield f"class {label!r} is new ({after.labels[label]} rows)"
    yield from _other_rows(changes, settings)


def _other_columns(changes: Changes, schema: Mapping[str, Any]) -> Iterator[str]:
    reasons = {column["name"]: column.get("reason") for column in schema["columns"] if column["role"] == "dropped"}
    for name in changes.columns_gone:
        why = f"is no feature any more: {reasons[name]}" if reasons.get(name) else "is gone"
        yield f"column {name!r} {why}"
    for name in changes.columns_new:
        yield f"column {name!r} is new"
    for name, (old, new) in changes.kinds.items():
        yield f"column {name!r} was {old} and is {new} now"


def _other_rows(changes: Changes, settings: Refuse) -> Iterator[str]:
    before, after = changes.before, changes.after
    if changes.removed > settings.lost * before.count:
        yield (
            f"{changes.removed} of {before.count} rows are gone, more than {settings.lost:.0%} (retune.refuse.lost): "
            "is the file cut short?"
        )
    if changes.relabelled > settings.relabelled * max(1, changes.known):
        yield (
            f"{changes.relabelled} of {changes.known} rows that were there before have another label, more than "
            f"{settings.relabelled:.0%} (retune.refuse.relabelled)"
        )
    if changes.repeated > settings.repeated:
        yield (
            f"{after.repeated} of {after.count} rows have an equal before them ({before.repeated} of {before.count} before): "
            f"{changes.repeated:.0%} more, where {settings.repeated:.0%} is allowed (retune.refuse.repeated)"
        )


def why_relevant(changes: Changes, settings: Retune) -> Iterator[str]:
    """Why a change calls for tuning again, a clause per reason; nothing where it does not."""
    before, drift = changes.before, settings.drift
    moved = changes.added + changes.removed + changes.changed + changes.relabelled
    if moved > settings.new_rows * before.count or (moved and settings.new_rows == 0):
        yield (
            f"{changes.added} rows added, {changes.removed} removed, {changes.changed} changed, {changes.relabelled} with "
            f"another label, "
            f"of {before.count} (retune.new_rows: {settings.new_rows:g})"
        )
    where = "the added rows" if changes.of_added else "the table"
    tested = len(changes.drift) + 1
    for one in (*changes.drift, changes.target_drift):
        if one.psi >= drift.threshold and one.p * tested <= drift.level:
            what = "the classes" if one is changes.target_drift else f"column {one.column!r}"
            yield f"{what} moved in {where}: PSI {one.psi:.2f} (retune.drift.threshold: {drift.threshold:g})"


def _label_drift(before: Profile, frame: pd.DataFrame, schema: Mapping[str, Any]) -> Drifted:
    labels = list(schema["labels"])
    counts = dict(zip(labels, np.bincount(label_places(frame, schema), minlength=len(labels)).tolist(), strict=True))
    names = list(dict.fromkeys([*before.labels, *labels]))
    return _drifted(
        before.target, [before.labels.get(name, 0) for name in names], [counts.get(name, 0) for name in names]
    )


def _drifted(name: str, old: Any, new: Any) -> Drifted:
    """PSI with half a row more in every bin, and Pearson's chi-square test of the two rows of counts."""
    from scipy.stats import chi2_contingency

    counts = np.array([old, new], dtype=np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2 or (counts.sum(axis=1) == 0).any():
        return Drifted(name, 0.0, 1.0)
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    psi = math.fsum((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))
    return Drifted(name, psi, float(chi2_contingency(counts, correction=False).pvalue))
