"""Records to a real MLflow server, seconds and requests: python -m benchmarks.server [--trials 552 --studies 3]

Starts `mlflow server` on 127.0.0.1 with SQLite behind it, or the database of --backend (`postgres` starts one), and
delivers studies of small networks with their models to it, as `tracker sync` does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.tracking.servers import MlflowServer, Postgres, counted_requests
from tests.tracking.studies import PROVENANCE, begin, end_study, proposal, settle, study_spec
from tracker.loading import note_absent
from tracker.store.store import Store
from tracker.tracking.mlflow_settings import ASKED_FOR
from tracker.tracking.mlflow_settings import settle as settle_mlflow

REST_S, IDLE = 5.0, 0.05  # a server that used less than this share of a core for so long has been loaded


def fill(folder: Path, trials: int, studies: int) -> Store:
    """A store with studies that have ended."""
    store, _ = begin(folder, "study-0")
    for number in range(studies):
        name = f"study-{number}"
        key = store.put_study(study_spec(name), PROVENANCE)
        planned = [proposal(one, name) for one in range(trials // studies)]
        store.put_proposals(key, planned)
        settle(store, key, planned)
        end_study(store, key, len(planned))
    return store


@contextlib.contextmanager
def server(folder: Path, backend: str | None, workers: int) -> Iterator[MlflowServer]:
    """A server that has started, all its processes: the first one answers before the others are loaded."""
    running = MlflowServer(folder, backend, workers=workers)
    running.start()
    try:
        used = 0.0
        while (now := cpu_s(running)) - used > IDLE * REST_S:
            used = now
            time.sleep(REST_S)
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL of its own."""
    running = Postgres()
    try:
        yield running.uri
    finally:
        running.close()


def cpu_s(process: MlflowServer) -> float:
    """Seconds of CPU that a server and those below it have used."""
    return sum(sum(one.cpu_times()[:2]) for one in process.family())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=552)
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--models", default="all", choices=["all", "none"])
    parser.add_argument("--workers", type=int, default=4, help="processes of the server; MLflow's own default")
    parser.add_argument("--backend", help="the server's own database, `postgres` for a new one; else a new SQLite file")
    wanted = parser.parse_args()
    settle_mlflow(os.environ)
    note_absent(*ASKED_FOR)  # as in the process that delivers
    from tracker.tracking.delivery import Delivery
    from tracker.tracking.mlflow_recorder import MlflowRecorder

    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        store = stack.enter_context(fill(folder / "store", wanted.trials, wanted.studies))
        backend = stack.enter_context(postgres()) if wanted.backend == "postgres" else wanted.backend
        process = stack.enter_context(server(folder, backend, wanted.workers))
        counted = stack.enter_context(counted_requests())
        started, cpu, theirs = time.monotonic(), time.process_time(), cpu_s(process)
        with Delivery(store, MlflowRecorder(process.uri, "trials"), wanted.models) as delivery:
            report = delivery.deliver()
        took, cpu, theirs = time.monotonic() - started, time.process_time() - cpu, cpu_s(process) - theirs
        print(f"{report.delivered} records, {report.waiting} wait ({report.problem}): {took:.1f} s")
        print(f"CPU: {cpu:.1f} s here, {theirs:.1f} s in the server")
        print(f"{sum(counted.values()) / max(report.delivered, 1):.1f} requests per record")
        for name, number in counted.most_common(12):
            print(f"  {number:6d} {name}")
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
