"""Turns a study plan into a finished study: propose, run what the store does not have, store, tell; running is replaying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.errors import ConfigError, ReplayError
from tracker.execution.executor import Executor
from tracker.recording.conflicts import refuse_other_proposal
from tracker.recording.store import Finished, Store
from tracker.records import Proposal, StudySpec, Trial, TrialOutcome, TrialSpec
from tracker.search.samplers import Told, open_sampler, plan_generations
from tracker.studies.changed import describe_change
from tracker.studies.plan import StudyPlan, propose_trial
from tracker.studies.result import StudyResult, best_trial, summarise_study, trial_of


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a study stands: trials finished of those wanted, how many of them were taken from the store, the best.

    `change` says, where the name was run before with something else, what differs.
    """

    study: str
    finished: int
    wanted: int
    replayed: int
    best: Trial | None
    change: str | None = None


def run_study(
    plan: StudyPlan,
    store: Store,
    executor: Executor,
    provenance: Mapping[str, Any],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> StudyResult:
    """Runs what is missing of a study and returns it whole.

    Raises ReplayError where the sampler no longer proposes what the store holds.
    """
    run = _Run(plan, store, executor, provenance, on_progress)
    sampler = open_sampler(plan.spec)
    for generation, (start, count) in enumerate(plan_generations(plan.spec, plan.trials)):
        searched = sampler.propose(generation, count, start)
        proposals = [propose_trial(plan.spec, start + i, generation, values) for i, values in enumerate(searched)]
        run.log(proposals)
        trials = run.complete(proposals)
        sampler.tell([Told(trial.number, (trial.value,)) for trial in trials])
    return run.finish()


def _require_objective(spec: StudySpec, number: int, outcome: TrialOutcome) -> None:
    """The user's own code may yield any metrics, so a misspelt objective shows only now. Raises ConfigError."""
    metric = spec.objective["metric"]
    if outcome.state == "complete" and metric not in outcome.metrics:
        known = ", ".join(outcome.metrics)
        raise ConfigError(f"objective.metric: trial {spec.name}/{number} has no {metric}; it has {known}")


def regain_weights(
    store: Store, study_key: str, spec: TrialSpec, executor: Executor, provenance: Mapping[str, Any]
) -> None:
    """Trains a recorded trial again if its weights are not kept here; the records of others come without most of them.

    Raises ReplayError where it gives something else now.
    """
    weights = store.outcomes([spec.key])[spec.key].weights
    if weights is None or store.has_weights(weights):
        return
    for results in executor.run([spec]):
        finished = [Finished(r.outcome, r.timing, r.weights, provenance) for r in results if r.outcome]
        store.put_outcomes(study_key, finished)


class _Run:
    def __init__(
        self,
        plan: StudyPlan,
        store: Store,
        executor: Executor,
        provenance: Mapping[str, Any],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.plan, self.store, self.executor = plan, store, executor
        self.provenance, self.on_progress = provenance, on_progress
        self.change = describe_change(store, plan)
        self.key = store.put_study(plan.spec, provenance)
        self.logged = {proposal.number: proposal for proposal in store.proposals(self.key)}
        self.trials: dict[int, Trial] = {}
        self.replayed = 0
        self.report()

    def log(self, proposals: Sequence[Proposal]) -> None:
        """Writes a generation down before it runs; what is written already must be the same."""
        for proposal in proposals:
            logged = self.logged.get(proposal.number)
            try:
                refuse_other_proposal(proposal, logged or proposal)
            except ReplayError as error:
                raise ReplayError(f"study {self.plan.spec.name}, {error}") from None
        new = [proposal for proposal in proposals if proposal.number not in self.logged]
        if new:
            self.store.put_proposals(self.key, new)

    def complete(self, proposals: Sequence[Proposal]) -> list[Trial]:
        """The trials of a generation in order: outcomes from the store, and the rest from the executor."""
        by_key = {proposal.spec.key: proposal for proposal in proposals}
        known = self.store.outcomes(list(by_key))
        self.replayed += len(known)
        self.take(by_key, known)
        if known:
            self.store.announce(self.key, [by_key[key].number for key in known])
        for results in self.executor.run([p.spec for key, p in by_key.items() if key not in known]):
            finished = [Finished(r.outcome, r.timing, r.weights, self.provenance) for r in results if r.outcome]
            self.store.put_outcomes(self.key, finished)
            # What a replay will read, in every respect: the order of names in a mapping too.
            self.take(by_key, self.store.outcomes([entry.outcome.key for entry in finished]))
        return [self.trials[proposal.number] for proposal in proposals]

    def take(self, by_key: Mapping[str, Proposal], outcomes: Mapping[str, TrialOutcome]) -> None:
        with_outcome = trial_of(self.plan.spec)
        for key, outcome in outcomes.items():
            _require_objective(self.plan.spec, by_key[key].number, outcome)
            self.trials[by_key[key].number] = with_outcome(by_key[key], outcome)
        self.report()

    def report(self) -> None:
        best = best_trial(list(self.trials.values()), self.plan.spec.objective["direction"])
        self.on_progress(
            Progress(self.plan.spec.name, len(self.trials), self.plan.trials, self.replayed, best, self.change)
        )

    def finish(self) -> StudyResult:
        trials = tuple(self.trials[number] for number in sorted(self.trials))
        result = StudyResult(self.plan.spec, trials, self.replayed)
        if result.best is not None:
            regain_weights(self.store, self.key, result.best.spec, self.executor, self.provenance)
        self.store.finish_study(self.key, summarise_study(result))
        return result
