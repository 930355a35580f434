"""Gives every row its split, by the keys of what belongs together and a salt that balances the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.datasets.keys import Keys, uniform
from tracker.seeds import derive_seed

SPLITS = ("train", "validation", "test")
SELECTION = "selection"  # validation rows that rank trials and stop none
PROMOTION = "promotion"  # validation rows that take no part in tuning: champion and challenger meet on them
TRIES = 1000
_WORK = 20_000_000  # names hashed in all; beyond 20,000 rows fewer salts are tried

Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Rows that must share a split: `of_row` and `of_name` say which cluster; `names` are the distinct name keys."""

    names: Keys
    of_name: Codes
    of_row: Codes


def cluster(names: Keys, contents: Keys | None) -> Clusters:
    """The connected components over equal names and equal contents; over names alone where `contents` is None."""
    distinct, name = np.unique(names, return_inverse=True)
    parents = list(range(len(distinct)))
    if contents is not None:
        _join(parents, name, contents)
    roots = np.array([_root(parents, place) for place in range(len(parents))], dtype=np.int64)
    _, of_name = np.unique(roots, return_inverse=True)
    return Clusters(distinct, of_name, of_name[name])


def _join(parents: list[int], name: Codes, contents: Keys) -> None:
    order = np.argsort(contents, kind="stable")
    same = np.flatnonzero(contents[order][1:] == contents[order][:-1])
    for one, other in zip(name[order[same]].tolist(), name[order[same + 1]].tolist(), strict=True):
        low, high = sorted((_root(parents, one), _root(parents, other)))
        parents[high] = low


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def place_rows(clusters: Clusters, salt: int, validation: float, test: float) -> Codes:
    """The split of every row as an index of SPLITS.

    A cluster stands where the lowest of its names stands, and low is test, then validation, then train. Rows that are added
    can only lower a cluster, so a row may move towards test but never from test to train.
    """
    lowest = np.full(int(clusters.of_name.max()) + 1, 2.0)
    np.minimum.at(lowest, clusters.of_name, uniform(clusters.names, salt))
    of_cluster = np.select([lowest < test, lowest < test + validation], [2, 1], 0)
    return of_cluster[clusters.of_row].astype(np.int64)


def set_aside(
    names: Keys, together: Codes, places: Codes, share: float, seed: int, purpose: str = PROMOTION
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which validation rows are kept for a purpose: a share by the hash of their names, rows that stay `together` as one.

    What the rest of the table holds changes nothing. Rows that are added can only lower what they join, so a row may move
    from validation to those set aside, never back.
    """
    lowest = np.full(int(together.max()) + 1, 2.0)
    np.minimum.at(lowest, together, uniform(names, derive_seed(seed, purpose)))
    aside: np.ndarray[Any, np.dtype[np.bool_]] = (places == 1) & (lowest < share)[together]
    return aside


def choose_salt(clusters: Clusters, labels: Codes, validation: float, test: float, seed: int) -> tuple[int, int]:
    """The salt whose class counts come nearest to the fractions (chi-square), and how many were tried.

    Salts that leave a class out of a split rank last; ties go to the salt tried first.
    """
    tries = max(1, min(TRIES, _WORK // max(1, len(clusters.names))))
    fractions = np.array([1 - validation - test, validation, test])
    expected = np.outer(fractions, np.bincount(labels))
    ranked = []
    for number in range(tries):
        salt = derive_seed(seed, "split", number)
        counts = count_classes(place_rows(clusters, salt, validation, test), labels)
        distance = float(((counts - expected) ** 2 / expected).sum())
        ranked.append((int((counts == 0).sum()), distance, number, salt))
    return min(ranked)[3], tries


def count_classes(splits: Codes, labels: Codes, parts: int = len(SPLITS)) -> Codes:
    """Rows per split and class, shape (parts, classes)."""
    classes = int(labels.max()) + 1
    return np.bincount(splits * classes + labels, minlength=parts * classes).reshape(parts, classes)
