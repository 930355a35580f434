"""Opens what runs a study: this process, several, or a Ray cluster; which of them was asked for changes no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracker.config.resources import ONE_CPU, Resources
from tracker.errors import ConfigError

if TYPE_CHECKING:
    from tracker.datasets.training_data import TrainingData
    from tracker.execution.executor import DataSource, Executor

EXECUTORS = ("processes", "ray")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster, without an address the one that runs on this machine, else a new one here; what its workers need."""

    address: str | None = None
    needs: Resources = ONE_CPU


@contextmanager
def open_executor(
    workers: int, source: DataSource, data: TrainingData, lanes: int, cluster: Cluster | None = None
) -> Iterator[Executor]:
    """What trains: this process, so many others, or the cluster; what was started ends with the block."""
    executor = _open(workers, source, data, lanes, cluster)
    try:
        yield executor
    finally:
        executor.close()


def _open(workers: int, source: DataSource, data: TrainingData, lanes: int, cluster: Cluster | None) -> Executor:
    if cluster is not None:
        from tracker.execution.ray_cluster import RayExecutor

        return RayExecutor(data, source.root, cluster.address, lanes, cluster.needs)
    if workers > 1:
        from tracker.execution.processes import ProcessExecutor

        return ProcessExecutor(data, workers, lanes, source.root)
    from tracker.execution.executor import InlineExecutor

    return InlineExecutor(data, lanes, source.root)


def cluster_wanted(
    environ: Mapping[str, str], executor: str | None = None, address: str | None = None
) -> Cluster | None:
    """The cluster that is asked for, else that of TRACKER_EXECUTOR and TRACKER_ADDRESS; None for processes.

    The variable TRACKER_ADDRESS alone asks for nothing. Raises ConfigError.
    """
    executor = executor or environ.get("TRACKER_EXECUTOR") or EXECUTORS[0]
    if executor not in EXECUTORS:
        raise ConfigError(f"--executor (or TRACKER_EXECUTOR): expected {' or '.join(EXECUTORS)}, found {executor!r}")
    if executor == "ray":
        return Cluster(address or environ.get("TRACKER_ADDRESS") or None)
    if address:
        raise ConfigError(f"--address {address} is that of a Ray cluster and goes with --executor ray")
    return None


def needing(cluster: Cluster | None, needs: Resources) -> Cluster | None:
    """The cluster, if it is one that trains, whose workers reserve what params.yaml says."""
    return cluster and replace(cluster, needs=needs)


def workers_wanted(environ: Mapping[str, str]) -> int:
    """What TRACKER_WORKERS asks for. Raises ConfigError."""
    text = environ.get("TRACKER_WORKERS", "1")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"TRACKER_WORKERS: expected a whole number from 1 on, found {text!r}")
    return int(text)
