"""Rows that were split under other settings, or from another file, are not used in silence."""

from __future__ import annotations

import json
import os
from typing import Any

import pandas as pd
import pytest

from tests.datasets.place import Place
from tests.test_remedies import begin_dvc
from tracker import api
from tracker.config import Config, parse_config
from tracker.datasets.made_with import changed_settings, load_present, unrecorded
from tracker.datasets.storage import write_document
from tracker.errors import DataError
from tracker.evaluation.nested import nested
from tracker.paths import Paths
from tracker.remedies import find_dvc

PARAMS: dict[str, Any] = {
    "seed": 7,
    "data": {"source": "table.csv", "target": "churn", "id": "customer"},
    "studies": {"one": {"sampler": "manual", "configurations": [{}]}},
}


@pytest.fixture
def project(place: Place, table: pd.DataFrame) -> api.Project:
    place.write(table)
    found = api.Project.now(Paths.of(place.root, {}))
    api.prepare(config(), found)
    api.split(config(), found)
    return found


def config() -> Config:
    return parse_config(PARAMS, "params.yaml")


@pytest.mark.parametrize(
    ("entry", "value", "told"),
    [
        ("split.test", 0.3, r"split\.test was not set, is 0\.3 now"),
        ("split.selection", 0.5, r"split\.selection was not set, is 0\.5 now"),
        ("data.drop", ["age"], r"data\.drop was not set, is \['age'\] now"),
        ("data.id", None, r"data\.id was customer, is not set now"),
        ("seed", 8, r"seed was 7, is 8 now"),
    ],
)
def test_changed_settings_are_refused_with_what_differs(
    project: api.Project, entry: str, value: object, told: str
) -> None:
    """Tuning, baselines and nesting stop before anything is trained; the stages, run again, mend it."""
    changed = config().with_(entry, value)
    commands = r"run `tracker prepare`, then `tracker split`$"
    with pytest.raises(DataError, match=rf"{told}; {commands}"):
        api.tune(changed, "one", project=project, deliver=False)
    with pytest.raises(DataError, match=told):
        nested(changed, "one", 2, project.paths, lambda *_: None)  # type: ignore[arg-type,return-value]
    api.prepare(changed, project)
    api.split(changed, project)
    assert [] == changed_settings(changed, project.paths)
    load_present(changed, project.paths)


def test_what_does_not_touch_rows_is_no_change(project: api.Project) -> None:
    """Training, preprocessing and usual values written out leave the rows as they are."""
    same = config().with_("training.epochs", 3).with_("split.test", 0.2).with_("preprocessing.numeric.scale", "none")
    assert [] == changed_settings(same, project.paths)
    load_present(same, project.paths)


def test_another_file_is_told_and_one_that_is_gone_is_not(project: api.Project, table: pd.DataFrame) -> None:
    """A file with other bytes is not the one that was prepared, whatever its times; without it the splits do alone."""
    path = project.paths.root / "table.csv"
    content = path.read_bytes()
    os.utime(path, (1, 1))
    load_present(config(), project.paths)
    path.write_bytes(content.replace(b"c00001", b"c99999"))
    with pytest.raises(DataError, match=r"table\.csv is another file than the one that was prepared; run"):
        load_present(config(), project.paths)
    path.unlink()
    load_present(config(), project.paths)


def test_an_absolute_path_stands_in_no_file(place: Place, table: pd.DataFrame) -> None:
    """A project that moves stays as it was."""
    place.write(table)
    absolute, project = config().with_("data.source", str(place.root / "table.csv")), Paths.of(place.root, {})
    api.prepare(absolute, api.Project.now(project))
    api.split(absolute, api.Project.now(project))
    assert str(place.root) not in (place.splits / "manifest.json").read_text()
    assert [] == changed_settings(absolute, project)


def test_prepared_rows_that_were_not_split_are_refused(project: api.Project, table: pd.DataFrame) -> None:
    """Between `prepare` and `split` nothing is trained on the rows of before; another order, or a lost file, is no change."""
    path = project.paths.root / "table.csv"
    table.sample(frac=1, random_state=3).to_csv(path, index=False)
    api.prepare(config(), project)
    load_present(config(), project.paths)
    table.assign(age=table["age"] + 1).to_csv(path, index=False)
    api.prepare(config(), project)
    with pytest.raises(DataError, match=r"the prepared table has other rows than were split; run `tracker split`$"):
        load_present(config(), project.paths)
    with pytest.raises(DataError, match="other rows than were split"):
        nested(config(), "one", 2, project.paths, lambda *_: None)  # type: ignore[arg-type,return-value]
    kept = (project.paths.sealed / "prepared.json").read_bytes()
    (project.paths.sealed / "prepared.json").unlink()
    load_present(config(), project.paths)
    (project.paths.sealed / "prepared.json").write_bytes(kept)
    api.split(config(), project)
    load_present(config(), project.paths)


def test_the_same_file_under_another_name_is_the_same_table(project: api.Project) -> None:
    """Renaming the source leaves studies as they are; a file of other bytes under the new name does not."""
    path, renamed = project.paths.root / "table.csv", config().with_("data.source", "clients.csv")
    path.rename(path.with_name("clients.csv"))
    assert [] == changed_settings(renamed, project.paths)
    load_present(renamed, project.paths)
    path.with_name("clients.csv").write_bytes(path.with_name("clients.csv").read_bytes() + b"\n")
    assert [("data.source", "table.csv", "clients.csv")] == changed_settings(renamed, project.paths)


def test_splits_of_a_release_that_recorded_nothing_are_told(project: api.Project) -> None:
    """One line says that changes would go unseen and how to mend it; where DVC runs stages there is none."""
    path, paths = project.paths.splits / "manifest.json", project.paths
    assert "" == unrecorded(paths)
    told = {n: v for n, v in json.loads(path.read_text()).items() if n not in {"made_with", "digest"}}
    write_document(path, "splits", told)
    assert unrecorded(paths).endswith("unseen; run `tracker prepare`, then `tracker split`, to record them")
    load_present(config().with_("split.test", 0.3), paths)
    begin_dvc(paths.root)
    (paths.root / "dvc.lock").touch()
    assert (find_dvc() is not None) == (unrecorded(paths) == "")
