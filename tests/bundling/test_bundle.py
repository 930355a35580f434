"""A bundle of a scored result, checked where there is nothing but the package; altered ones, and one with code of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load, save
from typer.testing import CliRunner

from tests.families.test_build import NET
from tests.families.test_build import PARAMS as OWN
from tests.studies.project import SmallProject, make_table
from tracker import api
from tracker.api import Project
from tracker.bundling.archive import pack, read_archive
from tracker.bundling.made_up import make_rows
from tracker.canonical import canonical_json, digest_bytes
from tracker.cli import app
from tracker.deriving.verdict import Verdict
from tracker.errors import NotFoundError
from tracker.families.trusted_code import code_digest
from tracker.terminal.verdicts import verdict_lines

PARTS = ["files", "records", "looks", "scores", "model"]


def scored(project: SmallProject, study: str) -> Project:
    here = Project(project.paths, "", 1, "ada")
    project.config = project.config.with_("studies", {study: {"sampler": "random", "trials": 4}})
    api.tune(project.config, study, project=here, deliver=False)
    api.compare(project.config, here).test(anyway=True)
    return here


@pytest.fixture(scope="module")
def here(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose chosen trial was scored once."""
    return scored(small_project.copy(tmp_path_factory.mktemp("scored") / "project"), "random")


