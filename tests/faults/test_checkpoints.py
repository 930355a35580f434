"""Paused networks whose process is killed: the next one goes on from checkpoints, and can do without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import lives
from tests.faults.lives import Ending
from tests.faults.nursery import Nursery
from tests.studies.project import SmallProject
from tracker.canonical import digest_bytes

STUDY = "median"
ALWAYS = {"checkpoint_after_s": 0, "watched": True}  # at every rung, however short the way there was


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project whose study of networks is pruned; only to be copied."""
    return lives.make_project(tmp_path_factory.mktemp("networks") / "project", "networks", trials=8)


@pytest.fixture(scope="module")
def whole(nursery: Nursery, networks: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ending, int]:
    """How the study ends when nothing interrupts it, and how many epochs it trains; `die_before` counts epochs of cohorts."""
    root = tmp_path_factory.mktemp("whole") / "project"
    project, log = lives.copy(networks, root), root.with_suffix(".log")
    assert 0 == nursery.run(root, log, do="tune", study=STUDY, watched=True), log.read_text()
    return Ending.of(project, STUDY), log.read_text().count("trained ")


def checkpoints(project: SmallProject) -> list[Path]:
    return sorted((project.paths.store / "checkpoints").glob("*.checkpoint"))


def killed(nursery: Nursery, networks: SmallProject, root: Path, before: int) -> SmallProject:
    """The project after a driver that wrote checkpoints was killed before an epoch."""
    project = lives.copy(networks, root)
    driver = nursery.start(root, root.with_suffix(".first"), do="tune", study=STUDY, die_before=before, **ALWAYS)
    assert -9 == driver.wait()
    return project


def trained(log: Path) -> int:
    """How many epochs of single runs a driver trained."""
    lines = log.read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("trained "))


def gone_on(nursery: Nursery, project: SmallProject, expected: Ending) -> int:
    """How many epochs the same command trains until the study is what it would have been."""
    root = project.paths.root
    log = root.with_suffix(".log")
    assert 0 == nursery.run(root, log, do="tune", study=STUDY, watched=True), log.read_text()
    tally = lives.tally_of(project, STUDY, expected)
    assert tally.sound, str(tally)
    return trained(log)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_with_another(path: Path) -> None:
    path.write_bytes(b"\n")


def tamper(path: Path) -> None:
    """A checkpoint that is whole, and not what this release would have written."""
    content = path.read_bytes()
    body = content[content.index(b"\n") + 1 :].replace(b'"waiting"', b'"patience"', 1)
    path.write_bytes(digest_bytes(body).encode() + b"\n" + body)


def test_a_pruned_study_of_networks_is_replayed_to_the_same_files(
    nursery: Nursery, networks: SmallProject, whole: tuple[Ending, int], tmp_path: Path
) -> None:
    """The command that computed it and the one that takes all from the store write the same bytes, and nothing is trained."""
    project = lives.copy(networks, tmp_path / "project")
    assert 0 < gone_on(nursery, project, whole[0])
    (tmp_path / "project.log").unlink()
    assert 0 == gone_on(nursery, project, whole[0])


DAMAGES = (flip, halve, replace_with_another, Path.unlink, tamper)


def test_a_killed_pause_goes_on_from_checkpoints_where_they_are_whole(
    nursery: Nursery, networks: SmallProject, whole: tuple[Ending, int], tmp_path: Path
) -> None:
    """Killed while networks wait at rungs: with checkpoints fewer epochs are trained than without; the end is the same."""
    expected, epochs = whole
    found: dict[str, list[tuple[int, int]]] = {}
    for place, before in enumerate(
        reversed(range(2, epochs, max(1, epochs // 30)))
    ):  # the first ones are the self-test's
        tried = sum(map(len, found.values()))
        if tried == 2 * len(DAMAGES):
            break
        project = killed(nursery, networks, tmp_path / f"{place}", before)
        other = lives.copy(project, tmp_path / f"{place}-damaged")
        damage = DAMAGES[tried % len(DAMAGES)]
        if checkpoints(other):
            for path in checkpoints(other):
                damage(path)
            pair = gone_on(nursery, project, expected), gone_on(nursery, other, expected)
            found.setdefault(damage.__name__, []).append(pair)
    assert {damage.__name__ for damage in DAMAGES} == set(found)
    pairs = [pair for pairs in found.values() for pair in pairs]
    assert [] == [pair for pair in pairs if pair[0] >= pair[1]], found


def test_networks_that_write_checkpoints_end_as_if_they_had_never_been_killed(
    nursery: Nursery, networks: SmallProject, whole: tuple[Ending, int], tmp_path: Path
) -> None:
    """Killed at random moments, writing a checkpoint too: the same study, and no checkpoint is left behind."""
    span = lives.length(nursery, networks, tmp_path / "timed", STUDY, checkpoint_after_s=0)
    total = lives.Tally()
    for life in range(2):
        draw, root = lives.rng(17, life), tmp_path / f"{life}"
        total += lives.hunt(nursery, networks, root, STUDY, whole[0], draw, span * 0.7, 5, checkpoint_after_s=0)
    assert total.sound, str(total)
    assert total.kills >= 2
