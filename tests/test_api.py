"""The functions that notebooks call: where they work, and with how many processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pandas as pd
import pytest

import tracker
from tests.studies.project import SmallProject
from tracker import api
from tracker.errors import ConfigError


def busy(project: SmallProject, here: api.Project, workers: int | None) -> int:
    """How many processes were at work on a study, at most."""
    seen = [0]
    api.tune(
        project.config,
        "random",
        project=here,
        workers=workers,
        deliver=False,
        on_progress=lambda _: seen.append(len(multiprocessing.active_children())),
    )
    return max(seen)


def test_workers_are_those_that_were_asked_for(fresh: SmallProject) -> None:
    """`workers` counts beside `here` too; without it those of `here` do."""
    here = api.Project(fresh.paths, "sqlite:///unused.db", 1, "ada")
    assert 2 == busy(fresh, here, 2)
    assert 0 == busy(fresh, here, None)
    with pytest.raises(ConfigError, match="workers: expected a whole number from 1 on, found 0"):
        busy(fresh, here, 0)


def test_a_configuration_has_no_place(fresh: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are read from the file that is named; what is worked on is the current folder."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (fresh.paths.root / "notebooks").mkdir()
    monkeypatch.chdir(fresh.paths.root / "notebooks")
    config = api.load_config("../params.yaml")
    assert fresh.config == config
    assert fresh.paths.root / "notebooks" == api.Project.now().paths.root
    assert fresh.paths == api.Project.now(fresh.paths).paths


def test_studies_are_verified_from_python(fresh: SmallProject) -> None:
    """One by its name, several, or all of the configuration; nobody is told `identical` of nothing."""
    here = api.Project(fresh.paths, "sqlite:///unused.db", 1, "ada")
    config = fresh.config
    for name in ("grid", "manual", "random", "tpe"):
        config = config.with_(f"studies.{name}", {"sampler": "random", "trials": 2})
        tracker.tune(config, name, project=here, deliver=False)
    for names, told in (("random", ["random"]), (["tpe", "grid"], ["tpe", "grid"]), ((), list(config.studies))):
        found = list(tracker.verify(config, names, sample=1, project=here))
        assert all(isinstance(one, tracker.Verdict) for one in found)
        assert [(name, "identical", 1) for name in told] == [(one.name, one.state, one.derived) for one in found]
    with pytest.raises(ConfigError, match="sample: expected a whole number from 1 on, found 0"):
        next(tracker.verify(config, "random", sample=0, project=here))


def test_a_table_is_read_as_prepare_reads_it(fresh: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows read by `read_table` are predicted as those of the splits are, where a category is `NA` or has leading zeros."""
    root = fresh.paths.root
    table = pd.read_csv(root / "table.csv")
    zips = ["00123", "NA", "94110"]
    table["zip"] = [zips[(row + (row % 7 == 0)) % 3] for row in range(len(table))]
    table["kind"] = ["yes" if code == "NA" else "no" for code in table["zip"]]
    table.loc[::9, "kind"] = "no"
    table.to_csv(root / "table.csv", index=False)
    monkeypatch.chdir(root)
    read = tracker.read_table("table.csv")
    assert sorted(zips) == sorted(read["zip"].unique())
    config = fresh.config.with_("studies", {"random": {"sampler": "random", "trials": 1}})
    tracker.prepare(config)
    tracker.split(config)
    best = tracker.tune(config, "random", deliver=False).best_trial
    validation = pd.read_parquet(fresh.paths.splits / "validation.parquet")
    rows = read.merge(validation[["who"]], on="who")
    predicted = dict(zip(rows["who"], best.predict(rows)["label"], strict=True))
    assert predicted == dict(zip(validation["who"], best.predict(validation)["label"], strict=True))
    assert "NA" in set(rows["zip"])
