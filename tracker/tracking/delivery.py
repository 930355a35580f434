"""Takes what waits in the outbox to MLflow, each record exactly once, whatever was interrupted before."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tracker.errors import TrackerError
from tracker.store.queue import Item
from tracker.store.store import Store
from tracker.tracking.convoy import Call, travel
from tracker.tracking.delivered import DeliveredItems
from tracker.tracking.front import dress
from tracker.tracking.kinds import KINDS, kind_of
from tracker.tracking.pace import Pace
from tracker.tracking.presence import Presence
from tracker.tracking.project_files import ProjectFiles
from tracker.tracking.recorder import Recorder
from tracker.tracking.report import Delivered, Policy
from tracker.tracking.run_models import RunModels
from tracker.tracking.transport import Transport

LOCK_S = 600.0
DRESSED = "dressed"  # among the names of what has reached the place: views and notes show it all, but for
UNDRESSED = "undressed "  # with a study's key or a result's digest: something came for it since
TUNED = "tuned "  # with the key of a study that was tuned since
DOUBT = "doubt "  # with the name of a record and the second in which a call about it failed: among these names, too
DOUBT_S = 120.0  # for so long a server may still do what it was asked to, though its client gave up waiting


class Delivery:
    """One store on its way to one recorder. Several may exist; a lock lets one at a time deliver."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        policy: Policy,
        progress: Callable[[int, int], None] | None = None,
        files: ProjectFiles | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._presence = Presence(recorder)
        self._progress = progress or (lambda _delivered, _waiting: None)
        self._log = DeliveredItems(store.folder, recorder.destination, uuid.uuid4().hex)
        self._items: list[Item] = []
        self._delivered = 0
        self._stack = ExitStack()
        scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tracker-"))
        self._transport = Transport(store, recorder, self._presence, RunModels(store, policy, Path(scratch)), files)
        self._tuned: list[str] = []
        self._restores = False
        self._pace = pace or Pace()

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def deliver(self, compare: Collection[str] | None = (), *, hurry: bool = True) -> Delivered:
        """Delivers what waits; studies in `compare` (None: everything) are first compared with what MLflow really has.

        Without `hurry` views and notes come at their pace, so maybe with a later delivery. Never raises for a server that is
        away or refuses: the report says how much waits and why.
        """
        problem: str | None
        try:
            with self._store.lock(f"outbox-{self._recorder.destination}", LOCK_S):
                self._catch_up()
                problem = self._deliver_locked(compare, hurry)
        except TrackerError as error:
            problem = str(error)
        return Delivered(self._delivered, len(self._waiting()), problem)

    def _catch_up(self) -> None:
        if self._log.refresh():  # somebody else delivered: what we know of MLflow is old
            self._presence.forget()
        self._log.claim()
        self._items.extend(self._store.items(self._items[-1].place if self._items else 0))

    def _deliver_locked(self, compare: Collection[str] | None, hurry: bool) -> str | None:
        chosen = {item.subject for item in self._items} if compare is None else set(compare)
        if not chosen and not self._waiting() and self._is_settled():
            return None
        self._recorder.connect()
        for subject in chosen:
            self._presence.forget(subject)
        problem, self._restores = None, compare is None
        self._tuned += compare or ()
        if compare is None:
            self._log.forget([DRESSED])
        else:
            self._log.add([mark + subject for subject in chosen for mark in (TUNED, UNDRESSED)])
        for item in self._items:
            if item.subject in chosen:
                problem = self._attempt(item, self._compare) or problem
        waiting = self._waiting()
        self._log.add({UNDRESSED + item.subject for item in waiting if item.number is None})
        problem = self._deliver_all(waiting) or problem
        if not self._is_dressed() and (hurry or self._pace.is_due()):
            self._dress(is_whole=problem is None)
        self._settle_doubts()
        return problem

    def _dress(self, is_whole: bool) -> None:
        """Views and notes of what came since they were written; what was refused, or is not whole, is tried again."""
        fresh, tuned = self._marked(UNDRESSED), self._marked(TUNED)
        with self._pace:
            in_turn = [*sorted(tuned), *self._tuned]
            refused = dress(self._transport, in_turn, fresh if DRESSED in self._log.names else None)
        if is_whole:
            self._log.add([DRESSED, *(UNDRESSED + subject for subject in refused)])
            self._log.forget([*(UNDRESSED + subject for subject in fresh - refused), *(TUNED + key for key in tuned)])

    def _deliver_all(self, waiting: Sequence[Item]) -> str | None:
        """Why the last one that was refused was; trials travel together. Raises TrackingError when the server is away."""
        problem, left = None, len(waiting)
        for arrived in travel(waiting, self._start, self._goes_alone, self._recorder.at_once):
            left -= len(arrived)
            if names := [item.name for item, failure in arrived if failure is None]:
                self._log.add(names)
                self._delivered += len(names)
                self._progress(self._delivered, left)
            if failed := [(item, failure) for item, failure in arrived if failure is not None]:
                problem = self._refused(failed)
        return problem

    def _start(self, item: Item) -> Call | None:
        return kind_of(item).deliver(self._transport, item)

    def _goes_alone(self, item: Item) -> bool:
        return item.kind not in KINDS or KINDS[item.kind].alone

    def _compare(self, item: Item) -> None:
        there = kind_of(item).is_there(self._transport, item)
        # Of what was just tuned, runs that somebody deleted stay deleted; to compare everything brings them back.
        there = there or (not self._restores and self._transport.was_deleted(item))
        (self._log.add if there else self._log.forget)([item.name])

    def _attempt(self, item: Item, work: Callable[[Item], None]) -> str | None:
        """Why an item was refused, whatever was raised: it alone waits, and what is behind it goes on.

        Raises TrackingError when the server is away.
        """
        try:
            work(item)
        except Exception as error:
            return self._refused([(item, error)])
        return None

    def _refused(self, failed: Sequence[tuple[Item, Exception]]) -> str:
        """Why the last of items was refused; that they failed is noted, of all before a server that is away is told."""
        for item, _ in failed:
            self._presence.forget(item.subject)  # it failed half-way: whether its run exists is asked again
            self._log.forget([mark for mark, name, _ in self._doubts() if name == item.name])
            self._log.add([f"{DOUBT}{item.name} {time.time():.0f}"])
        self._recorder.reach()
        item, error = failed[-1]
        if isinstance(error, TrackerError):
            return str(error)
        return f"record {item.name}: {type(error).__name__}: {error}"  # no check foresaw it; the others go on

    def _doubts(self) -> Iterator[tuple[str, str, float]]:
        """Of each record about which a call failed: how that is noted, its name, and when."""
        for rest in sorted(self._marked(DOUBT)):
            name, _, since = rest.rpartition(" ")
            yield DOUBT + rest, name, float(since) if since.isdigit() else 0.0

    def _settle_doubts(self) -> None:
        """Looks again for what failed once all is there: a run that was made late is there twice, and one of them goes.

        A server that is slow, or a database whose server was killed, may make a run after it was searched for in vain.
        """
        items, looked = {item.name: item for item in self._items}, set[str]()
        with contextlib.suppress(TrackerError):  # what cannot be looked for now is the next delivery's
            for mark, name, since in list(self._doubts()):
                item = items.get(name)
                if item is not None and item.subject not in looked:
                    self._presence.forget(item.subject)
                    kind_of(item).is_there(self._transport, item)
                    looked.add(item.subject)
                if item is None or time.time() - since > DOUBT_S:
                    self._log.forget([mark])

    def _is_dressed(self) -> bool:
        """Whether views and notes show all that has come; a study's start and end, and a final result, change them."""
        return not self._items or (DRESSED in self._log.names and not self._marked(UNDRESSED))

    def _is_settled(self) -> bool:
        return self._is_dressed() and next(self._doubts(), None) is None

    def _marked(self, mark: str) -> set[str]:
        """What bears a mark among the names of what has reached the place."""
        return {name.removeprefix(mark) for name in self._log.names if name.startswith(mark)}

    def _waiting(self) -> list[Item]:
        return [item for item in self._items if item.name not in self._log.names]
