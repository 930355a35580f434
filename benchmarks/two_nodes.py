"""Each study on a cluster of two real `ray start`, with a node and the driver killed: python -m benchmarks.two_nodes

As docs/howto/cluster.md says it, on the loopback interface: a head with one CPU, and a second node with one. Of each study's
trials a quarter are done when the second node is killed; then the driver (SIGKILL); then a node joins again, and the same
command ends the study. Its digest must be that of the same study in this one process.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import yaml

from benchmarks.ray_cluster import STUDIES
from tests.studies.project import PARAMS, SmallProject, make_table, surroundings
from tracker import api

NODE = ("--num-cpus", "1", "--object-store-memory", str(80 * 2**20), "--disable-usage-stats")


class Cluster:
    """Nodes that `ray start` made; all of their processes name the cluster's own folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.environ = folder, environ
        self.address = f"127.0.0.1:{self.port}"

    def start(self, *words: str) -> None:
        """`ray start` with these words."""
        ray = Path(sys.executable).with_name("ray")
        command = [str(ray), "start", *words, "--node-ip-address", "127.0.0.1", *NODE]
        subprocess.run(command, env=self.environ, check=True, stdout=subprocess.DEVNULL, timeout=120)

    def start_head(self) -> None:
        """The first node."""
        self.start("--head", "--port", str(self.port), "--include-dashboard=false", "--temp-dir", str(self.folder))

    def join(self) -> psutil.Process:
        """A further node; its raylet."""
        before = {process.pid for process in self.raylets()}
        self.start("--address", self.address)
        (new,) = [process for process in self.raylets() if process.pid not in before]
        return new

    def processes(self) -> Iterator[psutil.Process]:
        """All of the cluster's."""
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in process.info["cmdline"] or ()):
                yield process

    def raylets(self) -> list[psutil.Process]:
        """One per node."""
        return [process for process in self.processes() if Path(process.info["cmdline"][0]).name == "raylet"]

    def end(self) -> None:
        """Kills what is left, of this cluster alone."""
        for process in list(self.processes()):
            kill(process)


def kill(process: psutil.Process) -> None:
    """SIGKILL, if it is there still."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def kill_node(raylet: psutil.Process) -> None:
    """Everything on a node ends at once."""
    raylet.suspend()
    for child in raylet.children(recursive=True):
        kill(child)
    kill(raylet)


@contextmanager
def driver(root: Path, name: str, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`tracker tune NAME --executor ray`, whose lines of progress can be read."""
    words = [sys.executable, "-m", "tracker.cli", "tune", name, "--verbose"]
    with subprocess.Popen(words, cwd=root, env=environ, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def done_in(line: str) -> int:
    """How many trials a line of progress says are done, 0 where it is another line."""
    words = line.split(" of ", maxsplit=1)[0].rsplit(": ", 1)
    return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0


def disturbed(root: Path, name: str, trials: int, cluster: Cluster, environ: Mapping[str, str]) -> list[str]:
    """Runs a study through all that may happen to it; says what was reached when."""
    second: psutil.Process | None = cluster.join()
    said, code = list[str](), 1
    with driver(root, name, environ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            done = done_in(line)
            if second is not None and done >= trials // 4:
                kill_node(second)
                second = None
                said.append(f"node killed at {done}")
            elif done >= trials // 2:
                process.send_signal(signal.SIGKILL)
                said.append(f"driver killed at {done}")
                break
    for _ in range(3):  # a driver whose last node was lost asks to be run again
        if code:
            with driver(root, name, environ) as process:
                assert process.stderr is not None
                grown = None
                for line in process.stderr:
                    if grown is None:
                        grown = cluster.join()
                        said.append(f"node joined at {done_in(line)}")
                code = process.wait()
                if grown is not None:
                    kill_node(grown)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=64)
    wanted = parser.parse_args()
    alike = 0
    with tempfile.TemporaryDirectory(prefix="r") as place:
        studies = {
            name.replace(", ", "-"): {
                **study,
                "trials": wanted.trials,
                **({"generation": 16} if "generation" in study else {}),
            }
            for name, study in STUDIES.items()
        }
        text = yaml.safe_dump({**yaml.safe_load(PARAMS), "studies": studies, "training": {"epochs": 40}})
        project = SmallProject.made(Path(place) / "project", make_table(), text)
        environ = surroundings(project.paths.root, {"MLFLOW_TRACKING_URI": "sqlite:////nowhere/mlflow.db"})
        environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "TRACKER_EXECUTOR": "ray"}
        cluster = Cluster(Path(place) / "ray", environ)
        environ["TRACKER_ADDRESS"] = cluster.address
        try:
            cluster.start_head()
            for name in studies:
                started = time.monotonic()
                said = disturbed(project.paths.root, name, wanted.trials, cluster, environ)
                result = api.tune(project.config, name, project=api.Project.now(project.paths), deliver=False).result
                here = project.run(project.plan(name), Path(place) / f"here-{name}").digest
                same = here == result.digest and result.replayed == wanted.trials
                alike += same
                verdict = "the same" if same else "DIFFERS"
                took = f"{time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.0f}"
                print(f"{name:16} {result.digest[:12]} {verdict}; {', '.join(said)}; {took}", flush=True)
        finally:
            cluster.end()
    print(f"{alike} of {len(studies)} the same")
    raise SystemExit(0 if alike == len(studies) else 1)


if __name__ == "__main__":
    main()
