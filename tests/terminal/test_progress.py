"""Progress of long work: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import pytest

from tracker.studies.runner import Progress
from tracker.terminal.progress import study_progress, verify_progress


def test_short_work_is_silent_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    """Not a terminal, and no minute has passed: no bar, no line."""
    times = iter([0.0, 59.0])
    with study_progress(clock=lambda: next(times)) as advance:
        advance(Progress("random", 1, 6, 0, None))
    assert ("", "") == tuple(capfd.readouterr())


def test_long_work_is_told_once_a_minute_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    """A line on stderr for the first step after each minute, whichever study it is of; for verifying, too."""
    times = iter([0.0, 60.0, 100.0, 119.0, 125.0])
    with study_progress(clock=lambda: next(times)) as advance:
        for place, finished in enumerate((1, 2, 3, 4), 1):
            advance(Progress(f"nested.tpe.{place}of5", finished, 24, 0, None))
    assert ("", "nested.tpe.1of5: 1 of 24\nnested.tpe.4of5: 4 of 24\n") == tuple(capfd.readouterr())
    times = iter([0.0, 30.0, 61.0])
    with verify_progress(clock=lambda: next(times)) as step:
        step("tpe", 0, 48)
        step("tpe", 7, 48)
    assert ("", "tpe: 7 of 48\n") == tuple(capfd.readouterr())
    with study_progress(quiet=True) as advance, verify_progress(quiet=True) as step:
        advance(Progress("random", 1, 6, 0, None))
        step("tpe", 7, 48)
    assert ("", "") == tuple(capfd.readouterr())


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar with the study, trials done of those wanted."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with study_progress() as advance:
        for finished in range(7):
            advance(Progress("random", finished, 6, 0, None))
    shown = capsys.readouterr().err
    assert "random" in shown
    assert "6/6" in shown
