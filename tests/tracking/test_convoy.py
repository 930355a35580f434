"""Records travel together: as many as may are under way, none beside one that goes alone, and no failure is told too early."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tracker.tracking.convoy import travel

BROKEN = ValueError("broken")
TOGETHER = 3


def test_as_many_as_may_are_under_way_together() -> None:
    """No call returns before as many are under way: one after the other would wait for ever. They arrive in order."""
    meet = threading.Barrier(TOGETHER)
    arrived = list(travel(range(6), lambda _: lambda: meet.wait(30), lambda _: False, TOGETHER))
    assert [[(number, None)] for number in range(6)] == arrived


def test_one_that_goes_alone_has_nothing_beside_it() -> None:
    """What was before it has arrived when it starts, and what is behind it starts when it has arrived."""
    done: list[int] = []

    def start(number: int) -> Callable[[], None]:
        if number == 2:
            assert [0, 1] == sorted(done)
        if number > 2:
            assert 2 in done
        return lambda: done.append(number)

    arrived = list(travel(range(5), start, lambda number: number == 2, TOGETHER))
    assert [[(number, None)] for number in range(5)] == arrived


def test_a_failure_is_told_when_nothing_is_under_way() -> None:
    """It comes in one list with what travelled with it, though that arrives later; the rest goes on."""
    gate, done = threading.Event(), list[int]()

    def start(number: int) -> Callable[[], None]:
        def call() -> None:
            if number == 1:
                gate.set()
                raise BROKEN
            if number in {0, 2}:
                assert gate.wait(30)
            done.append(number)

        return call

    journey = travel(range(5), start, lambda _: False, TOGETHER)
    assert [(0, None)] == next(journey)
    assert [(1, BROKEN), (2, None), (3, None)] == next(journey)
    assert [0, 2, 3] == sorted(done)
    assert [[(4, None)]] == list(journey)


def test_a_start_that_fails_is_a_failure_like_others() -> None:
    """What cannot even be started is told with what was raised, and what needs no call has arrived."""

    def start(number: int) -> None:
        if number == 1:
            raise BROKEN

    assert [[(0, None)], [(1, BROKEN), (2, None)]] == list(travel(range(3), start, lambda _: False, TOGETHER))


@pytest.mark.parametrize("at_once", [1, TOGETHER])
def test_an_interruption_is_raised(at_once: int) -> None:
    """Ctrl-C in the middle of a call ends the journey."""

    def start(_: int) -> Callable[[], None]:
        def call() -> None:
            raise KeyboardInterrupt

        return call

    with pytest.raises(KeyboardInterrupt):
        list(travel(range(3), start, lambda _: False, at_once))


def test_one_at_a_time_stays_in_this_thread() -> None:
    """A database file is used by the thread that opened it."""
    seen: list[threading.Thread] = []
    list(travel(range(2), lambda _: lambda: seen.append(threading.current_thread()), lambda _: False, 1))
    assert [threading.current_thread()] * 2 == seen
