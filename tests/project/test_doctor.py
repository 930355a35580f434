"""`tracker doctor` finds what is wrong in any part of a project, and --repair moves bad rows aside without losing the rest."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.studies.project import PARAMS, SmallProject
from tests.tracking.studies import begin, end_study, run_trials
from tracker import api
from tracker.canonical import canonical_json
from tracker.errors import StoreCorrupt
from tracker.paths import Paths, sqlite_address
from tracker.project.doctor import Case, Finding, _data, examine, exit_code_of, lines_of, repair
from tracker.records import record_json
from tracker.store.mending import examine_store
from tracker.store.store import Store

NOW_S = 1_800_000_000.0


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A project with a store of one study of four trials, and nothing else."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(4))
        end_study(store, key, 4)
    return Case(Paths.of(tmp_path, {}), sqlite_address(tmp_path / "mlflow.db"), NOW_S)


def parts(case: Case) -> dict[str, Finding]:
    """What was found, by part; the worst of each."""
    order = ("sound", "note", "wrong")
    return {one.part: one for one in sorted(examine(case), key=lambda one: order.index(one.state))}


def put_row(case: Case, table: str, key: str, value: object, ref: str = "") -> None:
    """A row as an earlier release, or somebody else, would have stored it: it agrees with its digest and with the tally."""
    content = canonical_json(value)
    digest = hashlib.sha256(canonical_json([table, key, ref]) + b"\n" + content).hexdigest()
    with closing(sqlite3.connect(case.paths.store / "store.db")) as link:
        rows, total = link.execute("SELECT rows, total FROM tallies WHERE name = ?", (table,)).fetchone()
        old = link.execute(f"SELECT sha256 FROM {table} WHERE key = ?", (key,)).fetchone()
        link.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
        query = f"INSERT INTO {table} (key, ref, content, sha256) VALUES (?, ?, ?, ?)"
        link.execute(query, (key, ref, content.decode(), digest))
        total = (int(total, 16) + int(digest, 16) - (int(old[0], 16) if old else 0)) % 2**256
        rows += 0 if old else 1
        link.execute("UPDATE tallies SET rows = ?, total = ? WHERE name = ?", (rows, f"{total:064x}", table))
        link.commit()


def test_a_sound_project_is_sound(case: Case) -> None:
    """Every part is named, nothing is wrong, and nothing was written but the lock files of a reader."""
    before = {path: path.read_bytes() for path in case.paths.root.rglob("*") if path.is_file()}
    found = parts(case)
    assert {
        "versions",
        "clock",
        "disk",
        "permissions",
        "params.yaml",
        "dvc",
        "store",
        "queue",
        "data",
        "mlflow",
    } <= set(found)
    assert 0 == exit_code_of(list(found.values()))
    assert ("note", "no data/splits yet") == (found["data"].state, found["data"].words[:18])
    assert ("note", "6 records wait") == (found["queue"].state, found["queue"].words[:14])
    assert "4 weights" in found["store"].words
    assert all(content == path.read_bytes() for path, content in before.items())
    assert len(list(examine(case))) == len(lines_of(list(examine(case))))


def test_what_is_wrong_is_found(case: Case) -> None:
    """A clock before this release, a params.yaml that is none, a database that is none, rows under other digests."""
    (case.paths.root / "params.yaml").write_text("seed: x\n")
    (case.paths.root / "mlflow.db").write_text("garbage " * 1000)
    with closing(sqlite3.connect(case.paths.store / "store.db")) as link:
        link.execute("UPDATE outcomes SET content = replace(content, 'complete', 'failed') WHERE id = 1")
        link.commit()
    found = parts(Case(case.paths, case.tracking_uri, 0.0))
    wrong = {name for name, one in found.items() if one.state == "wrong"}
    assert {"clock", "params.yaml", "store", "mlflow", "queue", "environment"} <= wrong
    assert "1 of its rows cannot be used" in found["store"].words
    assert (1, 2, 4, 6) == tuple(found[name].exit_code for name in ("clock", "params.yaml", "store", "mlflow"))


def test_a_date_that_dvc_does_not_read_is_wrong(case: Case) -> None:
    """Where DVC runs the project; elsewhere it is read as it is."""
    params = case.paths.params
    params.write_text(
        params.read_text()
        + "split: {method: time, column: day, validation_from: 2023-06-01, test_from: '2024-01-01'}\n"
    )
    assert "sound" == parts(case)["params.yaml"].state
    (case.paths.root / "dvc.yaml").write_text("stages: {}\n")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=case.paths.root, check=True)
    found = parts(case)["params.yaml"]
    assert ("wrong", 2) == (found.state, found.exit_code)
    assert found.words.endswith("is a bare date, which DVC does not read; quote it: '2023-06-01'")


def test_a_damaged_row_goes_aside_and_its_trial_runs_again(case: Case) -> None:
    """The row is kept in a file as it was; the store is sound, three trials stay, and the fourth may be stored anew."""
    with closing(sqlite3.connect(case.paths.store / "store.db")) as link:
        link.execute("UPDATE outcomes SET content = replace(content, 'complete', 'failed') WHERE id = 2")
        link.commit()
    with Store.open(case.paths.store) as store, pytest.raises(StoreCorrupt, match="`tracker doctor --repair` moves"):
        store.check()
    moved, told = repair(case)
    [file] = (case.paths.store / "aside").iterdir()
    assert str(file) in moved
    assert "1 row was moved" in moved
    assert "trains the trial again" in told
    [row] = [json.loads(line) for line in file.read_text().splitlines()]
    assert ("outcomes", "differs from its digest") == (row["table"], row["why"])
    assert '"failed"' in row["content"]
    with Store.open(case.paths.store) as store:
        assert 0 < store.check()
        [(key, _)] = store.studies()
        keys = [proposal.spec.key for proposal in store.proposals(key)]
        assert 3 == len(store.outcomes(keys))
        run_trials(store, key, range(4))
        assert 4 == len(store.outcomes(keys))
        assert 0 < store.check()
    assert ["store: all", "are sound; nothing to repair"] == [repair(case)[0][:10], repair(case)[0][-28:]]


def test_poison_that_agrees_with_its_digest_goes_aside_too(case: Case) -> None:
    """What an earlier release took from MLflow: a time that is no number, a study called 7, the provenance of a list."""
    with Store.open(case.paths.store) as store:
        [(key, spec)] = store.studies()
        outcome = store.proposals(key)[0].spec.key
        name = store._database.get("attempts", [outcome])[0].value["provenance"]
    put_row(case, "attempts", outcome, {"timing": {"started": 1.0, "ended": float("nan")}, "provenance": name})
    poisoned = {**record_json(spec), "name": 7}
    put_row(case, "studies", "7" * 64, {"spec": poisoned, "created": 1.0}, "7")
    put_row(case, "attempts", "7" * 64, {"timing": None, "provenance": name})
    put_row(case, "outbox", f"study/{'7' * 64}", {"subject": "7" * 64, "number": None})
    put_row(case, "provenances", "8" * 64, ["x"])
    health = examine_store(case.paths.store)
    assert {"attempts", "studies", "provenances", "outcomes", "outbox"} == {row.table for row in health.bad}
    assert () == health.thinned
    repair(case)
    with Store.open(case.paths.store) as store:
        assert 0 < store.check()
        assert [key] == [key for key, _ in store.studies()]
        assert 3 == len(store.outcomes([one.spec.key for one in store.proposals(key)]))
        assert 6 == len(store.items())


def test_rows_that_are_gone_are_told_and_counted_anew(case: Case) -> None:
    """A table that lost rows is named; repaired, the store is sound, and what is missing is computed again."""
    with closing(sqlite3.connect(case.paths.store / "store.db")) as link:
        link.execute("DELETE FROM finishes")
        link.commit()
    assert ("finishes",) == examine_store(case.paths.store).thinned
    assert ["store: finishes: rows are gone; `tracker tune` ends the study again"] == repair(case)
    with Store.open(case.paths.store) as store:
        assert 0 < store.check()
        [(key, _)] = store.studies()
        assert store.finish(key) is None


def test_rows_of_before_a_change_are_wrong(fresh: SmallProject) -> None:
    """What differs and what to run, with the exit code that tuning would leave with; as it was, all is sound."""
    (fresh.paths.root / "params.yaml").write_text(PARAMS)
    project, found = api.Project.now(fresh.paths), Case(fresh.paths, "", NOW_S)
    api.prepare(fresh.config, project)
    api.split(fresh.config, project)
    assert ["sound"] == [one.state for one in _data(found)]
    (fresh.paths.root / "params.yaml").write_text(PARAMS.replace("seed: 7", "seed: 8"))
    _, outdated = _data(found)
    assert ("wrong", 2) == (outdated.state, outdated.exit_code)
    assert outdated.words.endswith("seed was 7, is 8 now; run `tracker prepare`, then `tracker split`")
