"""Progress of long work for people: a moving bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.studies.runner import Progress

QUIET_FOR = 60.0  # seconds without a line where there is no terminal
Clock = Callable[[], float]
Advance = Callable[[str, int, int, str], None]  # a study, what is done, what is wanted, and more words


@contextmanager
def study_progress(
    quiet: bool = False, verbose: bool = False, clock: Clock = time.monotonic
) -> Iterator[Callable[[Progress], None]]:
    """What to call with a study's progress: trials done, the best so far, time left.

    Where stderr is no terminal it is said once a minute, by the seconds that `clock` tells; with `verbose` at every step. Why
    a study begins anew is said once, first; so is each node of a cluster that gets no work.
    """
    if quiet:
        yield lambda _: None
        return
    if verbose:
        yield _saying_changes(_say_step)
        return
    with _bar(clock) as advance:
        yield _saying_changes(
            lambda progress: advance(progress.study, progress.finished, progress.wanted, ", ".join(_words(progress)))
        )


@contextmanager
def verify_progress(quiet: bool = False, clock: Clock = time.monotonic) -> Iterator[Callable[[str, int, int], None]]:
    """What to call with a study, trials derived and trials to derive; told as `study_progress` tells trials."""
    if quiet:
        yield lambda *_: None
        return
    with _bar(clock) as advance:
        yield lambda study, done, wanted: advance(study, done, wanted, "")


@contextmanager
def _bar(clock: Clock) -> Iterator[Advance]:
    """A bar for each study, or, where nobody sees it move, a line whenever a minute has passed."""
    if not sys.stderr.isatty():
        yield _now_and_then(clock)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, TextColumn("{task.fields[more]}"), console=Console(stderr=True)) as bar:
        tasks: dict[str, int] = {}

        def advance(study: str, done: int, wanted: int, more: str) -> None:
            if study not in tasks:
                tasks[study] = bar.add_task(study, total=wanted, more="")
            bar.update(tasks[study], completed=done, total=wanted, more=more)  # type: ignore[arg-type]

        yield advance


def _now_and_then(clock: Clock) -> Advance:
    last = clock()

    def advance(study: str, done: int, wanted: int, more: str) -> None:
        nonlocal last
        if (now := clock()) - last >= QUIET_FOR:
            last = now
            sys.stderr.write(f"{', '.join(filter(None, (f'{study}: {done} of {wanted}', more)))}\n")

    return advance


def _saying_changes(tell: Callable[[Progress], None]) -> Callable[[Progress], None]:
    said: set[str] = set()

    def first(progress: Progress) -> None:
        if progress.change and progress.study not in said:
            said.add(progress.study)
            sys.stderr.write(f"{progress.change}\n")
        for line in progress.where.refused:
            if line not in said:
                said.add(line)
                sys.stderr.write(f"{line}\n")
        tell(progress)

    return first


def _say_step(progress: Progress) -> None:
    replayed = [f"{progress.replayed} from the store"] if progress.replayed else []
    counts = f"{progress.study}: {progress.finished} of {progress.wanted}"
    sys.stderr.write(f"{', '.join([counts, *replayed, *_words(progress)])}\n")


def _words(progress: Progress) -> list[str]:
    best = progress.best
    found = [] if best is None or best.value is None else [f"best {best.value:.4f} (trial {best.number})"]
    return [*found, *filter(None, [progress.where.words])]
