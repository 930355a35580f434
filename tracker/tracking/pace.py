"""How often something that may wait is done: so that it takes a tenth of the time at most, whatever it takes once."""

from __future__ import annotations

import time
from types import TracebackType

SHARE = 0.1  # of the time


class Pace:
    """As a context manager around what is done; whether it is due again."""

    def __init__(self) -> None:
        self._began = self._due = 0.0

    def is_due(self) -> bool:
        """Whether it was never done, or long enough ago."""
        return time.monotonic() >= self._due

    def __enter__(self) -> Pace:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        now = time.monotonic()
        self._due = now + (now - self._began) * (1 / SHARE - 1)
