"""Runs cohorts on a Ray cluster: an actor per CPU trains as a worker process does; the driver alone proposes and records.

The only module that imports Ray, and only where a cluster was asked for. Nodes need this package and the same libraries,
and no file of the project: rows go through Ray's object store, once to each node, code of the user's own as its text.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tracker.config.resources import ONE_CPU, Resources
from tracker.datasets.training_data import TrainingData
from tracker.errors import ConfigError, EnvironmentChanged, TrackerError
from tracker.execution.cohorts import MOST_LANES, Cohort, Cohorts
from tracker.execution.executor import Whereabouts
from tracker.execution.pool import GIVEN_UP_AFTER, Answer, Death, Pool, Ready, Worker
from tracker.execution.row_sets import RowSets, rows_named
from tracker.execution.trainee import Trainee, surroundings_here
from tracker.families.own_code import read_code
from tracker.numerics import PINS
from tracker.records import TrialSpec
from tracker.surroundings.changes import changes
from tracker.surroundings.environment import asked_of

POLL_S = 1.0  # how often the cluster is asked which nodes it has
CONNECT_S = 10.0
LEAVING_S = 0.5
KNOCK_S = 1.0
WAITS_S = 60.0  # for a node, where there is none
SHOWN = 3  # differences of a node


@dataclass(slots=True, eq=False)
class Actor(Worker):
    """A worker of the cluster: its handle, the node that it is on, and references to what it answers next."""

    handle: Any
    node: str
    answer: Any
    begun: Any = None  # answered before it trains a cohort: a trial that never began is not to blame for its death


@dataclass(frozen=True, slots=True)
class Node:
    """A node that lives, for how many workers it has room, and where its raylet listens."""

    name: str
    workers: int
    address: tuple[str, int]

    def is_gone(self) -> bool:
        """Whether nobody listens there any more; the cluster's list says so only after some missed health checks."""
        try:
            socket.create_connection(self.address, KNOCK_S).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


