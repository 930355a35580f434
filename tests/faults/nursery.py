"""A process that has everything imported and forks drivers on request: real processes, without Python's seconds to start.

What is real: process, memory, files, locks, SQLite connections, system calls, signals. What is shared with the parent: the
imported modules alone. Requests are lines of JSON on standard input, answers on standard output; at its end the
nursery kills what it started. It has one thread, because a fork copies one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parents[2]
POLL_S = 0.001
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Driver:
    """A process of the nursery."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.nursery, self.pid = nursery, pid
        self.code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        if self.code is None:
            self.code = self.nursery.ask({"do": "poll", "pid": self.pid})
        return self.code

    def wait(self, timeout_s: float = 300.0) -> int:
        """The exit code, once it has ended."""
        give_up = time.monotonic() + timeout_s
        while self.poll() is None:
            assert time.monotonic() < give_up, f"process {self.pid} has not ended after {timeout_s} s"
            time.sleep(POLL_S)
        assert self.code is not None
        return self.code

    def kill_after(self, seconds: float) -> bool:
        """SIGKILL after a time, unless it ends before; whether it was killed."""
        moment = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < moment:
            time.sleep(POLL_S)
        self.kill()
        return self.wait() == -signal.SIGKILL

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal; the process is not reaped yet, so its number is its own."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Nursery:
    """The other end of the pipes."""

    def __init__(self, *modules: str) -> None:
        self.modules = modules

    def __enter__(self) -> Nursery:
        environ = {name: v for name, v in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "TRACKER_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery", *self.modules],
            cwd=ROOT,
            env={**environ, "PYTHONPATH": str(ROOT), **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.ask({"do": "hello"}) == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait()

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, root: Path, log: Path, *, held: bool = False, **call: Any) -> Driver:
        """Starts a driver in the project at `root`, its output appended to `log`; `held` ones wait for SIGCONT."""
        return Driver(self, self.ask({"do": "start", "root": str(root), "log": str(log), "held": held, "call": call}))

    def run(self, root: Path, log: Path, **call: Any) -> int:
        """Runs a driver to its end; the exit code."""
        return self.start(root, log, **call).wait()


def main(modules: list[str]) -> None:
    answers: IO[str] = sys.stdout
    preload(modules)
    living: dict[int, int | None] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: Any = "ready"
        if request["do"] == "start":
            answer = os.fork()
            if not answer:
                live(request)
            if request["held"]:
                os.waitpid(answer, os.WUNTRACED)
            living[answer] = None
        elif request["do"] == "poll":
            answer = poll(living, request["pid"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for pid in living:
        if poll(living, pid) is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def poll(living: dict[int, int | None], pid: int) -> int | None:
    if living[pid] is None:
        found, status = os.waitpid(pid, os.WNOHANG)
        living[pid] = os.waitstatus_to_exitcode(status) if found else None
    return living[pid]


def preload(modules: list[str]) -> None:
    """Imports what a driver would, in the one thread there is."""
    import importlib

    import torch

    torch.set_num_threads(1)
    for name in (*PRELOADED, *modules):
        importlib.import_module(name)
    tasks = Path("/proc/self/task").glob("*/comm")
    threads = [task.read_text().strip() for task in tasks if task.parent.name != str(os.getpid())]
    unknown = set(threads) - {"jemalloc_bg_thd"}  # which jemalloc starts again in a fork
    assert not unknown, f"an import started threads, which a fork would not copy: {unknown}"


PRELOADED = (
    "optuna.samplers",
    "sklearn.impute",
    "sklearn.preprocessing",
    "tracker.api",
    "tracker.datasets.load_parquet",
    "tracker.datasets.training_data",
    "tracker.execution.executor",
    "tracker.execution.processes",
    "tracker.search.optuna_pruners",
    "tracker.search.optuna_samplers",
    "tracker.standalone.load",
    "tracker.studies.plan",
    "tracker.studies.report",
    "tracker.studies.runner",
    "tracker.terminal.endings",
    "tracker.families.build",
    "tracker.families.loop",
    "tracker.families.mlp_selftest",
)


def live(request: Mapping[str, Any]) -> None:
    """The life of a driver: what the command line would do, ended as the command line ends."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, stream)
    os.chdir(request["root"])
    sys.path.insert(0, request["root"])
    if request["held"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    code = 70  # a traceback
    try:
        from tracker.terminal.endings import run_command

        run_command(lambda: work(request["call"]))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def work(call: Mapping[str, Any]) -> None:
    from tracker import api

    here = api.Project.now(workers=call.get("workers", 1))
    watch(call)
    if call["do"] == "deliver":
        deliver(call, here)
        return
    config = api.load_config(here.paths.params)
    if call["do"] == "look":
        api.compare(config, project=here).test(or_stale=True, anyway=True)
        return
    if call["do"] == "retune":
        retune(config, here)
        return
    api.tune(config, call["study"], project=here, deliver=call.get("deliver", False), on_progress=acknowledge)


def watch(call: Mapping[str, Any]) -> None:
    """What a call wants beside the command itself, in this process alone.

    `checkpoint_after_s` is when a paused run is worth a checkpoint; with `watched` the log tells the epochs of each run of
    our networks that are trained here; before the epoch of number `die_before` the process kills itself.
    """
    from tracker.execution import trainer
    from tracker.families.mlp import MlpEngine

    trainer.CHECKPOINT_AFTER_S = call.get("checkpoint_after_s", trainer.CHECKPOINT_AFTER_S)
    if not call.get("watched"):
        return
    run_epoch, epochs = MlpEngine.run_epoch, itertools.count()

    def watched(engine: MlpEngine) -> Any:
        if next(epochs) == call.get("die_before"):
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(1, f"trained {len(engine.specs)}\n".encode())
        return run_epoch(engine)

    MlpEngine.run_epoch = watched  # type: ignore[method-assign]


def acknowledge(progress: Any) -> None:
    """Says on the log how many trials are finished: what was said must never be lost."""
    with contextlib.suppress(OSError):  # a test may let this call fail
        os.write(1, f"acknowledged {progress.finished}\n".encode())


def retune(config: Any, here: Any) -> None:
    """What `tracker retune` does, with stages and delivery in this process."""
    from tracker import api
    from tracker.retuning.retune import Job
    from tracker.retuning.retune import retune as work

    def stages(config: Any, root: Path, timeout_s: float | None) -> None:
        del root, timeout_s
        api.prepare(config, here)
        api.split(config, here)
        for name in config.studies:
            api.tune(config, name, project=here, deliver=False)

    try:
        work(Job(config, here.paths, here.user, pipeline=stages))
    finally:
        deliver({"policy": "none"}, here)


def deliver(call: Mapping[str, Any], here: Any) -> None:
    """What the delivery process does between its first and its last line."""
    from tracker import api
    from tracker.store.store import Store
    from tracker.tracking.delivery import Delivery
    from tracker.tracking.mlflow_recorder import MlflowRecorder
    from tracker.tracking.project_files import ProjectFiles

    recorder = MlflowRecorder(here.tracking_uri, "tests")
    source = api.load_config(here.paths.params).data.source
    files = ProjectFiles(source, here.paths.splits, here.paths.reports)
    with Store.open(here.paths.store) as store, Delivery(store, recorder, call["policy"], files=files) as delivery:
        report = delivery.deliver(call.get("compare", ()))
    os.write(1, f"waiting {report.waiting} {report.problem}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
