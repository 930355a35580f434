"""Runs a generation from rung to rung: at each, a pruner decides from all curves, in the order of trials, which trials stop.

A decision is stored, with the outcomes of the trials that it stops, before training goes on. A stored decision is taken
as it is; `verify` decides again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tracker.aggregation import aggregate
from tracker.execution.executor import Executor
from tracker.execution.trainer import Segment
from tracker.goals import excess
from tracker.records import HYPERGRADIENT, Proposal, StudySpec, Timing, Trial, TrialOutcome, run_value, trained_runs
from tracker.sampler_table import SAMPLERS
from tracker.search.pruners import Pruner, Rung, open_pruner
from tracker.search.sampling import Told
from tracker.store.store import Store
from tracker.store.stored import Decision, Finished, paused_slot
from tracker.training.early_stopping import paused_outcome
from tracker.training.loop import Checkpoint, Result


def told(spec: StudySpec, trial: Trial) -> Told:
    """What a sampler hears of a trial; one of several runs has no curve, but the mean so far where it was stopped."""
    curve = curve_of(spec, trial.outcome) if len(trial.outcomes) == 1 else _mean_so_far(spec, trial)
    asked, metrics = spec.training.get("hypergradients", ()), trial.metrics
    beyond = tuple(excess(one, metrics) for one in spec.constraints) if trial.state == "complete" else ()
    slopes = tuple((name, metrics.get(HYPERGRADIENT + name)) for name in asked)
    heard = Told(trial.number, trial.values, curve, trial.state, slopes, beyond)
    return heard.failing if trial.breaks and not SAMPLERS[spec.sampler["name"]].constrained else heard


def _mean_so_far(spec: StudySpec, trial: Trial) -> tuple[tuple[int, float | None], ...]:
    trained = trained_runs(trial.outcomes)
    if trained == len(trial.outcomes):
        return ()
    return ((trained, aggregate([run_value(spec, one) for one in trial.outcomes[:trained]], "mean", "")),)


def curve_of(spec: StudySpec, outcome: TrialOutcome) -> tuple[tuple[int, float | None], ...]:
    """The objective after each epoch, as far as it is known."""
    metric = spec.objective["metric"]
    return tuple((int(row["epoch"]), row.get(metric)) for row in outcome.history)


def rung_rows(spec: StudySpec, running: Mapping[int, TrialOutcome], since: int, until: int | None = None) -> list[Rung]:
    """What a pruner sees of the trials that are not settled: the values of the epochs after `since`, up to `until`."""
    rows = []
    for number, outcome in sorted(running.items()):
        curve = curve_of(spec, outcome)
        values = tuple(point for point in curve if since < point[0] and (until is None or point[0] <= until))
        ended = outcome.state != "paused" and (until is None or outcome.epochs <= until)
        rows.append(Rung(number, values, _ending(outcome) if ended else "running"))
    return rows


def _ending(outcome: TrialOutcome) -> Literal["complete", "failed"]:
    return "complete" if outcome.state == "complete" else "failed"


class Race:
    """One generation on its way through its rungs."""

    def __init__(
        self,
        spec: StudySpec,
        key: str,
        store: Store,
        executor: Executor,
        finished: Callable[[Result], Finished],
    ) -> None:
        self.spec, self.key, self.store, self.executor, self.finished = spec, key, store, executor, finished
        self.replayed = 0
        self.trained: set[int] = set()  # trials that ended by themselves on the way
        self.proposals: dict[int, Proposal] = {}
        self.running: dict[int, TrialOutcome] = {}
        self.paused: dict[str, Finished] = {}
        self.held: set[str] = set()  # runs that wait in the executor
        self.since = 0

    def run(
        self, proposals: Sequence[Proposal], generation: int, pruner: Pruner
    ) -> list[tuple[Proposal, TrialOutcome]]:
        """The trials that were stopped, with their outcomes; those that go on are left to be run to their ends."""
        self.proposals = {proposal.number: proposal for proposal in proposals}
        ended = self.store.outcomes([proposal.spec.key for proposal in proposals])
        logged = self.store.decisions(self.key, generation)
        known_stops = self._known_stops(logged)
        stopped: list[tuple[Proposal, TrialOutcome]] = []
        pruner.begin(list(self.proposals))
        going = dict(self.proposals)
        for epoch in pruner.rungs(self.spec.training["epochs"]):
            going = {number: proposal for number, proposal in going.items() if not self._is_over(number)}
            if not going:
                break
            # Of studies that came from elsewhere only the stops are known: such a trial went on at the rungs before.
            later = {number: False for number, outcome in known_stops.items() if outcome.epochs > epoch}
            known = {**later, **logged.get(epoch, {})}
            self._reach(going, epoch, ended, known_stops)
            rows = rung_rows(self.spec, {number: self.running[number] for number in going}, self.since, epoch)
            decided = pruner.decide(epoch, rows, known)
            self._store(generation, epoch, decided, [n for n in going if n not in decided], known)
            stopped += [(going.pop(number), self.running.pop(number)) for number in decided]
            self.since = epoch
        return stopped

    def end(self, trials: Sequence[Trial], pruner: Pruner) -> None:
        """Tells the pruner how the trials ended that no rung stopped."""
        unsettled = {t.number: t.outcome for t in trials if t.state != "pruned" and not self._is_over(t.number)}
        pruner.end(rung_rows(self.spec, unsettled, self.since))

    def _is_over(self, number: int) -> bool:
        """Whether a trial ended by itself before or at the last rung."""
        outcome = self.running.get(number)
        return outcome is not None and outcome.state != "paused" and outcome.epochs <= self.since

    def _known_stops(self, logged: Mapping[int, Mapping[int, bool]]) -> dict[int, TrialOutcome]:
        """The outcomes of the trials of which it is stored that they were stopped, at whatever rung."""
        slots = {
            paused_slot(self.proposals[number].spec.key, epoch): number
            for epoch, decided in logged.items()
            for number, stops in decided.items()
            if stops and number in self.proposals
        }
        found = {slots[slot]: outcome for slot, outcome in self.store.outcomes(list(slots)).items()}
        self.replayed = len(found)
        return found

    def _reach(
        self,
        going: Mapping[int, Proposal],
        epoch: int,
        ended: dict[str, TrialOutcome],
        known_stops: Mapping[int, TrialOutcome],
    ) -> None:
        """Takes every trial to an epoch, or further: from the store where that knows its curve, else by training."""
        missing = {}
        for number, proposal in going.items():
            if number in known_stops:
                self.running[number] = known_stops[number]
            elif proposal.spec.key in ended:
                self.running[number] = ended[proposal.spec.key]
            elif not self._recall(proposal, epoch):
                missing[proposal.spec.key] = number
        for results in self.executor.run([self._segment(going[number], epoch) for number in missing.values()]):
            done = [result for result in results if result.outcome.state != "paused"]
            if done:
                numbers = [missing[result.spec.key] for result in done]
                self.store.put_outcomes(self.key, [self.finished(result) for result in done], numbers)
                self.trained |= set(numbers)
                ended |= self.store.outcomes([result.spec.key for result in done])
            for result in results:
                self.running[missing[result.spec.key]] = ended.get(result.spec.key, result.outcome)
                self._pause(result)

    def _segment(self, proposal: Proposal, epoch: int) -> Segment:
        kept = self._kept(proposal)
        return Segment(proposal.spec, epoch, None if kept is None else Checkpoint(kept[1], kept[0]))

    def _kept(self, proposal: Proposal) -> tuple[dict[str, Any], bytes] | None:
        """Where a run paused before this process began; what paused here is held by the executor."""
        key = proposal.spec.key
        return None if key in self.held else self.store.checkpoint(key)

    def _recall(self, proposal: Proposal, epoch: int) -> bool:
        """Whether a checkpoint tells the curve up to this epoch: the run had come so far when its process died."""
        kept = self._kept(proposal)
        if kept is None or len(kept[0]["history"]) < epoch:
            return False
        outcome = paused_outcome(proposal.spec.key, kept[0]["history"][:epoch])
        times = tuple(kept[0]["times"][:epoch])
        timing = Timing(times[0], times[-1], times)
        self.paused[proposal.spec.key] = self.finished(Result(proposal.spec, outcome, None, timing))
        self.running[proposal.number] = outcome
        return True

    def _pause(self, result: Result) -> None:
        if result.outcome.state == "paused":
            self.paused[result.spec.key] = self.finished(result)
            self.held.add(result.spec.key)
            if result.checkpoint is not None:
                self.store.put_checkpoint(result.spec.key, result.checkpoint.progress, result.checkpoint.tensors)

    def _store(
        self, generation: int, epoch: int, stopped: Sequence[int], going: Sequence[int], known: Mapping[int, bool]
    ) -> None:
        """Stores what was decided just now, with the outcomes of those that stop, as they were after that epoch."""
        finished = [self._stopped_at(number, epoch) for number in stopped]
        new = [[number for number in numbers if number not in known] for numbers in (stopped, going)]
        decision = Decision(generation, epoch, tuple(new[0]), tuple(new[1])) if new[0] or new[1] else None
        if finished or decision:
            self.store.put_outcomes(self.key, finished, stopped, decision)
        # What a replay will read, in every respect: the order of names in a mapping too.
        stored = self.store.outcomes([one.slot for one in finished])
        self.running.update({n: stored[one.slot] for n, one in zip(stopped, finished, strict=True)})

    def _stopped_at(self, number: int, epoch: int) -> Finished:
        """A trial as it is after an epoch; one that another study ran to its end is cut there."""
        spec, outcome = self.proposals[number].spec, self.running[number]
        paused = self.paused.get(spec.key)
        if paused is not None and paused.outcome is outcome:
            return paused
        slot = paused_slot(spec.key, epoch) if outcome.state == "paused" else spec.key
        timing, provenance = self.store.timing(slot), self.store.provenance(slot)
        times = timing.epochs[:epoch]
        cut = Timing(timing.started, times[-1] if times else timing.ended, times)
        return Finished(spec, paused_outcome(spec.key, outcome.history[:epoch]), cut, None, provenance)


class Decisions:
    """Decides again, generation by generation, what the outcomes of a study say was decided."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._pruner = pruner_of(spec)

    def first_other(self, trials: Sequence[Trial]) -> str | None:
        """Where the pruner decides otherwise about a whole generation; None where it decides as recorded."""
        if self._pruner is None:
            return None
        since, open_trials = 0, {trial.number: trial for trial in trials}
        rungs = self._pruner.rungs(self._spec.training["epochs"])
        for trial in trials:
            if trial.state == "pruned" and trial.outcome.epochs not in rungs:
                return (
                    f"trial {trial.number} stopped after epoch {trial.outcome.epochs}, which is no rung of the pruner"
                )
        self._pruner.begin(list(open_trials))
        for epoch in rungs:
            if not open_trials:
                break
            recorded = {n: t.state == "pruned" and t.outcome.epochs == epoch for n, t in open_trials.items()}
            rows = rung_rows(self._spec, {n: t.outcome for n, t in open_trials.items()}, since, epoch)
            decided = set(self._pruner.decide(epoch, rows))
            for number, stops in recorded.items():
                if stops is not (number in decided):
                    word = "stopped" if stops else "went on"
                    return f"trial {number} {word} after epoch {epoch}, the pruner now decides otherwise"
            ended = {row.number for row in rows if row.state != "running"}
            open_trials = {n: t for n, t in open_trials.items() if n not in decided | ended}
            since = epoch
        self._pruner.end(rung_rows(self._spec, {n: t.outcome for n, t in open_trials.items()}, since))
        return None


def pruner_of(spec: StudySpec) -> Pruner | None:
    """The pruner of a study at its beginning; None where it has none."""
    if not spec.pruner:
        return None
    return open_pruner(spec.pruner, spec.objective["direction"], spec.name, spec.training["epochs"])
