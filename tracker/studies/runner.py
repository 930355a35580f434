"""From a study plan to a finished study: propose, run what the store does not have, store, tell; running is replaying."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.errors import ConfigError, ReplayError, StudyFailed
from tracker.execution.executor import Executor, Whereabouts
from tracker.execution.trainer import Segment
from tracker.records import Proposal, StudySpec, Trial, TrialOutcome, TrialSpec
from tracker.search.pruners import Pruner
from tracker.search.samplers import open_sampler, row_of
from tracker.search.sampling import Sampler
from tracker.search.stopping import Stopping
from tracker.store.conflicts import refuse_other_proposal
from tracker.store.store import Store
from tracker.store.stored import Finished
from tracker.studies.changed import describe_change
from tracker.studies.fold_rungs import FoldRace
from tracker.studies.plan import Planner, StudyPlan
from tracker.studies.result import StudyResult, best_trial, summarise_study
from tracker.studies.rungs import Race, pruner_of, told
from tracker.studies.timeout import Deadline, parts_of
from tracker.training.early_stopping import DIVERGED
from tracker.training.loop import Checkpoint, Result

HERE = Whereabouts()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a study stands: trials finished of those wanted, how many of them were taken from the store, the best.

    `change` says, where the name was run before with something else, what differs; `where` says where it trains.
    """

    study: str
    finished: int
    wanted: int
    replayed: int
    best: Trial | None
    change: str | None = None
    where: Whereabouts = HERE


