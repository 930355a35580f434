"""Why a best trial is not worth a look at the test split (`tracker.evaluation.worth` says when)."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.evaluation.ranked import RankedTrial


@dataclass(frozen=True, slots=True)
class Unworthy:
    """Why no look is spent: the score of the best trial, its interval, and what a majority vote scores."""

    chosen: RankedTrial
    metric: str
    interval: tuple[float, float] | None
    vote: float | None

    @property
    def words(self) -> str:
        """One sentence."""
        where = "on validation" if self.chosen.rows is None else "over folds"
        about = f"{self.chosen.study}/{self.chosen.trial} is best, with {self.metric} {self.chosen.value:.4f} {where}"
        if self.vote is None:
            return about
        ends = "" if self.interval is None else f" (95 % {self.interval[0]:.4f} to {self.interval[1]:.4f})"
        return f"{about}{ends}; knowing only how often each class occurs gives {self.vote:.4f}"
