"""A look killed at a system call: either no test row was read, or the look is on record; the same command then ends it.

What `tracker compare --test` does runs in a driver under strace, which also tells whether the file of the test rows was
opened before the kill.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.lives import PARAMS, clear, copy
from tests.faults.nursery import Nursery
from tests.faults.syscalls import Moment, inject, list_calls, live_under_strace
from tests.studies.project import SmallProject, make_table
from tracker.evaluation.compare import known_looks

MODULES = ("tracker.evaluation.compare", "tracker.evaluation.chosen_model", "sklearn.metrics")
LOOK: dict[str, Any] = {"do": "look"}
ROWS = "sealed/test.parquet"


def make_project(root: Path, nursery: Nursery) -> SmallProject:
    """A project with one finished study of networks, at whose test rows nobody has looked."""
    text = PARAMS.format(model="{family: mlp}", fixed="hidden_layers: 1, ", trials=2)
    head, tail = text.split("studies:\n")[0], "tracking: {experiment: tests}\n"
    project = SmallProject.made(root, make_table(), f"{head}studies:\n  random: {{sampler: random, trials: 2}}\n{tail}")
    log = root.with_suffix(".log")
    assert nursery.run(root, log, do="tune", study="random") == 0, log.read_text()
    return project


@dataclass
class Watched:
    """What was seen of looks that were killed."""

    kills: int = 0
    before: int = 0
    read: int = 0
    recorded: int = 0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.kills} kills: {self.before} before test rows were opened, {self.read} after"
        return "\n".join([f"{counts}; the look was on record after {self.recorded}", *self.notes])


def whole_look(nursery: Nursery, origin: SmallProject, root: Path) -> bytes:
    """What final.json says after a look that nothing disturbs."""
    project = copy(origin, root)
    log = root.with_suffix(".log")
    assert nursery.run(root, log, **LOOK) == 0, log.read_text()
    content = (project.paths.reports / "final.json").read_bytes()
    clear(root, log)
    return content


def calls_of(nursery: Nursery, origin: SmallProject, root: Path) -> list[Moment]:
    """The write-type system calls of a look, in order."""
    return list_calls(nursery, origin, root, "", **LOOK)


def kill_at(nursery: Nursery, origin: SmallProject, root: Path, moment: Moment, expected: bytes, seen: Watched) -> None:
    """Kills a look before a call, says what is on record, and runs the same command to its end."""
    project, log = copy(origin, root), root.with_suffix(".log")
    options = inject(moment, "signal=SIGKILL")
    assert options[1] == f"trace={moment.name}"
    code, trace = live_under_strace(nursery, root, "", "-e", f"trace={moment.name},openat", *options[2:], **LOOK)
    opened, looks = ROWS in trace, len(known_looks(project.paths).looks)
    seen.kills += code == -signal.SIGKILL
    seen.read += opened
    seen.before += not opened
    seen.recorded += looks > 0
    if code != -signal.SIGKILL:
        seen.notes.append(f"{moment}: was never made; left with {code}")
    if opened and looks == 0:
        seen.notes.append(f"{moment}: test rows were read, and no look is on record")
    again = nursery.run(root, log, **LOOK)
    told = (project.paths.reports / "final.json").read_bytes() if again == 0 else log.read_bytes()[-2000:]
    if told != expected:
        seen.notes.append(f"{moment}: the same command then gave another result: {told.decode()[-500:]}")
    elif (count := len(known_looks(project.paths).looks)) != 1 or json.loads(told)["looks"] != 1:
        seen.notes.append(f"{moment}: {count} looks are on record after one candidate")
    clear(root, log)
