"""What a delivery to MLflow came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracker.config import BestModels
from tracker.errors import InputError

Policy = Literal["all", "none"] | BestModels


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many records this delivery took to MLflow, how many still wait, and why (None: nothing went wrong).

    What waits is in the store; `tracker sync` delivers it. `empty` where the store has no record at all.
    """

    delivered: int
    waiting: int
    problem: str | None = None
    empty: bool = False


def policy_text(policy: Policy) -> str:
    """A policy as one word of a command line: `all`, `none`, `best:10`."""
    return f"best:{policy.best}" if isinstance(policy, BestModels) else policy


def policy_from(word: str) -> Policy:
    """The policy that `policy_text` wrote. Raises InputError."""
    words: dict[str, Policy] = {"all": "all", "none": "none"}
    if word in words:
        return words[word]
    kind, _, count = word.partition(":")
    if kind != "best" or not count.isdecimal() or int(count) < 1:
        raise InputError(f"tracking.models: expected all, none or best:10, found {word!r}")
    return BestModels(best=int(count))
