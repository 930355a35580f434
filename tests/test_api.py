"""The functions that notebooks call: where they work, and with how many processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tests.studies.project import Project
from tracker import api
from tracker.errors import ConfigError


def busy(project: Project, here: api.Here, workers: int | None) -> int:
    """How many processes were at work on a study, at most."""
    seen = [0]
    api.tune(
        project.config,
        "random",
        here=here,
        workers=workers,
        deliver=False,
        on_progress=lambda _: seen.append(len(multiprocessing.active_children())),
    )
    return max(seen)


def test_workers_are_those_that_were_asked_for(fresh: Project) -> None:
    """`workers` counts beside `here` too; without it those of `here` do."""
    here = api.Here(fresh.paths, "sqlite:///unused.db", 1, "ada")
    assert 2 == busy(fresh, here, 2)
    assert 0 == busy(fresh, here, None)
    with pytest.raises(ConfigError, match="workers: expected a whole number from 1 on, found 0"):
        busy(fresh, here, 0)


def test_a_configuration_has_no_place(fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are read from the file that is named; what is worked on is the current folder."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (fresh.paths.root / "notebooks").mkdir()
    monkeypatch.chdir(fresh.paths.root / "notebooks")
    config = api.load_config("../params.yaml")
    assert fresh.config == config
    assert fresh.paths.root / "notebooks" == api.Here.now().paths.root
    assert fresh.paths == api.Here.now(fresh.paths).paths
