"""Whatever happens in whatever order: each record of the store is one whole run there, once it could be delivered.

A machine takes random steps over a real store, real deliveries and recorders in memory: studies run, are extended, shrunk and
extended again; deliverers take turns, fail, are killed; other machines create the same runs; runs are deleted there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.tracking.studies import DATA, PROVENANCE, SERVING, finished, proposal, settle, study_spec
from tracker.canonical import canonical_json, digest, digest_bytes, parse_canonical
from tracker.records import Proposal
from tracker.store.store import Store
from tracker.tracking.delivery import Delivery
from tracker.tracking.memory_recorder import MemoryRecorder, MemoryRun
from tracker.tracking.report import Delivered
from tracker.tracking.run_contents import RECORD_TAG, Run, final_run, study_run, trial_run

DELIVERERS = (("here", 0), ("here", 1), ("there", 0))  # two of one destination: another process delivers too
SHM = "/dev/shm"  # memory, where there is such a folder: this is about the order of things, not about disks
NEXT = (1, 0, 2)  # who delivers to the same destination
KILLED = "killed"
KINDS_THERE = ("study", "trial", "final")
NAMES = st.sampled_from(["here", "there"])
Identity = tuple[str, ...]
Fault = tuple[str, int, bool]  # what it is, after how many calls, whether only the answer is lost
Attempt = tuple[int, bool, Fault | None]  # who delivers, whether all is compared first, what fails
FAULTS = st.tuples(st.sampled_from(["refuse", "refuse", "kill", "away"]), st.integers(0, 9), st.booleans())
ATTEMPTS = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.none() | FAULTS), max_size=3)


class Killed(BaseException):
    """The process is gone in the middle of a call."""


class Deliverer:
    """A delivery process: a store of its own over the common folder."""

    def __init__(self, folder: Path, recorder: MemoryRecorder) -> None:
        self.folder, self.recorder = folder, recorder
        self.start()

    def start(self) -> None:
        self.store = Store.open(self.folder)
        self.delivery = Delivery(self.store, self.recorder, "none")

    def stop(self) -> None:
        self.delivery.__exit__(None, None, None)
        self.store.close()

    def deliver(self, compare: tuple[str, ...] | None) -> Delivered:
        try:
            return self.delivery.deliver(compare)
        except Killed:
            self.stop()
            self.start()
            return Delivered(0, -1, KILLED)


def identity(run: MemoryRun) -> Identity:
    """What a run is of: a study, a trial, or a trial's result on test rows."""
    names = ("kind", "study_key", "trial") if run.tags["tracker.kind"] != "final" else ("kind", "key", "test_digest")
    return tuple(run.tags.get(f"tracker.{name}", "") for name in names)


