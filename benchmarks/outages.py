"""Servers that fail in the middle of a delivery, and what is left: python -m benchmarks.outages [--each 20 --restarts 50]

MLflow stands before a PostgreSQL of its own, and a proxy before MLflow. While the records of a study are delivered, at a
moment that is drawn, the server is killed, or hangs (SIGSTOP), or answers 500, or slowly, or PostgreSQL is stopped as by a
crash (`immediate`); a moment later all is well again. Then each trial must be there once, ended, with its whole curve.

`--pace` measures how fast a study trains while nothing is delivered, while a server takes its records, while it hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")  # the project's is 10; an outage here lasts a moment
from tests.studies.project import SmallProject, make_table
from tests.tracking.at_once import sync
from tests.tracking.servers import MlflowServer, Postgres
from tests.tracking.studies import begin, end_study, run_trials
from tracker import api

TRIALS = 12
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # seconds
SLOW_S = 2.0


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server; `mood` is well, 500 or slow."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.mood = target, "well"
        self.uri = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Clients that have given up are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.mood == "slow":
            time.sleep(SLOW_S)
        status, content, kind = (500, b"out of order", "text/plain") if self.server.mood == "500" else self._ask(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, body: bytes) -> tuple[int, bytes, str]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
        request = urllib.request.Request(self.server.target + self.path, body or None, headers, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.headers.get("Content-Type", "text/plain")
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers.get("Content-Type", "text/plain")
        except OSError as error:
            return 502, str(error).encode(), "text/plain"

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Kinds:
    """The ways to fail, each as what begins and what ends it."""

    def __init__(self, postgres: Postgres, server: MlflowServer, proxy: Proxy) -> None:
        def mood(name: str) -> Callable[[], None]:
            return lambda: setattr(proxy, "mood", name)

        self.table: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "PostgreSQL, immediate": (postgres.stop, postgres.start),
            "killed": (server.stop, server.start),
            "hangs": (server.pause, server.go_on),
            "answers 500": (mood("500"), mood("well")),
            "slow": (mood("slow"), mood("well")),
        }


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Time enough for a server on a busy machine, to look at what is there in the end."""
    before = os.environ[TIMEOUT]
    os.environ[TIMEOUT] = "120"
    yield
    os.environ[TIMEOUT] = before


def outage(
    folder: Path, uri: str, name: str, kind: tuple[Callable[[], None], Callable[[], None]], draw
) -> Counter[str]:
    """One study, one outage while it is delivered; what was lost and what is there twice."""
    from tests.tracking.runs_in_mlflow import all_runs, points

    store, key = begin(folder, name)
    with store:
        run_trials(store, key, range(TRIALS), name)
        end_study(store, key, TRIALS, 3)
    thread = threading.Thread(target=sync, args=(folder, uri, name, "none"))
    thread.start()
    time.sleep(float(draw.uniform(0, 2.0)))
    begins, ends = kind
    begins()
    time.sleep(float(draw.uniform(0, 4.0)))
    ends()
    thread.join()
    tries = 0
    while sync(folder, uri, name, "none").waiting:
        tries += 1
        if tries > 20:
            raise RuntimeError(f"{name}: records wait though all is well")
    with patience():
        runs = all_runs(uri, name)
        curves = [[step for step, _, _ in points(uri, run, "train_loss")] for run in runs if "/" in run.info.run_name]
    names = Counter(run.info.run_name for run in runs)
    wanted = [name, *(f"{name}/{number}" for number in range(TRIALS))]
    return Counter(
        outages=1,
        records=len(wanted),
        lost=sum(not names[one] for one in wanted),
        double=sum(count - 1 for count in names.values()),
        odd=sum(curve != [1, 2, 3] for curve in curves) + sum(run.info.status != "FINISHED" for run in runs),
    )


class Watch:
    """Notes when a study said how far it is, by the clock on the wall and by this process's CPU."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float]] = []

    def tell(self, _: object) -> None:
        self.told.append((time.monotonic(), time.process_time()))

    def took(self) -> tuple[float, float]:
        """Seconds from the first word to the last: of time, of CPU."""
        (begun, cpu), *_, (ended, used) = self.told
        return ended - begun, used - cpu


def pace(folder: Path, server: MlflowServer, uri: str, rounds: int) -> None:
    """Seconds that a study trains, delivered to nobody, to a server, to one that hangs; in turn, and the ratios.

    Where the machine is busy, CPU tells more than the clock: tuning that waits for a server takes longer, and no more CPU;
    tuning that shares its cores with delivery and server takes longer, too.
    """
    origin = SmallProject.made(folder / "origin", make_table())
    config = origin.config.with_("studies.random.trials", 384).with_("training.epochs", 40)
    config = config.with_("training.early_stopping", None)
    took: dict[str, list[tuple[float, float]]] = {"nobody": [], "server": [], "hangs": []}
    for number in range(rounds):
        for name, times in took.items():
            project = origin.copy(folder / f"{name}-{number}")
            there = api.Project(project.paths, uri, 1, "ada")
            watch = Watch()
            if name == "hangs":
                server.pause()
            api.DELIVERY_S = 0.1 if name == "hangs" else 60.0  # how long the end of a study is waited for; not measured
            api.tune(config, "random", project=there, deliver=name != "nobody", on_progress=watch.tell)
            if name == "hangs":
                server.go_on()
            times.append(watch.took())
    for name, times in took.items():
        for place, what in enumerate(("time", "CPU")):
            mine, others = ([one[place] for one in each] for each in (times, took["nobody"]))
            ratio = statistics.median(one / other for one, other in zip(mine, others, strict=True))
            print(f"training, {name}: {statistics.median(mine):.1f} s of {what}, {ratio:.3f} of that without delivery")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=20, help="outages of each kind")
    parser.add_argument("--restarts", type=int, default=50, help="of PostgreSQL")
    parser.add_argument("--pace", type=int, default=5, help="rounds")
    parser.add_argument("--only", help="one kind, as the lines begin: killed, hangs, answers, slow")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    draw, sound = np.random.default_rng(wanted.seed), True
    with tempfile.TemporaryDirectory() as place:
        folder, postgres = Path(place), Postgres()
        server = MlflowServer(folder, postgres.uri)
        try:
            server.start()
            proxy = Proxy(server.bare)
            for kind, steps in Kinds(postgres, server, proxy).table.items():
                if wanted.only is not None and not kind.startswith(wanted.only):
                    continue
                total, started = Counter[str](), time.monotonic()
                for number in range(wanted.restarts if kind.startswith("PostgreSQL") else wanted.each):
                    name = f"{kind.split()[0].strip(',').lower()}-{number}"
                    total += outage(folder / name, proxy.uri, name, steps, draw)
                sound &= not (total["lost"] or total["double"] or total["odd"])
                said = ", ".join(f"{total[word]} {word}" for word in ("outages", "records", "lost", "double", "odd"))
                print(f"{kind}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
            if wanted.pace:
                pace(folder / "pace", server, proxy.uri, wanted.pace)
            print(f"load {os.getloadavg()[0]:.1f}")
        finally:
            server.stop()
            postgres.close()
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