class RayExecutor(Pool[Actor]):
    """A pool of actors, one per CPU of every node whose environment is that of the study; it follows the cluster."""

    def __init__(
        self,
        data: TrainingData,
        root: Path | None,
        address: str | None = None,
        most_lanes: int = MOST_LANES,
        needs: Resources = ONE_CPU,
    ) -> None:
        super().__init__(Cohorts(data.x_train.shape[1], len(data.labels), 1, most_lanes))
        self._data, self._root, self._address, self._needs = data, root, address, needs
        self._link: _Link | None = None
        self._nodes: dict[str, Node] = {}
        self._refused: dict[str, str] = {}
        self._stillborn: Counter[str] = Counter()
        self._looked = self._had_nodes = 0.0

    def whereabouts(self) -> Whereabouts:
        """How many workers on how many nodes, and the nodes that get no work."""
        ready = [worker.node for worker in self.workers if worker.ready]
        nodes = len(set(ready))
        words = f"{len(ready)} worker{'s' * (len(ready) != 1)} on {nodes} node{'s' * (nodes != 1)}"
        return Whereabouts(words, tuple(self._refused.values()))

    def close(self) -> None:
        """Ends the actors, and the connection to the cluster where it was made here; a cluster that was begun here ends."""
        super().close()
        if self._link is not None:
            self._link.close()
        self._link, self._nodes = None, {}

    def _staff(self, queue: list[Cohort]) -> None:
        """One worker per CPU, where there is work for so many; where the cluster has grown, what waits is cut for it."""
        link = self._linked()
        if self._look_around(link):
            self._cut_anew(queue)
        if not queue:
            return
        wanted = sum(bool(worker.cohort) for worker in self.workers) + len(queue)
        while len(self.workers) < wanted and (node := self._roomiest()) is not None:
            self.workers.append(self._start(link, node, queue[0][0].spec))
        if not self.workers:
            self._require_nodes()

    def _start(self, link: _Link, node: str, spec: TrialSpec) -> Actor:
        ray, asked = link.ray, asked_of(spec.training, spec.family)
        texts = link.texts(self._root, spec)
        options: dict[str, Any] = {
            "num_cpus": self._needs.cpus,
            "num_gpus": self._needs.gpus,
            "memory": (self._needs.memory_mb or 0) * 10**6,
            "max_restarts": 0,
            "scheduling_strategy": ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False),
        }
        if asked[0] == "portable":
            options["runtime_env"] = {"env_vars": dict(PINS)}
        root = None if self._root is None else str(self._root.resolve())
        handle = ray.remote(Trainee).options(**options).remote(link.arrays, texts, root, link.parents(spec))
        return Actor(handle, node, handle.greet.remote(*asked))

    def _send(self, worker: Actor, cohort: Cohort) -> bool:
        worker.begun = worker.handle.begin.remote()
        rows = self._linked().rows(cohort)
        worker.answer = worker.handle.run.remote(cohort, list(rows), *rows.values())
        return True

    def _heard(self, awaited: Sequence[Actor]) -> list[Actor]:
        if not awaited:
            time.sleep(POLL_S / 10)
            return []
        ray = self._linked().ray
        answers = [worker.answer for worker in awaited]
        ray.wait(answers, num_returns=1, timeout=POLL_S)
        done, _ = ray.wait(answers, num_returns=len(answers), timeout=0)
        return [worker for worker in awaited if worker.answer in set(done)]

    def _receive(self, worker: Actor) -> Answer:
        link = self._linked()
        failures = link.ray.exceptions
        try:
            answer = link.ray.get(worker.answer)
        except failures.RayTaskError as error:
            raise TrackerError(f"{self._name(worker.node)}: {str(error).strip().splitlines()[-1]}") from None
        except failures.RayError as error:
            return self._death(link, worker, error)
        if worker.ready:
            return answer  # type: ignore[no-any-return]
        if reason := _differs(answer):
            self._refuse(worker.node, reason)
            self._end([worker])
            return Death(reason, blames=False)
        self._stillborn.pop(worker.node, None)
        return Ready()

    def _death(self, link: _Link, worker: Actor, error: Exception) -> Death:
        """A node that is lost, and an actor that had not begun, blame no trial."""
        self._end([worker])
        self._look_around(link, at_once=True)
        if worker.node in self._nodes:  # a node that is being shut down ends its workers a moment before it is gone
            time.sleep(LEAVING_S)
            self._look_around(link, at_once=True)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        ending = f"{self._name(worker.node)}: {lines[-1] if lines else type(error).__name__}"
        if worker.node not in self._nodes or self._nodes[worker.node].is_gone():
            return Death(ending, blames=False)
        if not worker.ready:
            self._stillborn[worker.node] += 1
            if self._stillborn[worker.node] >= GIVEN_UP_AFTER:
                self._refuse(worker.node, f"its workers end while they start ({lines[-1] if lines else error})")
        return Death(ending, blames=worker.ready and link.has(worker.begun))

    def _let_go(self, worker: Actor) -> None:
        worker.handle.forget.remote()

    def _end(self, workers: Sequence[Actor]) -> None:
        for worker in workers:
            if self._link is not None:
                self._link.ray.kill(worker.handle)

    def _linked(self) -> _Link:
        if self._link is None:
            self._link = _Link(self._address, RowSets(self._data))
            self._had_nodes = time.monotonic()
        return self._link

    def _look_around(self, link: _Link, at_once: bool = False) -> bool:
        """Asks, from time to time, which nodes there are; whether there are more CPUs than cohorts were cut for."""
        now = time.monotonic()
        if self._nodes and not at_once and now - self._looked < POLL_S:
            return False
        self._looked, self._nodes = now, link.nodes(self._needs)
        cpus = sum(node.workers for key, node in self._nodes.items() if key not in self._refused)
        grown = cpus > self.cohorts.workers
        self.cohorts.workers = max(cpus, 1)
        return grown

    def _cut_anew(self, queue: list[Cohort]) -> None:
        """What waits is cut for more workers; a trial that is to run alone stays so."""
        kept = [cohort for cohort in queue if any(self.deaths[segment.spec.key] for segment in cohort)]
        others = [segment for cohort in queue if cohort not in kept for segment in cohort]
        queue[:] = kept + self.cohorts.form(others)

    def _roomiest(self) -> str | None:
        """The node that has most CPUs without a worker of ours."""
        taken = Counter(worker.node for worker in self.workers)
        room = {key: node.workers - taken[key] for key, node in self._nodes.items() if key not in self._refused}
        best = max(room, key=lambda key: room[key], default=None)
        return best if best is not None and room[best] > 0 else None

    def _require_nodes(self) -> None:
        """Raises EnvironmentChanged where all nodes were refused, TrackerError where there is none for a while."""
        if self._nodes and self._nodes.keys() <= self._refused.keys():
            raise EnvironmentChanged(
                "no node of the cluster can take work:\n  "
                + "\n  ".join(self._refused[key] for key in self._nodes)
                + "\nNodes need the libraries and the kind of CPU of the machine that runs this command; or run it on a node"
            )
        if self._nodes:
            self._had_nodes = time.monotonic()
        elif self._linked().is_local:  # it never grows
            raise TrackerError(
                f"the Ray cluster has no node with {self._needs.words}: it is this machine alone, which has less; ask for "
                "less under resources, or name a cluster"
            )
        elif time.monotonic() - self._had_nodes > WAITS_S:
            raise TrackerError(
                f"the Ray cluster has had no node with {self._needs.words} for {WAITS_S:.0f} s; what was computed is "
                "kept, and the same command goes on"
            )

    def _refuse(self, node: str, reason: str) -> None:
        self._refused[node] = f"{self._name(node)} gets no work: {reason}"

    def _name(self, node: str) -> str:
        return f"node {self._nodes[node].name if node in self._nodes else node[:12]}"


