"""From coarse to fine: the space that the best trials of a study leave, for another study to search more closely.

Ends of a range follow the trials that are kept: n draws from a range cover (n - 1) / (n + 1) of it on average, so the range
that they came from reaches further on either side by the mean gap between them (the estimate of its ends that is unbiased
and varies least; David and Nagaraja, Order Statistics, 2003, section 8.4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tracker.errors import SpaceError
from tracker.knobs import Value
from tracker.ordering import best_first
from tracker.records import StudySpec, Trial, standing_of
from tracker.search.entries import Condition, Domain, Entry, Interval, Options
from tracker.search.space import Space, space_from

MARGIN = 0.05  # of the width that there was: a range reaches at least so far beyond what is kept
CHANCE = 20  # a choice goes where none of its trials is kept, and chance would do that once in so many times at most
DIGITS = 4  # of an end of a range of fractions; more would only be hard to read


def shrink(spec: StudySpec, trials: Sequence[Trial], keep: float) -> Space:
    """The part of a study's space around the best `keep` (a share, rounded up) of the trials that have a value.

    Numbers: from the lowest to the highest kept value, and a little beyond, on the steps of the space and never outside it.
    Choices: all but those that are clearly worse. What no kept trial has stays whole. Raises SpaceError where no trial has
    a value.
    """
    space = space_from(spec.space, spec.fixed, spec.family)
    ranked = [trial.proposal.searched for trial in best_first(trials, standing_of, spec.objective["direction"])]
    if not ranked:
        raise SpaceError("no trial has a value, so nothing says where to search more closely")
    kept = math.ceil(Decimal(repr(keep)) * len(ranked))
    domains = {entry.name: _shrunk(entry.domain, _values(space, entry, ranked), kept) for entry in space.entries}
    entries = [replace(entry, domain=domains[entry.name]) for entry in space.entries]
    return Space(space.family, tuple(_reachable(entries, space.fixed)), space.fixed, space.clauses)


Ranked = Sequence[Sequence[Value]]  # of each trial, best first, the values that a name has in it: none where it is idle


def _values(space: Space, entry: Entry, ranked: Sequence[Mapping[str, Any]]) -> Ranked:
    names = [name for name, other in space.names() if other is entry]
    return [[searched[name] for name in names if name in searched] for searched in ranked]


def _shrunk(domain: Domain, values: Ranked, kept: int) -> Domain:
    if isinstance(domain, Interval):
        numbers = [value for row in values[:kept] for value in row if isinstance(value, int | float)]
        return _narrowed(domain, numbers) if numbers and domain.size != 1 else domain
    if isinstance(domain, Options):
        active = [row for row in values if row]
        return _without_worst(domain, active, sum(bool(row) for row in values[:kept]))
    return domain


def _without_worst(domain: Options, active: Ranked, kept: int) -> Options:
    """Drops choices that no kept trial has, though by chance alone that would hardly happen (hypergeometric, exact)."""

    def is_clearly_worse(choice: Value) -> bool:
        having = sum(choice in row for row in active)
        none_kept = not any(choice in row for row in active[:kept])
        return none_kept and CHANCE * math.comb(len(active) - having, kept) <= math.comb(len(active), kept)

    return Options(tuple(choice for choice in domain.choices if not is_clearly_worse(choice)))


def _narrowed(domain: Interval, kept: Sequence[float]) -> Interval:
    """A range around the kept values, in the logarithm where the range is searched so."""
    scale = math.log if domain.log else float
    bottom, top = scale(domain.low), scale(domain.high)
    least, most = scale(min(kept)), scale(max(kept))
    gap = (most - least) / (len(kept) - 1) if len(kept) > 1 else 0.0
    margin = max(gap, MARGIN * (top - bottom))
    low = domain.low if least - margin <= bottom else _back(least - margin, domain)
    high = domain.high if most + margin >= top else _back(most + margin, domain)
    if domain.whole or domain.step is not None:
        step = domain.step or 1
        first = math.floor(round((low - domain.low) / step, 9))
        last = math.ceil(round((high - domain.low) / step, 9))
        return replace(domain, low=domain.at(first), high=domain.at(last))
    return replace(domain, low=min(low, *kept), high=max(high, *kept))


def _back(place: float, domain: Interval) -> float:
    """The number at a place of the scale; fractions to a few digits of themselves, or of the width of their range."""
    if domain.log:
        return float(f"{math.exp(place):.{DIGITS}g}") if not domain.whole else math.exp(place)
    return round(place, DIGITS - 1 - math.floor(math.log10(domain.high - domain.low)))


def _reachable(entries: Sequence[Entry], fixed: Mapping[str, Value]) -> list[Entry]:
    """The entries whose conditions can still be met; conditions speak of entries before them, or of fixed names."""
    left: dict[str, Entry] = {}

    def may_occur(condition: Condition) -> bool:
        name, allowed = condition
        other = left.get(name)
        if other is not None and any(other.domain.allows(value) for value in allowed):
            return True
        return (other is None or bool(other.when)) and fixed.get(name) in allowed

    for entry in entries:
        if all(map(may_occur, entry.when)):
            left[entry.name] = entry
    return list(left.values())
