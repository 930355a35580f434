"""Drivers, workers and deliveries killed at random moments; `benchmarks/kills.py` does it a thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import deliveries, lives
from tests.faults.lives import STUDIES, Ending, Tally
from tests.faults.nursery import Nursery
from tests.faults.processes import hunt_processes
from tests.studies.project import SmallProject


def test_the_studies_are_what_they_are_killed_for(endings: dict[str, Ending]) -> None:
    """Of the study with a pruner some trials are stopped, at several rungs, and some are not; trials with repeats have runs."""
    median, repeats = endings["median"], endings["repeats"]
    assert {"complete", "paused"} == set(median.states.values())
    stopped = {epoch for rungs in median.decisions for epoch, decided in rungs.items() if any(decided.values())}
    assert len(stopped) > 1
    assert [2] * 12 == [len(proposal.runs) for proposal in repeats.proposals]
    assert (12, 24) == (repeats.rows["proposals"], repeats.rows["outcomes"])


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_ends_as_if_its_driver_had_never_been_killed(
    nursery: Nursery, origin: SmallProject, endings: dict[str, Ending], tmp_path: Path, study: str
) -> None:
    """SIGKILL at random moments, then the same command: every report byte, nothing lost, nothing twice, nothing left over."""
    total = Tally()
    for life in range(2):
        draw = lives.rng(11, life, STUDIES.index(study))
        total += lives.hunt(nursery, origin, tmp_path / f"{life}", study, endings[study], draw, 0.4, 5)
    assert total.sound, str(total)
    assert total.kills >= 2


@pytest.mark.parametrize("study", ["median", "random"])
def test_networks_of_ones_own_end_as_if_their_driver_had_never_been_killed(
    nursery: Nursery, tmp_path: Path, study: str
) -> None:
    """Trials that cannot be taken up where they paused begin again: the same study, pruned or not."""
    origin = lives.make_project(tmp_path / "origin", "build", trials=8)
    expected = lives.bear(nursery, origin, tmp_path / "whole", study)
    span = lives.length(nursery, origin, tmp_path / "timed", study)
    total = lives.hunt(nursery, origin, tmp_path / "hunted", study, expected, lives.rng(15), span, 5)
    assert total.sound, str(total)


def test_a_study_does_not_know_how_many_workers_died_with_their_driver(
    nursery: Nursery, project: SmallProject, endings: dict[str, Ending], tmp_path: Path
) -> None:
    """Drivers with two workers are killed, the last one has none: the end is that of one who was alone all the time."""
    span = lives.length(nursery, project, tmp_path / "timed", "median", workers=2)
    draw = lives.rng(16)
    total = lives.hunt(nursery, project, tmp_path / "hunted", "median", endings["median"], draw, span, 3, workers=2)
    assert total.sound, str(total)


def test_networks_end_as_if_workers_and_delivery_had_never_been_killed(nursery: Nursery, tmp_path: Path) -> None:
    """Of a driver with two workers and a delivery process, any are killed; then the same command ends the same study."""
    origin = lives.make_project(tmp_path / "origin", "networks", trials=8)
    deliveries.make_database(origin.paths.root / "mlflow.db")
    whole = lives.bear(nursery, origin, tmp_path / "whole", "random")
    runs, _ = deliveries.deliver_once(nursery, lives.at(origin, tmp_path / "whole"), tmp_path / "delivered")
    total = hunt_processes(nursery, origin, tmp_path / "hunted", "random", (whole, runs), lives.rng(12), 4.0)
    assert total.sound, str(total)


def test_mlflow_has_each_run_once_after_killed_deliveries(nursery: Nursery, project: SmallProject, log: Path) -> None:
    """Deliveries are killed at random moments: at the end each run is there once, whole and FINISHED, no point twice."""
    for study in ("manual", "median", "repeats"):
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
