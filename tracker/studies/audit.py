"""What pruning cost and saved: some of a study's pruned trials trained to their end, beside the best that was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.errors import NotFoundError
from tracker.execution.executor import Executor
from tracker.execution.trainer import Segment
from tracker.records import Trial
from tracker.seeds import derive_seed
from tracker.store.store import Store
from tracker.store.stored import Finished
from tracker.studies.result import StudyResult, best_trial


@dataclass(frozen=True, slots=True)
class Audit:
    """How pruned trials would have ended.

    `finished` are those that were trained to their end, in the order of numbers. `wrong` are the numbers of those that would
    then have been best: wrong prunes. `stopped_epochs` is what they took until they were stopped, `whole_epochs` what they
    take to their end.
    """

    finished: tuple[Trial, ...]
    wrong: tuple[int, ...]
    stopped_epochs: int
    whole_epochs: int

    def __str__(self) -> str:
        """A line for people."""
        count, saved = len(self.finished), self.whole_epochs - self.stopped_epochs
        numbers = f" ({', '.join(map(str, self.wrong))})" if self.wrong else ""
        return (
            f"{count} pruned trials trained to their end: {len(self.wrong)} would have been best{numbers}; "
            f"pruning them saved {saved} of {self.whole_epochs} epochs"
        )


def audit_study(
    result: StudyResult, store: Store, executor: Executor, provenance: Mapping[str, Any], count: int | None = None
) -> Audit:
    """Finishes `count` pruned trials (None: all), drawn from the study's seed; a larger audit holds a smaller one.

    Outcomes go to the store, so that a second audit trains nothing; the study, its digest and its report stay as they are.
    Raises NotFoundError where no trial was pruned.
    """
    spec = result.spec
    pruned = sorted(
        (trial for trial in result.trials if trial.state == "pruned"),
        key=lambda trial: derive_seed(spec.seed, "audit", trial.number),
    )[:count]
    if not pruned:
        raise NotFoundError(f"{spec.name}: no trial was pruned, so there is nothing to audit")
    keys = [key for trial in pruned for key in trial.proposal.keys]
    runs = [run for trial in pruned for run in trial.proposal.runs]
    known = store.outcomes(keys)
    for results in executor.run([Segment(run) for run in runs if run.key not in known]):
        rows = [
            Finished(one.spec, one.outcome, one.timing, one.weights, provenance, environment=one.environment)
            for one in results
        ]
        store.put_outcomes(spec.key, rows)
    whole = store.outcomes(keys)
    stopped = {trial.number: sum(outcome.epochs for outcome in trial.outcomes) for trial in pruned}
    finished = [Trial.of(spec, trial.proposal, [whole[key] for key in trial.proposal.keys]) for trial in pruned]
    finished.sort(key=lambda trial: trial.number)
    wrong = [trial.number for trial in finished if _beats(trial, result)]
    epochs = sum(outcome.epochs for trial in finished for outcome in trial.outcomes)
    return Audit(tuple(finished), tuple(wrong), sum(stopped.values()), epochs)


def _beats(trial: Trial, result: StudyResult) -> bool:
    """Whether it would have been the best one; of equal values, as trials are ranked."""
    others = [trial] if result.best is None else [trial, result.best]
    best = best_trial(others, result.spec.objective["direction"])
    return best is trial
