"""Records on their way, several at a time where the place takes that: a server waits for its database and for its disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Record = TypeVar("Record")
Call = Callable[[], object]
Arrived = list[tuple[Record, Exception | None]]


def travel(
    records: Iterable[Record], start: Callable[[Record], Call | None], alone: Callable[[Record], bool], at_once: int
) -> Iterator[Arrived[Record]]:
    """Each record once, in order, with what was raised for it (None: it has arrived); up to `at_once` are under way.

    `start` is called in this thread; what it gives back is called in another one, where records may travel together. One that
    goes `alone` starts when all before it have arrived. A failure is told when nothing is under way, in one list with all that
    were under way with it, so that whoever hears of it may look at what is there.
    """
    under_way: deque[tuple[Record, Future[object]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:  # it has no thread before something is submitted
        for record in records:
            most = 1 if alone(record) else at_once
            while len(under_way) >= most:
                yield _arrived(under_way)
            under_way.append((record, _under_way(record, start, pool if most > 1 else None)))
        while under_way:
            yield _arrived(under_way)


def _under_way(
    record: Record, start: Callable[[Record], Call | None], pool: ThreadPoolExecutor | None
) -> Future[object]:
    done: Future[object] = Future()
    try:
        call = start(record)
        if call is not None and pool is not None:
            return pool.submit(call)
        done.set_result(call() if call is not None else None)
    except Exception as error:  # whatever it is, it is that record's
        done.set_exception(error)
    return done


def _arrived(under_way: deque[tuple[Record, Future[object]]]) -> Arrived[Record]:
    """Takes the first of those under way, or all of them where it failed, when they have come back."""
    first = under_way[0][1]
    taken = [under_way.popleft() for _ in range(1 if first.exception() is None else len(under_way))]
    wait([future for _, future in taken])
    return [(record, _failure(future)) for record, future in taken]


def _failure(future: Future[object]) -> Exception | None:
    """What was raised. Raises what is no Exception, such as Ctrl-C."""
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error