@pytest.fixture(scope="module")
def whole(here: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of its bundle, labels among them."""
    path = tmp_path_factory.mktemp("bundle") / "final.zip"
    assert api.bundle(path, labels=True, project=here).labels
    return read_archive(path)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing in it, in which commands run."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_bundle_is_sound_with_nothing_but_the_package(here: Project, empty: Path, tmp_path: Path) -> None:
    """Every part is identical, nothing is written where it is checked, and equal results give equal bytes."""
    path, again = tmp_path / "final.zip", tmp_path / "again.zip"
    made, other = (api.bundle(one, project=here) for one in (path, again))
    assert (path.read_bytes(), made.size) == (again.read_bytes(), other.size)
    done = CliRunner().invoke(app, ["verify", str(path)])
    told = [line.partition(" (")[0] for line in done.stdout.splitlines()]
    assert (0, [f"{name}: identical" for name in PARTS]) == (done.exit_code, told)
    assert [] == list(empty.iterdir())


def test_no_row_of_the_table_and_no_label_travels_unasked(here: Project, tmp_path: Path) -> None:
    """No row's name is in any file, no table, and no list of labels."""
    api.bundle(tmp_path / "final.zip", project=here)
    files = read_archive(tmp_path / "final.zip")
    names = make_table()["who"]
    assert not any(who in content.decode(errors="replace") for content in files.values() for who in names)
    assert not any(name.endswith(".parquet") for name in files)
    assert "test_labels.json" not in files


def test_with_the_table_the_result_is_derived_again(here: Project, whole, empty: Path, tmp_path: Path) -> None:
    """Prepared, split, trained and scored from the table alone; with a row less it says so and goes no further."""
    path, table = tmp_path / "final.zip", here.paths.root / "table.csv"
    path.write_bytes(pack(whole))
    found = list(api.verify_bundle(path, str(table)))
    assert [*((name, "identical") for name in [*PARTS, "data"])] == [(one.name, one.state) for one in found[:-1]]
    assert ("final", "identical") == (found[-1].kind, found[-1].state)
    lines = table.read_text().splitlines(keepends=True)
    (tmp_path / "less.csv").write_text("".join(lines[:-1]))
    found = list(api.verify_bundle(path, str(tmp_path / "less.csv")))
    assert ("data", "differs") == (found[-1].name, found[-1].state)


def forged(files: dict[str, bytes]) -> bytes:
    """The bundle of changed files, whose list of files agrees with them."""
    head = json.loads(files["bundle.json"])
    others = {name: content for name, content in files.items() if name != "bundle.json"}
    head["files"] = {name: {"bytes": len(content), "sha256": digest_bytes(content)} for name, content in others.items()}
    return pack({**others, "bundle.json": canonical_json(head) + b"\n"})


def edited(name: str, edit: Callable[[Any], object]) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        value = json.loads(files[name])
        edit(value)
        files[name] = canonical_json(value) + b"\n"

    return change


def without(start: str) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        for name in [name for name in files if name.startswith(start)]:
            del files[name]

    return change


def other_predictions(files: dict[str, bytes]) -> None:
    found = load(files["predictions.safetensors"])
    files["predictions.safetensors"] = save({**found, "made_up": found["made_up"] * 0.99})


def flipped_test(files: dict[str, bytes]) -> None:
    found = load(files["predictions.safetensors"])
    files["predictions.safetensors"] = save({**found, "test": found["test"][:, ::-1].copy()})


def other_weights(files: dict[str, bytes]) -> None:
    content = bytearray(files["model/weights.safetensors"])
    content[-1] ^= 1
    files["model/weights.safetensors"] = bytes(content)


def other_record(files: dict[str, bytes]) -> None:
    files["models/random/trials.jsonl"] = files["models/random/trials.jsonl"].replace(
        b'"best_epoch":', b'"best_epoch": '
    )


FORGED = {
    "a better score": ("looks", edited("reports/final.json", lambda d: d["test"].update(f1=0.999))),
    "another trial": ("records", edited("reports/final.json", lambda d: d.update(trial=d["trial"] + 1))),
    "another parameter": ("records", edited("reports/final.json", lambda d: d["params"].update(units=9))),
    "a better trial": ("records", edited("reports/studies/random.json", lambda d: d["trials"][0].update(value=0.99))),
    "no records": ("records", without("models/random/")),
    "no look": ("looks", without("reports/looks/")),
    "a label": ("scores", edited("test_labels.json", lambda d: d.__setitem__(0, "ham" if d[0] == "spam" else "spam"))),
    "labels that are unknown": ("scores", edited("test_labels.json", lambda d: d.__setitem__(0, "wurst"))),
    "predictions of test rows": ("scores", flipped_test),
    "predictions of made-up rows": ("model", other_predictions),
    "weights": ("model", other_weights),
    "the description of the model": ("model", edited("model/model.json", lambda d: d["params"].update(activation="gelu"))),
    "code that was never trained": (
        "model", edited("model/model.json", lambda d: d.update(code={"x.py": "open('MARK', 'w')"}, spec={"code": {}}))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_part_is_told(whole: dict[str, bytes], name: str, empty: Path, tmp_path: Path) -> None:
    """13 changes with a list of files that agrees: the part that is contradicted differs, and nothing runs."""
    part, change = FORGED[name]
    files = dict(whole)
    change(files)
    (tmp_path / "final.zip").write_bytes(forged(files))
    bad = [(one.name, one.state) for one in api.verify_bundle(tmp_path / "final.zip") if one.state != "identical"]
    assert (part, "differs") == bad[0]
    assert [] == list(empty.iterdir())


def test_an_altered_file_is_told_by_the_list_of_files(whole: dict[str, bytes], tmp_path: Path) -> None:
    """One that is another, one that is missing, one too many: nothing else of the bundle is believed."""
    for change in (other_record, without("params.yaml"), lambda files: files.update({"reports/x.json": b"{}"})):
        files = dict(whole)
        change(files)
        (tmp_path / "final.zip").write_bytes(pack(files))
        [found] = api.verify_bundle(tmp_path / "final.zip")
        assert ("files", "differs", 10) == (found.name, found.state, found.exit_code)
        assert "bundle.json lists" in verdict_lines(found)[1]


def test_nothing_scored_is_nothing_to_bundle(small_project: SmallProject, tmp_path: Path) -> None:
    """Before a look there is no bundle, and no file."""
    with pytest.raises(NotFoundError, match=r"final\.json"):
        api.bundle(tmp_path / "final.zip", project=Project(small_project.paths, "", 1, "ada"))
    assert [] == list(tmp_path.iterdir())


def verdicts(path: Path, trust: str | None = None, data: str | None = None) -> Iterator[Verdict]:
    return iter(list(api.verify_bundle(path, data, trust=trust)))


def test_code_of_the_sender_runs_only_where_it_is_trusted(empty: Path, tmp_path: Path) -> None:
    """Elsewhere the model is not opened and the digest is named; with it the model opens, and trains again from the table."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/model.py").write_text(NET)
    project = SmallProject.made(tmp_path / "own", make_table(), OWN)
    here = scored(project, "own")
    path = tmp_path / "final.zip"
    api.bundle(path, project=here)
    code = json.loads(read_archive(path)["bundle.json"])["code"]
    *_, model = verdicts(path)
    assert ("model", "cannot", 11) == (model.name, model.state, model.exit_code)
    assert f"--trust {code_digest(code)}" in verdict_lines(model)[1]
    *others, final = verdicts(path, code_digest(code), str(project.paths.root / "table.csv"))
    assert {"identical"} == {one.state for one in others}
    assert ("final", "identical") == (final.kind, final.state)


def test_made_up_rows_have_gaps_only_where_gaps_are_filled() -> None:
    """Every kind of column, the same rows each time; categories are known ones."""
    columns = [
        {"name": "n", "kind": "numeric", "center": 3.0, "scale": 2.0, "fill": None},
        {"name": "f", "kind": "numeric", "center": 0.0, "scale": 1.0, "fill": 0.5},
        {"name": "c", "kind": "categorical", "categories": ["a", "b"], "fill": None},
        {"name": "b", "kind": "boolean", "fill": None},
        {"name": "d", "kind": "date", "first": "2024-01-01", "parts": [], "fill": None},
    ]
    rows = make_rows({"columns": columns})
    assert rows == make_rows({"columns": columns})
    assert all(-1.0 <= row["n"] <= 7.0 for row in rows)
    assert {"a", "b"} == {row["c"] for row in rows}
    assert {"true", "false"} == {row["b"] for row in rows}
    assert 0 < sum(row["f"] is None for row in rows) < len(rows)
    assert all("2024-01-01" <= row["d"] <= "2026-10-01" for row in rows)
