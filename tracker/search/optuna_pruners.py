"""One pruner over all of Optuna's: an in-memory study is told the curves of trials in one fixed order, and asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from tracker.errors import TrackerError
from tracker.search.optuna_border import optuna_border
from tracker.search.pruners import Rung

Settings = Mapping[str, Any]


def open_median(settings: Settings, direction: str, study_name: str, epochs: int) -> OptunaPruner:  # noqa: ARG001 - of the table
    """Stops a trial whose best value so far is worse than the median of completed trials at the same epoch.

    Method: Golovin et al., Google Vizier, KDD 2017, section 3.2.2, as Optuna has it: it decides after the first report
    of each interval, and intervals begin at `n_warmup_steps`, so the first report of all (epoch 1) is one, too.
    """
    return OptunaPruner(optuna.pruners.MedianPruner(**settings), _intervals(settings), direction, study_name)


def open_halving(settings: Settings, direction: str, study_name: str, epochs: int) -> OptunaPruner:
    """Successive halving: at each rung one in `reduction_factor` of the trials that came so far goes on.

    Method: Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys 2020, as Optuna has it. Trials of
    one generation reach a rung in the order of their numbers.
    """
    rule = optuna.pruners.SuccessiveHalvingPruner(**settings)
    return OptunaPruner(rule, _powers(settings, epochs), direction, study_name)


def open_hyperband(settings: Settings, direction: str, study_name: str, epochs: int) -> OptunaPruner:
    """Successive halving with several first rungs: a trial's bracket follows from its number, the study's name and epochs.

    Method: Li et al., Hyperband, JMLR 18, 2018, as Optuna has it.
    """
    rule = optuna.pruners.HyperbandPruner(**settings, max_resource=max(epochs, settings["min_resource"]))
    return OptunaPruner(rule, _powers(settings, epochs), direction, study_name)


def open_patient(settings: Settings, direction: str, study_name: str, epochs: int) -> OptunaPruner:  # noqa: ARG001
    """Stops a trial whose last `patience` + 1 epochs were all worse than its best before them, by more than `min_delta`."""
    with optuna_border():  # it warns that the rule is experimental
        rule = optuna.pruners.PatientPruner(None, **settings)
    return OptunaPruner(rule, lambda epoch: epoch > settings["patience"] + 1, direction, study_name)


def open_threshold(settings: Settings, direction: str, study_name: str, epochs: int) -> OptunaPruner:  # noqa: ARG001
    """Stops a trial whose value is worse than `worst`, or undefined."""
    when = {name: value for name, value in settings.items() if name != "worst"}
    bound = {"upper" if direction == "minimize" else "lower": settings["worst"]}
    return OptunaPruner(optuna.pruners.ThresholdPruner(**bound, **when), _intervals(settings), direction, study_name)


def open_first_epoch(settings: Settings, direction: str, study_name: str, epochs: int) -> OptunaPruner:  # noqa: ARG001
    """Stops every trial after one epoch that is not among the `keep` best so far: the rule without a model to beat.

    Method: Egele et al., The unreasonable effectiveness of early discarding after one epoch, Neurocomputing 2024, where the
    best of all are trained on; here those of the trials before, so that a longer study begins with a shorter one's trials.
    """
    rule = FirstEpoch(settings["epoch"], settings["keep"])
    return OptunaPruner(rule, lambda epoch: epoch == settings["epoch"], direction, study_name)


class FirstEpoch(optuna.pruners.BasePruner):  # type: ignore[misc]  # Optuna comes without types for us
    """Compares the values of one epoch, of trials that came there before; a tie goes to the earlier trial."""

    def __init__(self, epoch: int, keep: int) -> None:
        self._epoch, self._keep = epoch, keep

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether as many trials as are kept were as good or better."""
        value = trial.intermediate_values.get(self._epoch)
        if value is None or trial.last_step != self._epoch:
            return False
        sign = -1 if study.direction == optuna.study.StudyDirection.MINIMIZE else 1
        before = study.get_trials(deepcopy=False)[: trial.number]
        others = [one.intermediate_values.get(self._epoch, math.nan) for one in before]
        return math.isnan(value) or sum(sign * other >= sign * value for other in others) >= self._keep


def _intervals(settings: Settings) -> Callable[[int], bool]:
    """The first epoch, and from the warm-up on the first of each interval."""
    warmup, interval = settings["n_warmup_steps"], settings["interval_steps"]
    return lambda epoch: epoch >= warmup and (epoch == 1 or (epoch - warmup) % interval == 0)


def _powers(settings: Settings, epochs: int) -> Callable[[int], bool]:
    """The first rung, and each `reduction_factor` times as far as the one before."""
    rungs, rung = set(), settings["min_resource"]
    while rung < epochs:
        rungs.add(rung)
        rung *= settings["reduction_factor"]
    return rungs.__contains__