def run_study(
    plan: StudyPlan,
    store: Store,
    executor: Executor,
    provenance: Mapping[str, Any],
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_proposed: Callable[[Sequence[Proposal]], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> StudyResult:
    """Runs what is missing of a study and returns it whole.

    Raises ReplayError where the sampler no longer proposes what the store holds. A generation that the store holds whole
    is not proposed again where the sampler can be given it back; `verify` proposes everything again. `on_proposed` hears of
    each generation before it is trained. Where the plan has a `timeout`, the study may be cut off after a generation, by the
    seconds that `clock` tells.
    """
    run, deadline = _Run(plan, store, executor, provenance, on_progress), Deadline(plan, clock)
    sampler, pruner, stopping, cut_off = open_sampler(plan.spec), pruner_of(plan.spec), Stopping(plan.spec), None
    for generation, start, count in parts_of(plan):
        proposals = run.propose(sampler, generation, count, start)
        on_proposed(proposals)
        known = run.replayed
        trials = run.settle(proposals, generation) if pruner is None else run.prune(proposals, generation, pruner)
        if stopping.after(trials):
            break
        sampler.tell([told(plan.spec, trial) for trial in trials])
        if cut_off := deadline.after(start + count, run.replayed - known < count):
            break
    return run.finish(cut_off)


def regain_weights(
    store: Store, study_key: str, spec: TrialSpec, executor: Executor, provenance: Mapping[str, Any]
) -> None:
    """Trains a recorded run again if its weights are not kept here; the records of others come without most of them.

    Raises ReplayError where it gives something else now.
    """
    weights = store.outcomes([spec.key])[spec.key].weights
    if weights is None or store.has_weights(weights):
        return
    for results in executor.run([Segment(spec)]):
        store.put_outcomes(study_key, [_finished(result, provenance) for result in results])


def _finished(result: Result, provenance: Mapping[str, Any]) -> Finished:
    return Finished(
        result.spec, result.outcome, result.timing, result.weights, provenance, environment=result.environment
    )


def _require_objective(spec: StudySpec, number: int, outcome: TrialOutcome) -> None:
    """The user's own code may yield any metrics, so a misspelt objective shows only now. Raises ConfigError."""
    for entry, wanted in (("objective.metric", spec.objectives), ("constraints", spec.constraints)):
        for metric in (str(one["metric"]) for one in wanted):
            if outcome.state == "complete" and metric not in outcome.metrics:
                known = ", ".join(outcome.metrics)
                raise ConfigError(f"{entry}: trial {spec.name}/{number} has no {metric}; it has {known}")


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
        self.ended = store.finish(self.key) is not None
        self.planner = Planner(plan.spec)
        self.logged = {proposal.number: proposal for proposal in store.proposals(self.key)}
        self.trials: dict[int, Trial] = {}
        self.best: Trial | None = None
        self.replayed = 0
        self.report()

    def propose(self, sampler: Sampler, generation: int, count: int, start: int) -> list[Proposal]:
        """A generation, written down before it runs; what is written already must be the same."""
        logged = [self.logged[number] for number in range(start, start + count) if number in self.logged]
        if row_of(self.plan.spec.sampler["name"]).rebuilds and len(logged) == count:
            sampler.take(generation, [proposal.searched for proposal in logged])
            return logged
        searched = sampler.propose(generation, count, start)
        proposals = [self.planner.propose(start + place, generation, values) for place, values in enumerate(searched)]
        for proposal in proposals:
            try:
                refuse_other_proposal(proposal, self.logged.get(proposal.number, proposal))
            except ReplayError as error:
                raise ReplayError(f"study {self.plan.spec.name}, {error}") from None
        new = [proposal for proposal in proposals if proposal.number not in self.logged]
        if new:
            self.store.put_proposals(self.key, new)
        return proposals

    def complete(self, proposals: Sequence[Proposal]) -> list[Trial]:
        """The trials of a generation in order: outcomes from the store, and the rest from the executor."""
        known = self.store.outcomes([key for proposal in proposals for key in proposal.keys])
        replayed = self.take(proposals, known)
        self.replayed += len(replayed)
        if replayed:
            self.store.announce(self.key, replayed)
        self.report()
        missing: dict[str, TrialSpec] = {}
        waiting: dict[
            str, list[Proposal]
        ] = {}  # for that run; a study may be long, so only they are looked at when it ends
        for proposal in proposals:
            for run in proposal.runs:
                if run.key not in known:
                    missing[run.key] = run
                    waiting.setdefault(run.key, []).append(proposal)
        for results in self.executor.run([self.segment(run) for run in missing.values()]):
            came = dict.fromkeys(result.spec.key for result in results)
            touched = list({one.number: one for key in came for one in waiting[key]}.values())
            settled = [one.number for one in touched if all(key in known or key in came for key in one.keys)]
            self.store.put_outcomes(self.key, [_finished(result, self.provenance) for result in results], settled)
            # What a replay will read, in every respect: the order of names in a mapping too.
            known |= self.store.outcomes([result.spec.key for result in results])
            self.take(touched, known)
            self.report()
        return [self.trials[proposal.number] for proposal in proposals]

    def settle(self, proposals: Sequence[Proposal], generation: int) -> list[Trial]:
        """The trials of a generation; where the study says so, hopeless ones stop after few of their runs."""
        best = self.best  # of earlier generations
        if "prune" not in self.plan.spec.runs or best is None:
            return self.complete(proposals)
        race = FoldRace(self.plan.spec, self.key, self.store, self.executor, self.segment, self.finished)
        self.replayed += len(self.store.stopped(self.key, generation))
        stopped = race.run(proposals, generation, best)
        for proposal in proposals:
            if proposal.number in stopped:
                self.keep(proposal, stopped[proposal.number])
        self.complete([proposal for proposal in proposals if proposal.number not in stopped])
        return [self.trials[proposal.number] for proposal in proposals]

    def prune(self, proposals: Sequence[Proposal], generation: int, pruner: Pruner) -> list[Trial]:
        """The same where trials may be stopped at rungs; each decision is stored before training goes on."""
        race = Race(self.plan.spec, self.key, self.store, self.executor, self.finished)
        stopped = race.run(proposals, generation, pruner)
        for proposal, outcome in stopped:
            self.keep(proposal, [outcome])
        self.replayed += race.replayed - len(race.trained)
        self.report()
        going = [proposal for proposal in proposals if proposal.number not in self.trials]
        self.complete(going)
        self.executor.forget()
        trials = [self.trials[proposal.number] for proposal in proposals]
        race.end(trials, pruner)
        return trials

    def take(self, proposals: Iterable[Proposal], known: Mapping[str, TrialOutcome]) -> list[int]:
        """Settles those of these trials whose runs have all ended; their numbers."""
        settled = []
        for proposal in proposals:
            if all(key in known for key in proposal.keys):
                outcomes = [known[key] for key in proposal.keys]
                for outcome in outcomes:
                    _require_objective(self.plan.spec, proposal.number, outcome)
                self.keep(proposal, outcomes)
                settled.append(proposal.number)
        if settled:
            self.refuse_failing()
        return settled

    def keep(self, proposal: Proposal, outcomes: Sequence[TrialOutcome]) -> None:
        """Notes how a trial ended, and whether it is the best so far."""
        trial = self.trials[proposal.number] = Trial.of(self.plan.spec, proposal, outcomes)
        others = [] if self.best is None else [self.best]
        self.best = best_trial([*others, trial], self.plan.spec.objective["direction"])

    def refuse_failing(self) -> None:
        """Ends a study whose first trials have all failed for one reason: the others would most likely do so too.

        Only the outcomes of these trials count, however many others there are by then, so it ends with any number of
        workers, and when it is replayed; one that has ended before goes on as it did. Raises StudyFailed.
        """
        most = self.plan.max_failed
        if most is None or most >= self.plan.trials or self.ended:
            return
        first = [self.trials[number] for number in range(most) if number in self.trials]
        reasons = {trial.why_unranked("") if trial.state == "failed" else None for trial in first}
        reason = reasons.pop() if len(first) == most and len(reasons) == 1 else None
        if reason is not None and not reason.startswith(
            DIVERGED
        ):  # that is of the configurations, and others may do better
            name = self.plan.spec.name
            section = "refinements" if self.plan.spec.refines else "studies"
            raise StudyFailed(
                f"study {name}: its first {most} trials all failed alike: {reason}; the others were not begun. Mend the "
                f"cause, or set {section}.{name}.max_failed_trials to null"
            )

    def segment(self, run: TrialSpec) -> Segment:
        """A run to its end, from where it paused before this process began, if that was kept."""
        kept = self.store.checkpoint(run.key)
        return Segment(run, None, None if kept is None else Checkpoint(kept[1], kept[0]))

    def finished(self, result: Result) -> Finished:
        """A result as the store keeps it."""
        return _finished(result, self.provenance)

    def report(self) -> None:
        self.on_progress(
            Progress(self.plan.spec.name, len(self.trials), self.plan.trials, self.replayed, self.best, self.change)
        )

    def finish(self, cut_off: str | None) -> StudyResult:
        trials = tuple(self.trials[number] for number in sorted(self.trials))
        result = StudyResult(self.plan.spec, trials, self.replayed, cut_off)
        if result.best is not None:
            regain_weights(self.store, self.key, result.best.spec, self.executor, self.provenance)
        before = self.store.finish(self.key)
        summary = summarise_study(result)
        if cut_off is None and before is not None and "cut_off" in before[0]:
            summary["cut_off"] = "no more: it went on to its end"  # a tag of MLflow that was set can only be set again
        self.store.finish_study(self.key, summary)
        return result