class ExactlyOnce(RuleBasedStateMachine):
    """What the store was told is remembered here, and what the recorders then have is compared with it."""

    @initialize(trials=st.integers(1, 3), ends=st.booleans(), attempts=ATTEMPTS)
    def begin(self, trials: int, ends: bool, attempts: list[Attempt]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tracker-test-", dir=SHM if os.access(SHM, os.W_OK) else None))
        seconds = count(1_700_000_000)
        self.store = Store.open(self.folder, lambda: float(next(seconds)))
        self.store.put_serving(DATA, SERVING)
        self.key = self.store.put_study(study_spec(), PROVENANCE)
        self.trials: list[Proposal] = []
        self.last_end: dict[str, Any] | None = None
        self.finals: dict[Identity, list[dict[str, Any]]] = {}
        self.recorders = {name: MemoryRecorder(name, page=3) for name, _ in DELIVERERS}
        self.deliverers = [Deliverer(self.folder, self.recorders[name]) for name, _ in DELIVERERS]
        self.touched = dict.fromkeys(self.recorders, False)  # by somebody else, since all was compared
        self.run(trials, ends, attempts)

    def teardown(self) -> None:
        for deliverer in getattr(self, "deliverers", ()):
            deliverer.stop()
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    @rule(trials=st.integers(1, 3), ends=st.booleans(), attempts=ATTEMPTS)
    def run(self, trials: int, ends: bool, attempts: list[Attempt]) -> None:
        """A study is begun or extended by a generation and, maybe, reaches its end; deliverers take turns."""
        first = len(self.trials)
        planned = [proposal(first + number) for number in range(trials)]
        self.store.put_proposals(self.key, planned)
        settle(self.store, self.key, planned, weights=None)
        self.trials += planned
        if ends:
            self.end(1.0, [])
        self.attempt(attempts)

    @precondition(lambda self: self.trials)
    @rule(share=st.sampled_from([0.5, 1.0]), attempts=ATTEMPTS)
    def end(self, share: float, attempts: list[Attempt]) -> None:
        """The study ends with all its trials or, made shorter, with some of them; it may have ended so before."""
        trials = max(1, round(share * len(self.trials)))
        self.last_end = {"best_trial": trials - 1, "best_value": trials / 100, "trials": trials}
        self.store.finish_study(self.key, self.last_end)
        self.attempt(attempts)

    @precondition(lambda self: self.trials)
    @rule(which=st.integers(0, 2), looks=st.integers(1, 2), attempts=ATTEMPTS)
    def choose(self, which: int, looks: int, attempts: list[Attempt]) -> None:
        """A trial's final result; a restored one counts other looks and is the same result."""
        key = self.trials[which % len(self.trials)].spec.key
        final = {"study": "tpe", "trial": 0, "key": key, "test_digest": "7" * 64, "looks": looks}
        self.store.put_final(final)
        self.finals.setdefault(("final", key, "7" * 64), []).append(final)
        self.attempt(attempts)

    @rule(attempts=ATTEMPTS)
    def attempt(self, attempts: list[Attempt]) -> None:
        """Deliverers take turns; one that failed tries again, after one that was killed another one goes on."""
        for who, everything, fault in attempts:
            report = self.deliver(who, everything, fault)
            if report.problem is not None:
                self.deliver(NEXT[who] if report.problem == KILLED else who, False, None)

    def deliver(self, who: int, everything: bool, fault: Fault | None) -> Delivered:
        """One delivery, with a fault or without; what is then said to be delivered is looked at."""
        name, recorder = DELIVERERS[who][0], self.recorders[DELIVERERS[who][0]]
        if fault is not None:
            kind, after, lost = fault
            recorder.away = kind == "away"
            recorder.fail(after, Killed() if kind == "kill" else None, answer_lost=lost)
        ended = self.ended(name)
        report = self.deliverers[who].deliver(None if everything else ())
        recorder.recover()
        if report.problem is None:
            self.touched[name] = self.touched[name] and not everything
            assert report.waiting == 0
            if not self.touched[name]:
                self.check(name, ended)
        return report

    @rule(name=NAMES, which=st.integers(0, 5), whole=st.booleans(), attempts=ATTEMPTS)
    def twin(self, name: str, which: int, whole: bool, attempts: list[Attempt]) -> None:
        """Another machine creates a run that this one has or will have, and completes it or not."""
        runs, recorder = self.described(), self.recorders[name]
        run = runs[which % len(runs)]
        tags = {place: value for place, value in run.tags.items() if place != RECORD_TAG}
        made = recorder.create(replace(run, tags=tags), None)
        if whole:
            with recorder.files(made) as folder:
                for place, content in run.files.items():
                    (folder / place).write_bytes(content)
            recorder.fill(made, run)
            if run.status != "RUNNING":
                recorder.end(made, run)
        self.touched[name] = True
        self.attempt(attempts)

    @rule(name=NAMES, which=st.integers(0, 5), attempts=ATTEMPTS)
    def delete(self, name: str, which: int, attempts: list[Attempt]) -> None:
        """A user deletes a run there."""
        recorder = self.recorders[name]
        if runs := recorder.runs():
            wanted = runs[which % len(runs)].run_id
            everything = [found for kind in KINDS_THERE for found in recorder.search("tracker.kind", kind)]
            recorder.delete(next(found for found in everything if found.run_id == wanted))
            self.touched[name] = True
        self.attempt(attempts)

    @invariant()
    def no_two_ended(self) -> None:
        """Where nobody else touched anything, no record has two runs that ended, not even in between."""
        for name, recorder in getattr(self, "recorders", {}).items():
            there = [identity(run) for run in recorder.runs() if run.status != "RUNNING"]
            assert self.touched[name] or sorted(set(there)) == sorted(there)

    def described(self) -> list[Run]:
        """Every run that the store's records come to, ends of studies aside."""
        trials = [trial_run(self.store, self.key, one.number) for one in self.trials]
        finals = [final_run(self.store, digest("final", final)) for final in self.store.finals()]
        return [study_run(self.store, self.key), *trials, *finals]

    def ended(self, name: str) -> dict[Identity, set[str]]:
        """The runs that have ended, by what they are of."""
        found: dict[Identity, set[str]] = {}
        for run in self.recorders[name].runs():
            if run.status != "RUNNING":
                found.setdefault(identity(run), set()).add(run.run_id)
        return found

    def check(self, name: str, ended: dict[Identity, set[str]]) -> None:
        """Each record is one run, none is of anything else, each is whole; of twins one that had ended stayed."""
        runs = self.recorders[name].runs()
        by_identity = {identity(run): run for run in runs}
        trials = {("trial", self.key, str(one.number)): one for one in self.trials}
        wanted = {("study", self.key, "")} | trials.keys() | self.finals.keys()
        assert sorted(wanted) == sorted(identity(run) for run in runs)
        for what, before in ended.items():
            assert by_identity[what].run_id in before, what
        for what, planned in trials.items():
            self.check_trial(by_identity[what], planned)
        self.check_study(by_identity["study", self.key, ""])
        for what, finals in self.finals.items():
            run = by_identity[what]
            assert (run.status, parse_canonical(run.files["final.json"]) in finals) == ("FINISHED", True)

    def check_trial(self, run: MemoryRun, planned: Proposal) -> None:
        outcome = finished(planned, weights=None).outcome
        described = trial_run(self.store, self.key, planned.number)
        assert (run.status, run.end_ms, run.params) == ("FINISHED", described.end_ms, described.params)
        assert {*run.points} == {*described.points}
        assert described.tags.items() <= run.tags.items()
        assert digest_bytes(run.files["record.json"]) == run.tags["tracker.record"]
        assert parse_canonical(run.files["record.json"])["runs"][0]["outcome"]["predictions"] == outcome.predictions

    def check_study(self, run: MemoryRun) -> None:
        end, described = self.last_end, study_run(self.store, self.key)
        pictures = {name for name in run.files if name.startswith("figures/")}
        files = {name: content for name, content in run.files.items() if name not in pictures}
        assert (run.status, files) == ("FINISHED" if end else "RUNNING", described.files)
        assert pictures == ({"figures/optimisation_history.svg"} if end else set())
        assert described.tags.items() <= run.tags.items()
        assert run.params == described.params
        if end is not None:
            assert run.tags["tracker.finish"] == digest("finish", end)
            newest = max(point.time_ms for point in run.points)
            shown = {point.name: point.value for point in run.points if point.time_ms == newest}
            assert canonical_json(shown) == canonical_json({name: float(value) for name, value in end.items()})


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(
    max_examples=100,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
