"""Drivers, workers and deliveries killed at random moments; `benchmarks/kills.py` does it a thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import deliveries, lives
from tests.faults.lives import SAMPLERS, Ending, Tally
from tests.faults.nursery import Nursery
from tests.faults.processes import hunt_processes
from tests.studies.project import Project


@pytest.mark.parametrize("study", SAMPLERS)
def test_a_study_ends_as_if_its_driver_had_never_been_killed(
    nursery: Nursery, origin: Project, endings: dict[str, Ending], tmp_path: Path, study: str
) -> None:
    """SIGKILL at random moments, then the same command: every report byte, nothing lost, nothing twice, nothing left over."""
    total = Tally()
    for life in range(2):
        draw = lives.rng(11, life, SAMPLERS.index(study))
        total += lives.hunt(nursery, origin, tmp_path / f"{life}", study, endings[study], draw, 0.4, 5)
    assert total.sound, str(total)
    assert total.kills >= 2


def test_networks_end_as_if_workers_and_delivery_had_never_been_killed(nursery: Nursery, tmp_path: Path) -> None:
    """Of a driver with two workers and a delivery process, any are killed; then the same command ends the same study."""
    origin = lives.make_project(tmp_path / "origin", networks=True, trials=8)
    deliveries.make_database(origin.paths.root / "mlflow.db")
    whole = lives.bear(nursery, origin, tmp_path / "whole", "random")
    runs, _ = deliveries.deliver_once(nursery, lives.at(origin, tmp_path / "whole"), tmp_path / "delivered")
    total = hunt_processes(nursery, origin, tmp_path / "hunted", "random", (whole, runs), lives.rng(12), 4.0)
    assert total.sound, str(total)


def test_mlflow_has_each_run_once_after_killed_deliveries(nursery: Nursery, project: Project, log: Path) -> None:
    """Deliveries are killed at random moments: at the end each run is there once, whole and FINISHED, no point twice."""
    for study in ("manual", "tpe"):
        assert 0 == nursery.run(project.paths.root, log, do="tune", study=study)
    deliveries.make_database(project.paths.root / "mlflow.db")
    folder = project.paths.root.parent
    expected, span = deliveries.deliver_once(nursery, project, folder / "whole")
    total = Tally()
    for life in range(2):
        draw = lives.rng(13, life)
        total += deliveries.hunt_delivery(nursery, project, folder / f"{life}", expected, draw, span * 0.7, 4)
    assert total.sound, str(total)
    assert total.kills >= 1
