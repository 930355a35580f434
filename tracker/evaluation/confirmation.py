"""What a confirmation found: each contender with its runs, the choice and the defaults as measured, the run that is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracker.evaluation.certainty import mean, probability_better
from tracker.evaluation.preference import Preference
from tracker.evaluation.ranked import RankedTrial, run_row
from tracker.goals import broken
from tracker.records import StudySpec, Trial, run_spread, run_value


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a round says of a contender: the trial that has a run per seed, in the study that it belongs to."""

    row: RankedTrial
    study: StudySpec
    trial: Trial

    @property
    def values(self) -> list[float | None]:
        """The objective of each seed."""
        return [run_value(self.study, outcome) for outcome in self.trial.outcomes]

    @property
    def json(self) -> dict[str, Any]:
        """What a report says of it; a mean is null where a seed failed."""
        values = self.values
        told = {"study": self.row.study, "trial": self.row.trial, "found": self.row.value}
        told |= {"mean": mean(values), "sd": run_spread(self.study, self.trial)}
        failed = sum(value is None for value in values)
        return told | ({"failed": failed} if failed else {})


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The contenders, the best mean first; the choice and the defaults as measured; which run of the choice is served."""

    seeds: int
    contenders: tuple[Confirmed, ...]
    choice: Confirmed
    defaults: Confirmed | None
    served: int
    digests: Mapping[str, str]
    preference: Preference | None = None
    constraints: tuple[Mapping[str, Any], ...] = ()

    @property
    def breaks(self) -> dict[str, list[str]]:
        """The constraints of its study that the choice breaks with further seeds: their `mean`, the `served` run."""
        metrics = {"mean": self.choice.trial.metrics, "served": self.choice.trial.outcomes[self.served].metrics}
        found = {who: list(broken(self.constraints, told)) for who, told in metrics.items()}
        return {who: told for who, told in found.items() if told}

    @property
    def probability(self) -> float | None:
        """That the choice beats the defaults (`probability_better`); None where it is the defaults, or there are none."""
        if self.defaults is None or self.defaults.row is self.choice.row:
            return None
        direction = self.choice.study.objective["direction"]
        return probability_better(self.choice.values, self.defaults.values, direction)

    @property
    def scored(self) -> RankedTrial:
        """The choice as it is scored on the test split: with the model of its served run."""
        trial, value = self.choice.trial, self.choice.values[self.served]
        assert value is not None
        row = run_row(self.choice.row, trial.proposal.runs[self.served], trial.outcomes[self.served])
        return replace(row, value=value)

    @property
    def json(self) -> dict[str, Any]:
        """The entry `confirmation` of `reports/ranking.json`."""
        scored = self.scored
        return {
            "seeds": self.seeds,
            "contenders": [contender.json for contender in self.contenders],
            "measured": {
                "choice": self.choice.json,
                "defaults": None if self.defaults is None else self.defaults.json,
                "probability": self.probability,
                "method": "Welch's t over seeds that chose nothing, on the same validation rows",
            },
            "served": {
                "seed": self.choice.trial.proposal.runs[self.served].seed,
                "key": scored.key,
                "value": scored.value,
            },
            "digests": dict(self.digests),
            **({"breaks": self.breaks} if self.breaks else {}),
        }
