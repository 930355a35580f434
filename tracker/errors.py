"""Every exception that the project raises on purpose.

TrackerError                 anything below; exit code 1
├── InputError               the user can mend it: configuration, data, arguments; exit code 2
│   ├── ConfigError          params.yaml or an override of it
│   ├── DataError            the table, its columns, rows or files
│   │   └── DataRefused      new data that `tracker retune` takes for broken; exit code 8
│   ├── SpaceError           a search space that cannot be searched
│   └── NotFoundError        a study, trial, run or file that was named and is not there
├── SealError                something reached for the test split that may not; exit code 3
│   ├── CodeNotTrusted       code came with a record and is not the code that is here
│   ├── TestLooksSpent       the budget of looks at the test split is used up
│   └── LookWithheld         the best trial is no better than a majority vote, and nobody said to look anyway
├── StoreError               the store cannot be read or written; exit code 4
│   ├── StoreCorrupt         a record or file differs from its digest
│   └── StoreBusy            another command holds the study
│       └── AlreadyRetuning  another `tracker retune` is at work; exit code 9
├── ReplayError              a study no longer replays to what was logged; exit code 5
│   └── EnvironmentChanged   a study was run in another environment, and this one was not accepted yet
├── StudyFailed              no trial of a study has a value; exit code 7
├── OutOfTime                `tracker retune --timeout`: the time is over, what was computed is kept; exit code 13
├── TrackingError            MLflow did not take a record, or holds a damaged one; exit code 6
└── TrainingError            a trial failed or diverged; recorded with the trial, never fatal to a study
"""

from __future__ import annotations

from collections.abc import Iterable


class TrackerError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line leaves with."""

    exit_code = 1


class InputError(TrackerError):
    """Something the user gave is wrong; the message says where, what was found and what to do.

    `faults` holds one sentence per fault, so that all are reported together.
    """

    exit_code = 2

    def __init__(self, *faults: str | Iterable[str]) -> None:
        flat: list[str] = []
        for fault in faults:
            flat.extend([fault] if isinstance(fault, str) else fault)
        self.faults: tuple[str, ...] = tuple(flat)
        super().__init__("\n".join(self.faults))


class ConfigError(InputError):
    """`params.yaml`, or an override of one of its entries, is wrong."""


class DataError(InputError):
    """The table, one of its columns, rows or files is wrong."""


class DataRefused(DataError):
    """New data that looks broken: nothing was tuned on it, and what is served stays."""

    exit_code = 8


class SpaceError(InputError):
    """A search space, or a sampler for it, cannot be used."""


class NotFoundError(InputError):
    """A study, trial, run or file was named that does not exist."""


class SealError(TrackerError):
    """Something reached for the sealed test split that may not."""

    exit_code = 3


class CodeNotTrusted(SealError):
    """Code that came with a record or a model is not the code of this folder, and nobody vouched for it."""


class TestLooksSpent(SealError):
    """The budget of looks at the test split is used up by other candidates."""

    __test__ = False  # pytest collects classes whose name starts with Test


class LookWithheld(SealError):
    """No look is spent on a trial that is no better on validation than a majority vote, unless it is asked for anyway."""


class StoreError(TrackerError):
    """The store cannot be opened, read or written."""

    exit_code = 4


class StoreCorrupt(StoreError):
    """A record or a file of the store differs from its digest."""


class StoreBusy(StoreError):
    """Another command is at work on the same study or outbox."""


class AlreadyRetuning(StoreBusy):
    """Another `tracker retune` is at work; this one left at once."""

    exit_code = 9


class OutOfTime(TrackerError):
    """The time that was given is over; what was computed by then is kept, and the same command goes on."""

    exit_code = 13


class ReplayError(TrackerError):
    """A study no longer replays to the proposals that were logged."""

    exit_code = 5


class EnvironmentChanged(ReplayError):
    """A study was last run in another environment; `--accept-environment` goes on in this one."""


class TrackingError(TrackerError):
    """MLflow could not be reached, refused a record (it stays in the outbox), or holds a damaged one."""

    exit_code = 6


class StudyFailed(TrackerError):
    """No trial of a study has a value, or its first ones failed for one reason, so that the others were not begun."""

    exit_code = 7


class TrainingError(TrackerError):
    """A trial raised or diverged; the reason is recorded with the trial."""
