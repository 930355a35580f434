"""Trains a spec in a fresh process, which knows nothing of what this one has computed or set."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tracker.canonical import canonical_json, parse_canonical
from tracker.config import Preprocessing
from tracker.errors import TrackerError
from tracker.numerics import pin_numerics
from tracker.records import TrialOutcome, TrialSpec, record_from, record_json

PACKAGE_PARENT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows are that a trial is derived from: the project's folder, its splits, how they are preprocessed."""

    root: Path
    splits: Path
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class Derived:
    """What training again gave, and what it was computed with."""

    outcome: TrialOutcome
    provenance: Mapping[str, Any]


class FreshProcess:
    """A process that trains one trial after the other, alone, on one thread; `environ` replaces its variables."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        path = [str(PACKAGE_PARENT), *filter(None, [self._environ.get("PYTHONPATH")])]
        self._environ["PYTHONPATH"] = os.pathsep.join(path)
        self._process: subprocess.Popen[bytes] | None = None
        self._numerics = "native"

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process, in the middle of a trial too."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def derive(self, spec: TrialSpec, rows: Rows, weights: Path | None = None, until: int | None = None) -> Derived:
        """Trains a run to its end, or until an epoch; its weights go to the file `weights`.

        Raises TrackerError where the process cannot.
        """
        self._take_numerics(str(spec.training.get("numerics", "native")))
        job = {
            "spec": record_json(spec),
            "root": str(rows.root),
            "splits": str(rows.splits),
            "preprocessing": rows.preprocessing.model_dump(mode="json"),
            "weights": None if weights is None else str(weights),
            "until": until,
        }
        answer = self._ask(canonical_json(job) + b"\n")
        if "problem" in answer:
            raise TrackerError(answer["problem"])
        return Derived(record_from(TrialOutcome, answer["outcome"]), answer["provenance"])

    def _take_numerics(self, numerics: str) -> None:
        """A process whose kernels are pinned computes no native trial, nor the other way round."""
        if numerics != self._numerics:
            self.close()
            self._numerics = numerics

    def _ask(self, line: bytes) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # it ended; the missing answer says so
            process.stdin.write(line)
            process.stdin.flush()
        text = process.stdout.readline()
        if not text:
            code = process.wait()
            self.close()
            raise TrackerError(f"the process that trains again ended with code {code}; see its messages above")
        answer: dict[str, Any] = parse_canonical(text)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        environ = dict(self._environ)
        pin_numerics(self._numerics, environ, ())
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tracker.deriving.derive_worker"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self._process
