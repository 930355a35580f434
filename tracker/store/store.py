"""The durable truth: what studies proposed and what came of it, and what of that still has to reach MLflow.

Nothing stored is ever changed: storing the same again is fine, storing something else under the same key is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tracker.canonical import digest
from tracker.durable import lock_file, make_folder
from tracker.errors import NotFoundError, ReplayError, StoreCorrupt
from tracker.records import (
    Proposal,
    StudySpec,
    Timing,
    TrialOutcome,
    TrialSpec,
    data_identity,
    record_from,
    record_json,
)
from tracker.store.conflicts import refuse_other_environment, refuse_other_outcome, refuse_other_proposal
from tracker.store.database import Database, Row, Writer
from tracker.store.queue import (
    Item,
    item_of,
    numbered,
    queue_finish,
    queue_study,
    queue_trial,
    trial_name,
)
from tracker.store.results import Results
from tracker.store.stored import Decision, Finished, StoredTrial, slots_of
from tracker.store.weights import CheckpointFiles, WeightFiles

FILE = "store.db"
Record = TypeVar("Record")


class Store(Results):
    """The folder `.tracker/`: `store.db`, `weights/`, `locks/`. One thread of one process uses a Store."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        make_folder(folder)
        self._clock = clock
        self._database = Database(folder / FILE)
        self._weights = WeightFiles(folder / "weights")
        self._checkpoints = CheckpointFiles(folder / "checkpoints")

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], float] = time.time) -> Store:
        """Opens the store of a folder, creating it the first time. Raises StoreError, StoreCorrupt."""
        return cls(folder, clock)

    @classmethod
    @contextmanager
    def opened_if_there(cls, folder: Path) -> Iterator[Store | None]:
        """The store of a folder, to read; None where there is none, and none is made. Raises StoreError, StoreCorrupt."""
        with cls.open(folder) if (folder / FILE).is_file() else nullcontext() as store:
            yield store

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database file."""
        self._database.close()

    def check(self) -> int:
        """Reads every row against its digest and every kept weights file; the number of rows. Raises StoreCorrupt."""
        rows = self._database.check()
        self.check_weights()
        return rows

    def check_weights(self) -> int:
        """Reads every kept weights file against its digest; how many. Raises StoreCorrupt."""
        return sum(bool(self._weights.read(weights)) for weights in self._weights.kept())

    def together(self) -> AbstractContextManager[object]:
        """All that is put inside is kept in one transaction, or nothing of it; weights are files under their digests."""
        return self._database.writing()

    def put_study(self, spec: StudySpec, provenance: Mapping[str, Any], at: float | None = None) -> str:
        """Stores a study, once, and queues its start; its key. The first provenance and time (`at`, or now) stay."""
        key = spec.key
        if self._database.get("studies", [key]):
            return key
        with self._database.writing() as writer:
            writer.insert("studies", key, {"spec": record_json(spec), "created": self._time(at)}, spec.name)
            writer.insert("attempts", key, {"timing": None, "provenance": _put_provenance(writer, provenance)})
            queue_study(writer, key)
        return key

    def study(self, key: str) -> StudySpec:
        """The study of a key. Raises NotFoundError."""
        return self._record(StudySpec, "studies", row := self._study_row(key), row.value["spec"])

    def studies(self, name: str | None = None) -> list[tuple[str, StudySpec]]:
        """Keys and specs of all studies, or those of one name, newest first."""
        rows = self._database.rows("studies") if name is None else self._database.get("studies", [name], "ref")
        rows.sort(key=lambda row: -row.place)
        return [(row.key, self._record(StudySpec, "studies", row, row.value["spec"])) for row in rows]

    def created(self, key: str) -> float:
        """When a study was first stored (Unix seconds)."""
        return float(self._study_row(key).value["created"])

    def _study_row(self, key: str) -> Row:
        rows = self._database.get("studies", [key])
        if not rows:
            raise NotFoundError(f"no study with key {key} in {self.folder}; run `tracker tune` first")
        return rows[0]

    def put_proposals(self, study_key: str, proposals: Sequence[Proposal]) -> None:
        """Stores proposals in one durable transaction. Raises ReplayError where another one has the same number."""
        present = {row.key: row for row in self._database.get("proposals", [_slot(study_key, p) for p in proposals])}
        for proposal in proposals:
            if row := present.get(_slot(study_key, proposal)):
                refuse_other_proposal(proposal, self._record(Proposal, "proposals", row))
        missing = [proposal for proposal in proposals if _slot(study_key, proposal) not in present]
        if not missing:
            return
        with self._database.writing() as writer:
            for proposal in missing:
                slot = _slot(study_key, proposal)
                if not writer.insert("proposals", slot, record_json(proposal), proposal.spec.key):
                    raise ReplayError(f"trial {proposal.number}: another command proposed at the same time; run again")
                for place, key in enumerate(proposal.keys[1:], start=1):
                    writer.insert("runs", f"{slot}/{place:04d}", {}, key)

    def proposals(self, study_key: str) -> list[Proposal]:
        """The proposals of a study in the order of their numbers."""
        return [self._record(Proposal, "proposals", row) for row in self._database.rows("proposals", f"{study_key}/")]

    def proposal(self, study_key: str, number: int) -> Proposal:
        """One proposal of a study. Raises NotFoundError."""
        rows = self._database.get("proposals", [numbered(study_key, number)])
        if not rows:
            raise NotFoundError(f"study {study_key} has no trial {number}")
        return self._record(Proposal, "proposals", rows[0])

    def spec(self, key: str) -> TrialSpec:
        """The spec of a run's key that some study proposed. Raises NotFoundError."""
        rows = self._database.get("proposals", [key], "ref")
        if not rows:
            slots = [row.key.rpartition("/")[0] for row in self._database.get("runs", [key], "ref")]
            rows = self._database.get("proposals", slots[:1])
        if not rows:
            raise NotFoundError(f"no study in {self.folder} proposed a trial with the key {key}")
        return next(run for run in self._record(Proposal, "proposals", rows[0]).runs if run.key == key)

    def trial(self, study_key: str, number: int) -> StoredTrial:
        """A trial that has been settled: ended, or stopped at a rung. Raises NotFoundError."""
        proposal = self.proposal(study_key, number)
        epoch = self.stopped(study_key, proposal.generation).get(number)
        slots = slots_of(proposal, epoch)
        if len(found := self.outcomes(slots)) < len(set(slots)):
            raise NotFoundError(f"trial {number} of study {study_key[:12]} has no outcome yet")
        return StoredTrial(
            proposal,
            tuple(found[slot] for slot in slots),
            tuple(self.timing(slot) for slot in slots),
            tuple(self.provenance(slot) for slot in slots),
        )

    def decisions(self, study_key: str, generation: int) -> dict[int, dict[int, bool]]:
        """What was decided of a generation: by epoch, whether a trial (by its number) was stopped."""
        found: dict[int, dict[int, bool]] = {}
        for row in self._database.rows("rungs", f"{numbered(study_key, generation)}/"):
            decided = found.setdefault(int(row.value["epoch"]), {})
            decided |= dict.fromkeys(row.value["going"], False) | dict.fromkeys(row.value["stopped"], True)
        return found

    def stopped(self, study_key: str, generation: int) -> dict[int, int]:
        """After which epoch trials of a generation were stopped, by their number."""
        decisions = self.decisions(study_key, generation)
        return {number: epoch for epoch, decided in decisions.items() for number, stops in decided.items() if stops}

    def put_outcomes(
        self, study_key: str, finished: Sequence[Finished], settled: Sequence[int] = (), rung: Decision | None = None
    ) -> None:
        """Stores weights, then in one transaction all outcomes and the decision of a rung, and queues `settled` trials.

        The same again is fine; raises ReplayError when a key already has another outcome, EnvironmentChanged when one was
        computed in another environment than its spec says.
        """
        by_slot = {one.slot: one for one in finished}
        for one in finished:
            refuse_other_environment(one)
            if by_slot[one.slot] is not one:
                refuse_other_outcome(one.outcome, by_slot[one.slot].outcome)
        present = {row.key: row for row in self._database.get("outcomes", list(by_slot))}
        for slot, row in present.items():
            refuse_other_outcome(by_slot[slot].outcome, self._record(TrialOutcome, "outcomes", row))
        new = None if rung is None else self._undecided(study_key, rung)
        pairs = [(one.outcome.weights, one.weights) for one in finished]
        self._weights.write({name: content for name, content in pairs if name and content})
        with self._database.writing() as writer:
            for slot, one in by_slot.items():
                if slot not in present:
                    self._insert_outcome(writer, slot, one)
            if new is not None:
                # Of a generation that grew, and of decisions that came from elsewhere, what is new has a row of its own.
                first = min((*new.stopped, *new.going))
                key = f"{numbered(study_key, new.generation)}/{new.epoch:08d}/{first:08d}"
                writer.insert(
                    "rungs", key, {"epoch": new.epoch, "stopped": list(new.stopped), "going": list(new.going)}
                )
            for number in sorted(settled):
                queue_trial(writer, study_key, number)
        self._checkpoints.drop({one.spec.key for one in finished})

    def _undecided(self, study_key: str, rung: Decision) -> Decision | None:
        """What of a decision is not stored yet. Raises ReplayError where it contradicts what is."""
        known = self.decisions(study_key, rung.generation).get(rung.epoch, {})
        given = dict.fromkeys(rung.going, False) | dict.fromkeys(rung.stopped, True)
        if others := sorted(number for number in given.keys() & known.keys() if given[number] is not known[number]):
            raise ReplayError(
                f"trial {others[0]}, epoch {rung.epoch}: whether it stops there was decided otherwise before; what is stored "
                "stays. Use the library versions that the study was begun with, or give it a new name"
            )
        parts = [[number for number in numbers if number not in known] for numbers in (rung.stopped, rung.going)]
        return Decision(rung.generation, rung.epoch, tuple(parts[0]), tuple(parts[1])) if parts[0] or parts[1] else None

    def _insert_outcome(self, writer: Writer, slot: str, one: Finished) -> None:
        if not writer.insert("outcomes", slot, record_json(one.outcome)):
            rows = self._database.get("outcomes", [slot])
            refuse_other_outcome(one.outcome, self._record(TrialOutcome, "outcomes", rows[0]))
        attempt = {"timing": record_json(one.timing), "provenance": _put_provenance(writer, one.provenance)}
        writer.insert("attempts", slot, attempt)

    def put_checkpoint(self, key: str, progress: Mapping[str, Any], tensors: bytes) -> None:
        """Keeps where a run paused, until it has ended; an older checkpoint of it is replaced."""
        self._checkpoints.write(key, progress, tensors)

    def checkpoint(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """What `put_checkpoint` kept last; None where there is nothing whole: the run then begins again."""
        return self._checkpoints.read(key)

    def announce(self, study_key: str, numbers: Sequence[int]) -> None:
        """Queues trials whose outcomes were taken from the store; those queued before stay as they are."""
        names = {trial_name(study_key, number): number for number in numbers}
        present = {row.key for row in self._database.get("outbox", list(names))}
        missing = [number for name, number in names.items() if name not in present]
        if missing:
            with self._database.writing() as writer:
                for number in missing:
                    queue_trial(writer, study_key, number)

    def outcomes(self, keys: Sequence[str]) -> dict[str, TrialOutcome]:
        """The outcomes of those keys that have one: keys of runs, or of stopped runs (`paused_slot`)."""
        rows = self._database.get("outcomes", list(dict.fromkeys(keys)))
        return {row.key: self._record(TrialOutcome, "outcomes", row) for row in rows}

    def timing(self, key: str) -> Timing:
        """When a run ran, by the key of its outcome. Raises NotFoundError."""
        row = self._attempt(key)
        if row.value["timing"] is None:
            raise NotFoundError(f"{key} is a study; only trials have a timing")
        return self._record(Timing, "attempts", row, row.value["timing"])

    def provenance(self, key: str) -> dict[str, Any]:
        """What a run (by the key of its outcome) or a study (by its key) was computed with. Raises NotFoundError."""
        name = self._attempt(key).value["provenance"]
        rows = self._database.get("provenances", [name])
        if not rows:
            raise StoreCorrupt(f"{self.folder / FILE}: provenance {name} is gone; restore the file from a copy")
        return dict(rows[0].value)

    def _attempt(self, key: str) -> Row:
        if not (rows := self._database.get("attempts", [key])):
            raise NotFoundError(f"nothing in {self.folder} has the key {key}")
        return rows[0]

    def weights(self, digest: str) -> bytes:
        """The safetensors bytes of a digest, checked. Raises StoreError, StoreCorrupt."""
        return self._weights.read(digest)

    def has_weights(self, digest: str) -> bool:
        """Whether the weights of a digest are kept (their content is checked when they are read)."""
        return self._weights.path(digest).is_file()

    def put_serving(self, data: Mapping[str, str], serving: Mapping[str, Any]) -> None:
        """Stores what models trained on `data` (a spec's digests) need to read raw rows.

        `serving` holds `labels`, `positive`, `columns` (name, kind), `preprocessing` (the fitted state) and `example`
        (a few raw rows as mappings). Without it trials reach MLflow without a model.
        """
        self._put_once("serving", digest("serving", data_identity(data)), serving)

    def serving(self, data: Mapping[str, str]) -> dict[str, Any] | None:
        """What `put_serving` stored for this data, None if nothing."""
        return next(
            (row.value for row in self._database.get("serving", [digest("serving", data_identity(data))])), None
        )

    def finish_study(self, study_key: str, summary: Mapping[str, Any], at: float | None = None) -> None:
        """Stores a study's summary (`number`, `value` of its best trial, `trials`); queues its end, if it changed.

        Checkpoints of runs that have ended go, too: a process that was killed may have left some.
        """
        self._checkpoints.drop([key for key in self._checkpoints.kept() if self._database.rows("outcomes", key)])
        rows = self._database.rows("finishes", f"{study_key}/")
        if rows and rows[-1].value["summary"] == dict(summary):
            return
        with self._database.writing() as writer:
            value = {"summary": dict(summary), "ended": self._time(at)}
            writer.insert("finishes", numbered(study_key, len(rows)), value)
            queue_finish(writer, study_key, len(rows))

    def finish(self, study_key: str) -> tuple[dict[str, Any], float] | None:
        """The last summary of a study and when it was stored; None while it runs for the first time."""
        rows = self._database.rows("finishes", f"{study_key}/")
        return (rows[-1].value["summary"], rows[-1].value["ended"]) if rows else None

    def put_selftest(self, environment: str, family: str, passed: bool) -> None:
        """Stores whether lanes equal solo training in this environment; the last word counts."""
        rows = self._database.rows("selftests", f"{environment}/{family}/")
        if rows and rows[-1].value == passed:
            return
        with self._database.writing() as writer:
            writer.insert("selftests", f"{environment}/{family}/{len(rows):08d}", passed)

    def selftest(self, environment: str, family: str) -> bool | None:
        """The last self-test of a family in an environment; None if there was none."""
        rows = self._database.rows("selftests", f"{environment}/{family}/")
        return rows[-1].value if rows else None

    def items(self, after: int = 0) -> list[Item]:
        """What must reach MLflow, in the order in which it was queued, from behind the place `after` on."""
        rows = sorted(self._database.rows("outbox", after=after), key=lambda row: row.place)
        return [item_of(row) for row in rows]

    def _record(self, kind: type[Record], table: str, row: Row, value: Mapping[str, Any] | None = None) -> Record:
        """The record of a row. Raises StoreCorrupt, naming the row, for one that is none."""
        try:
            return record_from(kind, row.value if value is None else value)
        except (ValueError, TypeError) as error:
            raise self._database.damaged(table, row.key, f"no sound record ({error})") from None

    def lock(self, name: str, wait_s: float) -> AbstractContextManager[None]:
        """Holds a lock between processes, freed by the kernel if the holder dies. Raises StoreBusy after `wait_s`."""
        return lock_file(self.folder / "locks", name, wait_s)


def _slot(study_key: str, proposal: Proposal) -> str:
    return numbered(study_key, proposal.number)


def _put_provenance(writer: Writer, provenance: Mapping[str, Any]) -> str:
    key = digest("provenance", dict(provenance))
    writer.insert("provenances", key, dict(provenance))
    return key
