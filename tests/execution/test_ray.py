"""A Ray cluster: the same outcomes as everywhere, whichever nodes come, go or compute otherwise.

The cluster is real, several nodes on this machine, each with its own raylet; a node is killed by killing its processes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.execution.contract import ExecutorContract, alone, outcomes, segments
from tests.studies.loops import NETWORK, SMALL, LoopProject
from tests.studies.project import SmallProject, surroundings
from tracker import api
from tracker.config.resources import Resources
from tracker.errors import ConfigError, EnvironmentChanged, TrackerError
from tracker.execution import pool, ray_cluster
from tracker.execution.processes import ProcessExecutor
from tracker.execution.ray_cluster import RayExecutor

pytest.importorskip("ray", reason="Ray is an extra: repro-tracker[ray]")
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
QUICK = {"health_check_period_ms": 300, "health_check_failure_threshold": 2, "health_check_initial_delay_ms": 0}
PRUNED = {
    "studies__tpe": {
        "sampler": "tpe",
        "trials": 24,
        "generation": 8,
        "pruner": {"name": "median", "n_startup_trials": 3},
    },
    "training": {"epochs": 6, "early_stopping": {"monitor": "val_loss", "patience": 3}},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one node with one CPU; tests add nodes and take them away again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        head = {**NODE, "include_dashboard": False, "_system_config": QUICK}
        made = Cluster(initialize_head=True, head_node_args=head)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def connected(cluster: Any) -> Iterator[Any]:
    """The cluster, and this process connected to it, as notebooks are."""
    import ray

    before = signal.getsignal(signal.SIGTERM)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    signal.signal(signal.SIGTERM, before)


class TestRay(ExecutorContract):
    """One node."""

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls, small_project: SmallProject, connected: Any) -> Iterator[RayExecutor]:
        executor = RayExecutor(small_project.data, None)
        yield executor
        executor.close()


class Nomad(RayExecutor):
    """An executor in whose second call a node joins; it is killed when it was given work a second time.

    Work that is short may be done by then: what it is given next is lost.
    """

    def __init__(self, project: SmallProject, cluster: Any) -> None:
        super().__init__(project.data, None, most_lanes=1)
        self.cluster, self.calls, self.given = cluster, 0, 0
        self.node: Any = None
        self.lost: list[Any] = []

    def run(self, segments):
        self.calls += 1
        if self.calls == 2:
            self.node = self.cluster.add_node(**NODE)
            self._looked = 0.0
        return super().run(segments)

    def _staff(self, queue):
        super()._staff(queue)
        while self.node and self.given < 2 and not all(worker.ready for worker in self.workers):
            [_ for worker in self.workers if not worker.ready for _ in self._collect(worker, queue)]

    def _send(self, worker, cohort):
        sent = super()._send(worker, cohort)
        if self.node is not None and worker.node == self.node.node_id:
            self.given += 1
            if self.given == 2:
                kill_machine(self.cluster, self.node)
        return sent

    def _queue_again(self, cohort, death, queue):
        self.lost += cohort
        super()._queue_again(cohort, death, queue)


def kill_machine(cluster: Any, node: Any) -> None:
    """Everything on a node ends at once, and nobody there says so."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    raylet.suspend()
    for child in raylet.children(recursive=True):
        child.kill()
    cluster.remove_node(node, allow_graceful=False)


def test_one_digest_wherever_a_study_runs(fresh: SmallProject, tmp_path: Path, connected: Any) -> None:
    """A study with a pruner: this process, two others, one node; a second one joins late and is killed with work in hand."""
    plan, nomad = fresh.plan("tpe", **PRUNED), Nomad(fresh, connected)
    found = {
        "here": fresh.run(plan),
        "processes": fresh.run(plan, tmp_path / "processes", ProcessExecutor(fresh.data, 2)),
        "nodes": fresh.run(plan, tmp_path / "nodes", nomad),
    }
    assert {found["here"].digest} == {result.digest for result in found.values()}
    assert nomad.lost, "the second node was killed with work in hand"
    assert {} == nomad.deaths, "that a node is lost blames no trial"
    assert 0 < sum(trial.state == "pruned" for trial in found["here"].trials)


