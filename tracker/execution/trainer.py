"""Trains what one process is given: starts cohorts, goes on with those that paused here, loads the user's own code once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.canonical import canonical_json
from tracker.errors import ConfigError, TrackerError
from tracker.families.family import OwnFunction, open_family, start_training
from tracker.families.own_code import OwnCode, code_from, load, read_code
from tracker.families.own_metrics import OwnMetric, metrics_of
from tracker.hyperparameters import FAMILIES
from tracker.records import Timing, TrialOutcome, TrialSpec
from tracker.surroundings.environment import asked_of, environment
from tracker.training.arrays import Arrays
from tracker.training.loop import Checkpoint, Result, Training
from tracker.training.memory import refuse_without_memory

HAND_OUT_S = 0.2  # how long one hand-out of runs that train alone lasts: long beside its overhead, short beside a kill
CHECKPOINT_AFTER_S = 5.0  # what would be lost with a process; writing it down costs milliseconds


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of work: a run, until after which epoch (None: to its end), and where to go on from.

    Without a checkpoint it goes on from where this process holds it, else from the start: the bits are the same.
    """

    spec: TrialSpec
    until: int | None = None
    checkpoint: Checkpoint | None = None


class Trainer:
    """Trains segments of any family on one thread; `root` is the folder of params.yaml, where the user's own code lies.

    In place of the folder it may be the text of each file by its place there, for a machine that has no such folder.
    `clock` (seconds) says when a hand-out has lasted long enough; `rows_of` gives the arrays of a run, where they are not
    `arrays` for all.
    """

    def __init__(
        self,
        arrays: Arrays,
        root: Path | Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rows_of: Callable[[TrialSpec], Arrays] | None = None,
    ) -> None:
        self._arrays, self._root, self._clock = arrays, root, clock
        self._rows_of = rows_of
        self._loaded: dict[tuple[str, str], tuple[OwnCode, OwnFunction]] = {}
        self._metrics_read: dict[bytes, Mapping[str, OwnMetric]] = {}
        self._held: dict[str, Training] = {}
        self._environments: dict[tuple[str, str, str], str] = {}

    def run(self, segments: Sequence[Segment]) -> list[Result]:
        """The results of the first segments, in order, at least of one; all are of one family, with one `until`.

        What trains together comes back whole; runs that train alone come back in part after a moment, and what is left
        over is to be handed out again. If training raises, the runs begin again one by one, and the one that raises again
        has failed. Raises ConfigError where the user's own code has changed, TrackerError where there is not enough memory
        for one run: no run is to blame for that.
        """
        spec = segments[0].spec
        own, context = self._own(spec)
        alone = open_family(spec.family).shape(spec, self._arrays.x_train.shape[1], self._arrays.classes) is None
        with context:
            results = self._one_by_one(segments, own, HAND_OUT_S) if alone else self._safely(segments, own)
        return [replace(result, environment=self._environment(result.spec)) for result in results]

    def forget(self, keys: Collection[str] | None = None) -> None:
        """Lets go of paused runs (None: of all)."""
        for key in list(self._held) if keys is None else [key for key in keys if key in self._held]:
            training = self._held.pop(key, None)
            if training is not None and not any(training is other for other in self._held.values()):
                training.close()

    def _one_by_one(
        self, segments: Sequence[Segment], own: OwnFunction | None, most_s: float = float("inf")
    ) -> list[Result]:
        begun, results = self._clock(), []
        for segment in segments:
            results += self._safely([segment], own)
            if self._clock() - begun > most_s:
                break
        return results

    def _safely(self, segments: Sequence[Segment], own: OwnFunction | None) -> list[Result]:
        try:
            return self._train(segments, own)
        except TrackerError:
            raise
        except Exception as error:
            self.forget([segment.spec.key for segment in segments])
            if len(segments) > 1 or segments[0].checkpoint is not None:  # which may be another release's
                return self._one_by_one([replace(segment, checkpoint=None) for segment in segments], own)
            spec = segments[0].spec
            refuse_without_memory(error, spec)
            return [failed(spec, f"{type(error).__name__}: {error}")]

    def _train(self, segments: Sequence[Segment], own: OwnFunction | None) -> list[Result]:
        keys, until = [segment.spec.key for segment in segments], segments[0].until
        training = self._resumed(keys, until) or self._started(segments, own)
        results = {result.spec.key: result for result in training.advance(until, checkpoint_after_s=CHECKPOINT_AFTER_S)}
        self._held.update(dict.fromkeys(training.keys, training))
        return [results[key] for key in keys]

    def _resumed(self, keys: Sequence[str], until: int | None) -> Training | None:
        """The cohort in which all of these runs wait, without its other runs; None where there is none."""
        training = self._held.get(keys[0])
        if training is None or not set(keys) <= set(training.keys) or not (until is None or training.epoch <= until):
            return None
        self._held = {key: held for key, held in self._held.items() if held is not training}
        training.select(keys)
        return training

    def _started(self, segments: Sequence[Segment], own: OwnFunction | None) -> Training:
        self.forget([segment.spec.key for segment in segments])
        checkpoints = [segment.checkpoint for segment in segments if segment.checkpoint is not None]
        usable = len(checkpoints) == len(segments) and len({checkpoint.epoch for checkpoint in checkpoints}) == 1
        specs = [segment.spec for segment in segments]
        arrays = self._arrays if self._rows_of is None else self._rows_of(specs[0])
        if any(spec.training.get("own_metrics") for spec in specs):
            arrays = replace(arrays, metrics={name: one for spec in specs for name, one in self._metrics(spec).items()})
        return start_training(specs, arrays, own, checkpoints if usable else None)

    def _environment(self, spec: TrialSpec) -> str:
        wanted = asked_of(spec.training, spec.family)
        if wanted not in self._environments:
            self._environments[wanted] = environment(*wanted)[0]
        return self._environments[wanted]

    def _own(self, spec: TrialSpec) -> tuple[OwnFunction | None, AbstractContextManager[None]]:
        if not spec.code:
            return None, nullcontext()
        code, function = self.own_function(spec.family, spec.code)
        return function, code.importable()

    def _metrics(self, spec: TrialSpec) -> Mapping[str, OwnMetric]:
        wanted = canonical_json(spec.training.get("own_metrics", {}))
        if wanted not in self._metrics_read:
            self._metrics_read[wanted] = metrics_of(self._root, spec)
        return self._metrics_read[wanted]

    def own_function(self, family: str, identity: Mapping[str, str]) -> tuple[OwnCode, OwnFunction]:
        """The user's function of that identity. Raises ConfigError where its files are others by now."""
        entry = identity.get("entry", "")
        if (family, entry) not in self._loaded:
            self._loaded[family, entry] = load_own(self._root, family, entry)
        code, function = self._loaded[family, entry]
        found = code.identity
        if changed := sorted(name for name in {**identity, **found} if identity.get(name) != found.get(name)):
            raise ConfigError(f"{', '.join(changed)}: changed since the study began; run the same command again")
        return code, function


def load_own(root: Path | Mapping[str, str] | None, family: str, entry: str) -> tuple[OwnCode, OwnFunction]:
    """The function that `model.entry` names, and the code it stands in: a folder, or its files' texts. Raises ConfigError."""
    if root is None:
        raise ConfigError(f"model.entry: {entry} needs the folder of params.yaml, and none was given")
    code = code_from(entry, root) if isinstance(root, Mapping) else read_code(root, entry)
    return code, function_of(code, family)


def function_of(code: OwnCode, family: str) -> OwnFunction:
    """The function that a code's entry names. Raises ConfigError where it is not what the family needs."""
    function = load(code)
    open_family(family).require(function, code.entry)
    return function


def needs_own_code(family: str) -> bool:
    """Whether the family runs code of the user's own."""
    return FAMILIES[family].entry is not None


def failed(spec: TrialSpec, reason: str) -> Result:
    """The result of a run that gave nothing."""
    outcome = TrialOutcome(spec.key, "failed", 0, None, {}, (), None, None, reason)
    return Result(spec, outcome, None, Timing(0.0, 0.0))
