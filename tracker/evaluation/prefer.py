"""Which of several trials that are as good as the best is taken: by a declared rule another than the best.

It is the simplest or the cheapest of what rows cannot tell apart, or the best by the next objective of what is near enough.

The rule needs what every study has on disk: records, and the description of its model. No clock and no score decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.evaluation.contenders import StudyRecords
from tracker.evaluation.files import read_report
from tracker.evaluation.preference import NEXT, RULES, TIES, Preference, Weight
from tracker.evaluation.ranked import RankedTrial
from tracker.evaluation.ranking import Ranking
from tracker.fields import model as model_shape
from tracker.ordering import better_low, ranks
from tracker.remedies import run_again

ROUNDED = 1e-9  # 0.85 is within 0.01 of 0.86, whose difference is 0.010000000000000009


@dataclass(frozen=True, slots=True)
class Preferring:
    """Applies a rule to the trials of one project; `records` are read once.

    With rule `next` a trial is as good as the best where it is no more than `within` worse, or one of its ties, and the
    objectives that are `following` decide.
    """

    rule: str
    models: Path
    records: StudyRecords
    within: float | str = TIES
    following: Sequence[Mapping[str, str]] = ()

    @property
    def needs_ties(self) -> bool:
        """Whether it has to know what rows cannot tell from the best."""
        return self.within == TIES

    def among_ties(self, ranking: Ranking) -> Preference:
        """The preferred one of the first of a ranking and its ties. Raises InputError where a record or model is missing."""
        first = ranking.rows[0]
        if isinstance(self.within, float):
            reach = self.within + ROUNDED
            return self.among([row for row in ranking.rows if abs(first.value - row.value) <= reach])
        return self.among([first, *ranking.indistinguishable])

    def among_means(self, ranking: Ranking, means: Sequence[tuple[RankedTrial, float]]) -> Preference:
        """The preferred one of contenders, the best mean over further seeds first.

        As good as the first is what lies within the reach of the ranking's interval towards the worse: the same rows score, so
        they tell means no better apart than they told the trials as found.
        """
        (_, best), first = means[0], ranking.rows[0].value
        worse = 0 if ranking.objective["direction"] == "maximize" else 1
        reach = 0.0 if ranking.interval is None else abs(first - ranking.interval[worse])
        reach = self.within + ROUNDED if isinstance(self.within, float) else reach
        return self.among([row for row, mean in means if abs(best - mean) <= reach])

    def among(self, rows: Sequence[RankedTrial]) -> Preference:
        """The one that the rule prefers, the first of them where several have the least."""
        if self.rule == NEXT:
            taken = min(rows, key=self._following)
            return Preference(NEXT, taken, rows[0], len(rows), {}, self.within, self.following)
        weights = {row.key: self._weight(row) for row in rows}
        preferred = min(rows, key=lambda row: getattr(weights[row.key], RULES[self.rule]))
        return Preference(self.rule, preferred, rows[0], len(rows), weights)

    def _following(self, row: RankedTrial) -> tuple[float, ...]:
        """The objectives that decide, the lower the better; what is not known comes last."""
        known = row.ties or better_low([row.metrics.get(goal["metric"]) for goal in self.following], self.following)
        return tuple(value if ranks(value) else math.inf for value in known)

    def _weight(self, row: RankedTrial) -> Weight:
        """Of all runs of a trial together: forward passes alone, as the passes back cost each network alike."""
        from tracker.standalone.transform import blocks_of, shape_of
        from tracker.training.size import network_size

        trial = self.records.study(row).trials[row.trial]
        folder = self.models / row.study
        described = read_report(folder / "model.json", run_again(folder), model_shape)
        state = described["preprocessing"]
        shape = shape_of(state) or (len(state["features"]),)
        size = network_size(
            trial.spec.family,
            trial.spec.params,
            shape,
            len(described["labels"]),
            mask=bool(state.get("mask")),
            widths=blocks_of(state),
        )
        epochs = sum(outcome.epochs for outcome in trial.outcomes)
        return Weight(size.parameters, size.multiplications * epochs)


def with_preference(ranking: Ranking, preferring: Preferring | None) -> Ranking:
    """The ranking with the trial that the rule prefers among its first and the ties of that."""
    return ranking if preferring is None else replace(ranking, preference=preferring.among_ties(ranking))
