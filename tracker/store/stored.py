"""What is put into the store and read back: runs that ended, decisions of rungs, settled trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.records import Proposal, Timing, TrialOutcome, TrialSpec


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended, or one that a pruner stopped (`paused`).

    `weights` are the safetensors bytes whose SHA-256 is `outcome.weights`, or None. `environment` is the digest of the
    environment that computed it; empty where it was computed elsewhere and came with its record.
    """

    spec: TrialSpec
    outcome: TrialOutcome
    timing: Timing
    weights: bytes | None
    provenance: Mapping[str, Any]
    environment: str = ""

    @property
    def slot(self) -> str:
        """The key of its outcome."""
        return outcome_slot(self.outcome)


@dataclass(frozen=True, slots=True)
class Decision:
    """Which trials of a generation stop after an epoch and which go on (by number)."""

    generation: int
    epoch: int
    stopped: tuple[int, ...]
    going: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A settled trial: its proposal, and the outcome, timing and provenance of each run."""

    proposal: Proposal
    outcomes: tuple[TrialOutcome, ...]
    timings: tuple[Timing, ...]
    provenances: tuple[Mapping[str, Any], ...]


def outcome_slot(outcome: TrialOutcome) -> str:
    """The key under which an outcome is stored: a run has one end, and an outcome for each epoch at which it was stopped."""
    return paused_slot(outcome.key, outcome.epochs) if outcome.state == "paused" else outcome.key


def slots_of(proposal: Proposal, rung: int | None) -> list[str]:
    """The keys of the outcomes of a settled trial; `rung` says where it was stopped, if it was.

    A single run was stopped after so many epochs, a trial of several after so many runs: the others were not begun.
    """
    if rung is None:
        return list(proposal.keys)
    if len(proposal.runs) == 1:
        return [paused_slot(proposal.spec.key, rung)]
    return [key if place < rung else paused_slot(key, 0) for place, key in enumerate(proposal.keys)]


def paused_slot(key: str, epochs: int) -> str:
    """The key of the outcome of a run that was stopped after so many epochs."""
    return f"{key}/{epochs:08d}"