class _Link:
    """The connection to a cluster, and the rows that were put there."""

    def __init__(self, address: str | None, sets: RowSets) -> None:
        self.ray = _import_ray()
        self.is_ours = not self.ray.is_initialized()
        self.is_local = self.is_ours and _connect(self.ray, address)
        self.arrays = self.ray.put(sets.whole)
        self._sets = sets
        self._others: dict[str, Any] = {}
        self._texts: dict[str, Mapping[str, str]] = {}

    def close(self) -> None:
        """Lets go of the rows; ends the connection, unless somebody else made it."""
        self.arrays = None
        self._others.clear()
        if self.is_ours:
            self.ray.shutdown()

    def rows(self, cohort: Cohort) -> dict[str, Any]:
        """References to the rows of runs that have not those of all, by what names them; each is put there once."""
        found = {rows_named(segment.spec): segment.spec for segment in cohort}
        for name, spec in found.items():
            if name is not None and name not in self._others:
                self._others[name] = self.ray.put(self._sets.of(spec))
        return {name: self._others[name] for name in found if name is not None}

    def nodes(self, needs: Resources) -> dict[str, Node]:
        """Nodes that live and have room for a worker, by their id."""
        found = [(node, _workers_of(node["Resources"], needs)) for node in self.ray.nodes() if node["Alive"]]
        return {
            node["NodeID"]: Node(_node_name(node), workers, (node["NodeManagerAddress"], node["NodeManagerPort"]))
            for node, workers in found
            if workers
        }

    def has(self, reference: Any) -> bool:
        """Whether it was answered."""
        if reference is None or not self.ray.wait([reference], timeout=0)[0]:
            return False
        try:
            self.ray.get(reference)
        except self.ray.exceptions.RayError:
            return False
        return True

    def parents(self, spec: TrialSpec) -> Mapping[str, bytes]:
        """The file of the weights that a run begins with, by its name; where it is not here the run says so."""
        folder = self._sets.whole.parents
        if not spec.parent or not isinstance(folder, Path):
            return {}
        path = folder / f"{spec.parent['weights']}.safetensors"
        return {path.name: path.read_bytes()} if path.is_file() else {}

    def texts(self, root: Path | None, spec: TrialSpec) -> Mapping[str, str] | None:
        """The user's own code behind a trial and its metrics, as it is read here, once. Raises ConfigError."""
        own = [spec.code, *spec.training.get("own_metrics", {}).values()]
        entries = [code["entry"] for code in own if "entry" in code]
        if root is None or not entries:
            return None
        for entry in entries:
            if entry not in self._texts:
                self._texts[entry] = read_code(root, entry).texts
        return {place: text for entry in entries for place, text in self._texts[entry].items()}


def _differs(node: Mapping[str, Any]) -> str:
    """What differs in a node's environment or in its copy of this package; empty where nothing does."""
    here = surroundings_here(*node["asked"])
    if (here["digest"], here["sources"]) == (node["digest"], node["sources"]):
        return ""
    found = [cause.words for cause in changes(here, node) if cause.name.startswith(("environment", "sources"))]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more if found else f"its environment is {node['digest'][:12]}"


def _import_ray() -> ModuleType:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise ConfigError(
            f"executor: ray needs Ray, which cannot be imported ({error}); install repro-tracker[ray]"
        ) from None
    module: ModuleType = ray
    return module


def _connect(ray: ModuleType, address: str | None) -> bool:
    """To the cluster at an address, else to the one of this machine, else to a new one here, which ends with this process.

    Says whether it is a new one. Raises TrackerError.
    """
    _require_answer(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _signals_kept():
        try:
            ray.init(address or "auto", **quiet)
        except ConnectionError as error:
            if address is not None:
                raise TrackerError(f"no Ray cluster answers at {address}: {error}") from None
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            return True
        except (ImportError, RuntimeError, ValueError) as error:
            raise TrackerError(f"no connection to the Ray cluster at {address or 'this machine'}: {error}") from None
    return False


def _require_answer(address: str | None) -> None:
    """Ray itself would try for many minutes. Raises TrackerError."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        except OSError as error:
            raise TrackerError(f"no Ray cluster answers at {address}: {error}") from None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray sets a handler of SIGTERM of its own; a command has its own way to end."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _workers_of(has: Mapping[str, float], needs: Resources) -> int:
    """How many workers with such needs a node has room for."""
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": (needs.memory_mb or 0) * 10**6}
    return min(int(has.get(name, 0) / amount) for name, amount in wanted.items() if amount)


def _node_name(node: Mapping[str, Any]) -> str:
    names = [node["NodeManagerHostname"], node["NodeManagerAddress"], node["NodeName"]]
    return " ".join(dict.fromkeys(name for name in names if name))