class OptunaPruner:
    """A rule of Optuna's, which sees trials as if each epoch of a generation were run in the order of trial numbers.

    Steps are epochs, counted from 1. A trial that ends by itself is told when its generation has ended, so that what
    becomes of a trial does not depend on how many more its generation has: a longer study begins with the trials of a
    shorter one. `may_prune` says after which epochs the rule can stop a trial at all.
    """

    def __init__(
        self, rule: optuna.pruners.BasePruner, may_prune: Callable[[int], bool], direction: str, study_name: str
    ) -> None:
        self._may_prune = may_prune
        self._begun = 0
        self._epoch = 0  # of the last rung
        self._open: dict[int, optuna.trial.Trial] = {}
        self._ended: dict[int, tuple[optuna.trial.Trial, Rung]] = {}
        with optuna_border():
            sampler = optuna.samplers.RandomSampler(0)  # never asked for a value
            self._study = optuna.create_study(study_name=study_name, direction=direction, sampler=sampler, pruner=rule)

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which the rule can stop a trial that has more before it."""
        return tuple(filter(self._may_prune, range(1, epochs)))

    def begin(self, numbers: Sequence[int]) -> None:
        """Trials get Optuna's numbers, which some rules read, so they are those of the study."""
        expected = list(range(self._begun, self._begun + len(numbers)))
        if self._open or sorted(numbers) != expected:
            raise TrackerError(
                f"trials {sorted(numbers)} cannot begin: {self._begun} began before, of which {list(self._open)} "
                "have not ended; generations follow each other"
            )
        with optuna_border():
            self._open = {number: self._study.ask() for number in expected}
        self._begun += len(expected)
        self._epoch = 0

    def decide(self, epoch: int, rows: Sequence[Rung], known: Mapping[int, bool] | None = None) -> tuple[int, ...]:
        """Replays the epochs since the last rung and asks every running trial after the last of them."""
        known = known or {}
        ordered = self._checked(rows, epoch)
        stopped: list[int] = []
        with optuna_border():
            for each in range(self._epoch + 1, epoch + 1):
                for row in ordered:
                    self._replay(row, each)
                    if each == epoch and row.state == "running" and self._stops(row.number, known):
                        self._study.tell(self._open.pop(row.number), state=TrialState.PRUNED)
                        stopped.append(row.number)
        self._epoch = epoch
        return tuple(stopped)

    def end(self, rows: Sequence[Rung]) -> None:
        """Replays what came after the last rung, and tells which trials ended by themselves."""
        last = self._epoch + max([1, *(len(row.values) for row in rows)])
        ordered = self._checked(rows, last)
        if running := [row.number for row in ordered if row.state == "running"]:
            raise TrackerError(f"trials {running} are running; a generation ends when all its trials have ended")
        with optuna_border():
            for each in range(self._epoch + 1, last + 1):
                for row in ordered:
                    self._replay(row, each)
            for number in sorted(self._ended):
                self._finish(*self._ended.pop(number))

    def _stops(self, number: int, known: Mapping[int, bool]) -> bool:
        """The rule is asked even where the answer is known: some rules note what they were asked."""
        stops = self._open[number].should_prune()
        return known.get(number, stops)

    def _checked(self, rows: Sequence[Rung], epoch: int) -> list[Rung]:
        """The rows in trial order. Raises TrackerError unless all open trials have their epochs since the last rung."""
        ordered = sorted(rows, key=lambda row: row.number)
        if [row.number for row in ordered] != list(self._open) or epoch <= self._epoch:
            raise TrackerError(
                f"trials {[row.number for row in ordered]} were given up to epoch {epoch}; "
                f"expected {list(self._open)} and an epoch after {self._epoch}"
            )
        for row in ordered:
            epochs = [each for each, _ in row.values]
            whole = len(epochs) == epoch - self._epoch or row.state != "running"
            if not whole or epochs != list(range(self._epoch + 1, epoch + 1))[: len(epochs)]:
                raise TrackerError(
                    f"trial {row.number} ({row.state}) has values of epochs {epochs}; expected one for each epoch "
                    f"from {self._epoch + 1} to {epoch}, or to its end"
                )
        return ordered

    def _replay(self, row: Rung, epoch: int) -> None:
        """What happened to a trial in an epoch: its report, and its end if this was its last."""
        trial, place = self._open.get(row.number), epoch - self._epoch - 1
        if trial is None:  # it ended in an epoch before
            return
        if place < len(row.values):
            value = row.values[place][1]
            trial.report(math.nan if value is None else value, epoch)
        if row.state != "running" and place >= len(row.values) - 1:
            self._ended[row.number] = self._open.pop(row.number), row

    def _finish(self, trial: optuna.trial.Trial, row: Rung) -> None:
        """Optuna wants a number of a completed trial, which the rules do not read; without one it counts as failed."""
        reported = self._study.get_trials(deepcopy=False)[row.number].intermediate_values.values()
        numbers = [value for value in reported if not math.isnan(value)]
        if row.state == "complete" and numbers:
            self._study.tell(trial, numbers[-1])
        else:
            self._study.tell(trial, state=TrialState.FAIL)