def test_a_driver_that_is_killed_is_run_again(fresh: SmallProject, tmp_path: Path, connected: Any) -> None:
    """SIGKILL in the middle of `tracker tune --executor ray`; the same command ends as if nothing had been."""
    whole = fresh.run(fresh.plan("tpe"), tmp_path / "whole")
    environ = surroundings(fresh.paths.root, {"MLFLOW_TRACKING_URI": "sqlite:////nowhere/mlflow.db"})
    environ |= {"TRACKER_EXECUTOR": "ray", "TRACKER_ADDRESS": connected.address}
    words = [sys.executable, "-m", "tracker.cli", "tune", "tpe", "--verbose"]
    with subprocess.Popen(words, cwd=fresh.paths.root, env=environ, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        line = next(line for line in driver.stderr if ": 4 of 16" in line)
        driver.kill()
    assert line.rstrip().endswith("1 worker on 1 node")
    project = api.Project.now(fresh.paths, executor="ray", address=connected.address)
    again = api.tune(fresh.config, "tpe", project=project, deliver=False)
    assert whole.digest == again.result.digest
    assert 4 <= again.result.replayed < 16


def test_a_node_that_computes_otherwise_is_named_and_gets_no_work(small_project: SmallProject, connected: Any) -> None:
    """A node with other kernels is refused, with the reason, and the others do the work."""
    specs = small_project.specs("random", studies__random__trials=12)
    other = connected.add_node(**NODE, env_vars={"ATEN_CPU_CAPABILITY": "default"})
    executor = RayExecutor(small_project.data, None, most_lanes=1)
    try:
        found = [outcomes(executor.run(segments(specs)))]
        while not executor.whereabouts().refused:  # its worker may still be starting
            found.append(outcomes(executor.run(segments(specs))))
        assert all(alone(small_project, specs) == one for one in found)
        [refused] = executor.whereabouts().refused
        assert "gets no work: the CPU instructions that torch uses: " in refused
    finally:
        executor.close()
        connected.remove_node(other)


def test_where_no_node_computes_alike_nothing_runs(
    small_project: SmallProject, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another torch here than on every node the run ends, and names what differs."""
    del connected
    here = ray_cluster.surroundings_here("native", "mlp")
    elsewhere = {**here, "digest": "other", "environment": {**here["environment"], "torch": "1.0"}}
    monkeypatch.setattr(ray_cluster, "surroundings_here", lambda *_: elsewhere)
    executor = RayExecutor(small_project.data, None)
    try:
        with pytest.raises(EnvironmentChanged, match=r"no node .*can take work:\n  node .* gets no work: torch: 1\.0 "):
            outcomes(executor.run(segments(small_project.specs("manual"))))
    finally:
        executor.close()


def test_what_a_worker_reserves_says_how_many_fit(
    fresh: SmallProject, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node gets workers for its CPUs and its memory; where none has room the message names what was asked for."""
    monkeypatch.setattr(ray_cluster, "WAITS_S", 0.0)
    roomy = connected.add_node(**{**NODE, "num_cpus": 5}, memory=3 * 10**9)
    project = api.Project.now(fresh.paths, executor="ray", address=connected.address)
    needs = Resources(cpus=2, memory_mb=1000)
    executor = RayExecutor(fresh.data, None, needs=needs)
    try:
        nodes = executor._linked().nodes(needs)
        assert {roomy.node_id: 2} == {key: node.workers for key, node in nodes.items()}
        specs = fresh.specs("random", studies__random__trials=3)
        assert alone(fresh, specs) == outcomes(executor.run(segments(specs)))
        wide = fresh.config.with_("resources", {"cpus": 6, "memory_mb": 500, "gpus": 0.5})
        with pytest.raises(TrackerError, match=r"has had no node with 6 CPUs, 500 MB, 0\.5 GPU for"):
            api.tune(wide, "random", project=project, deliver=False)
        monkeypatch.undo()
        executor._needs = Resources(cpus=6)
        executor._linked().is_local = True
        executor._look_around(executor._linked(), at_once=True)
        with pytest.raises(TrackerError, match="has no node with 6 CPUs: it is this machine alone"):
            executor._require_nodes()
    finally:
        executor.close()
        connected.remove_node(roomy)


def test_own_code_travels_as_its_text(tmp_path: Path, connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without the project's files trains the user's own loop; a trial that kills its workers ends the run, as ever."""
    del connected
    monkeypatch.setattr(pool, "ALONE_AFTER", 1)
    monkeypatch.setattr(pool, "GIVEN_UP_AFTER", 2)
    deadly = '    if hyperparameters["width"] == 8:\n        os.kill(os.getpid(), 9)\n    net = make'
    loop = "import os\n" + NETWORK.replace("    net = make", deadly)
    project = LoopProject.with_loop(tmp_path / "project", loop, nets__small=SMALL)
    specs = project.specs("random", studies__random__trials=12)
    survivors = [spec for spec in specs if spec.params["width"] == 4]
    here = outcomes(project.executor().run(segments(survivors)))
    victim = next(spec for spec in specs if spec.params["width"] == 8)
    executor, found = RayExecutor(project.data, project.paths.root), []
    try:
        with pytest.raises(TrackerError, match=r"worker ended 2 times \(node .*'width': 8"):
            found.extend(executor.run(segments([survivors[0], victim, *survivors[1:]])))
    finally:
        executor.close()
    assert here == outcomes(found)
    assert {"complete"} == {outcome.state for outcome in here.values()}


def test_without_ray_the_message_says_how_to_get_it(
    small_project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Ray is not installed nothing else fails, and asking for it is an error of one line."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"^executor: ray needs Ray, .*; install repro-tracker\[ray\]$"):
        outcomes(RayExecutor(small_project.data, None).run(segments(small_project.specs("manual"))))


def test_an_address_where_no_cluster_is_is_said() -> None:
    """A wrong address ends at once, with a message that names it."""
    import ray

    with pytest.raises(TrackerError, match=r"^no Ray cluster answers at 127\.0\.0\.1:1: "):
        ray_cluster._connect(ray, "127.0.0.1:1")


@pytest.mark.parametrize(
    ("environ", "given", "expected"),
    [
        ({}, (None, None), None),
        ({"TRACKER_ADDRESS": "a:1"}, (None, None), None),
        ({"TRACKER_EXECUTOR": "ray"}, (None, None), ("ray", None)),
        ({"TRACKER_EXECUTOR": "ray", "TRACKER_ADDRESS": "a:1"}, (None, "b:2"), ("ray", "b:2")),
        ({"TRACKER_EXECUTOR": "ray"}, ("processes", None), None),
    ],
)
def test_who_asks_for_a_cluster(environ: dict[str, str], given: tuple[str, str], expected: Any) -> None:
    """Options come before variables, and an address alone asks for nothing."""
    from tracker.execution.opening import Cluster, cluster_wanted

    assert (expected and Cluster(expected[1])) == cluster_wanted(environ, *given)
