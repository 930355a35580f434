"""What the store promises: nothing acknowledged is lost, nothing differs unseen."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tracking.studies import (
    DATA,
    ENVIRONMENT,
    PROVENANCE,
    SERVING,
    STARTED,
    begin,
    end_study,
    failed,
    finished,
    proposal,
    run_trials,
    study_spec,
)  # fmt: skip
from tracker.errors import NotFoundError, ReplayError, StoreBusy, StoreCorrupt, StoreError
from tracker.records import Timing
from tracker.store.database import VERSION
from tracker.store.store import Store

PRAGMAS = {"journal_mode": b"delete", "synchronous": 3, "fullfsync": 1, "trusted_schema": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".tracker"


def everything(store: Store) -> list[object]:
    found: list[object] = []
    for key, spec in store.studies():
        proposals = store.proposals(key)
        outcomes = store.outcomes([one.spec.key for one in proposals])
        found.extend([key, spec, proposals, outcomes, store.finish(key), store.created(key)])
        found.extend(store.timing(one) for one in outcomes)
        found.extend(store.provenance(one) for one in outcomes)
    return [*found, store.finals(), store.looks(), store.items(), store.serving(DATA), store.selftest("env", "mlp")]


def fill(folder: Path) -> None:
    store, key = begin(folder)
    with store:
        run_trials(store, key, range(12))
        end_study(store, key, 12)
        store.put_final({"study": "tpe", "trial": 3})
        store.put_look("1" * 64, {"rows": 5})
        store.put_selftest("env", "mlp", True)


def test_what_was_stored_is_read_back_equal(folder: Path) -> None:
    """Studies, proposals, outcomes, times, provenance and weights come back as they were put, in another process too."""
    store, key = begin(folder)
    planned = run_trials(store, key, range(10))
    store.close()
    with Store.open(folder) as again:
        assert again.study(key) == study_spec()
        assert again.studies("tpe") == [(key, study_spec())]
        assert again.proposals(key) == planned
        for one in planned:
            end = finished(one)
            assert again.outcomes([one.spec.key]) == {one.spec.key: end.outcome}
            assert again.timing(one.spec.key) == end.timing
            assert again.provenance(one.spec.key) == PROVENANCE
            assert again.spec(one.spec.key) == one.spec
            assert again.weights(end.outcome.weights or "") == end.weights
        assert again.serving(DATA) == SERVING
        assert again.check() > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, 5e-324, 2**53 + 1, "ключ 🔑", None])
def test_unusual_values_are_exact(folder: Path, value: object) -> None:
    """NaN, infinities, -0.0, denormals, large integers, any Unicode: what comes back has the same digest."""
    with Store.open(folder) as store:
        planned = proposal(0, note=value)
        key = store.put_study(study_spec(), PROVENANCE)
        store.put_proposals(key, [planned])
        end = finished(planned, metrics={"val_loss": value if isinstance(value, float) else None})
        store.put_outcomes(key, [end])
        assert store.proposals(key)[0].spec.key == planned.spec.key
        assert store.outcomes([planned.spec.key])[planned.spec.key].digest == end.outcome.digest


def test_newest_study_comes_first(folder: Path) -> None:
    """A study whose data or settings changed is another study; the newest of a name is the first."""
    with Store.open(folder) as store:
        keys = [store.put_study(study_spec(seed=seed), PROVENANCE) for seed in (1, 2, 3)]
        store.put_study(study_spec("grid"), PROVENANCE)
        assert [key for key, _ in store.studies("tpe")] == keys[::-1]
        assert len(store.studies()) == 4


def test_storing_the_same_again_changes_nothing(folder: Path) -> None:
    """Everything can be put twice: the file stays as it is, first times and provenance stay."""
    fill(folder)
    before = (folder / "store.db").read_bytes()
    fill(folder)
    with Store.open(folder) as store:
        [(key, _)] = store.studies()
        store.announce(key, range(12))
        later = replace(finished(proposal(0)), timing=Timing(1.0, 2.0))
        store.put_outcomes(key, [later])
        assert store.timing(proposal(0).spec.key) == finished(proposal(0)).timing
    assert (folder / "store.db").read_bytes() == before


def test_a_different_proposal_for_a_number_is_refused(folder: Path) -> None:
    """A study cannot silently become another one: the message names the trial and what differs."""
    store, key = begin(folder)
    with store:
        run_trials(store, key, range(4))
        with pytest.raises(ReplayError, match=r"trial 2: .*runs\.0\.params\.units was 8, is 16"):
            store.put_proposals(key, [proposal(3), replace(proposal(2), runs=proposal(2, units=16).runs)])
        assert store.proposals(key) == [proposal(number) for number in range(4)]


def test_a_different_outcome_for_a_key_is_refused(folder: Path) -> None:
    """A trial that is computed again must give the same; if not, the first stays and the difference is named."""
    store, key = begin(folder)
    with store:
        [planned] = run_trials(store, key, [0])
        with pytest.raises(ReplayError, match="epochs was 3, is 4"):
            store.put_outcomes(key, [finished(planned, 4)])
        assert store.outcomes([planned.spec.key])[planned.spec.key] == finished(planned).outcome


def test_a_refused_batch_leaves_nothing(folder: Path) -> None:
    """All outcomes of a generation are stored, or none."""
    store, key = begin(folder)
    with store:
        [first] = run_trials(store, key, [0])
        second = proposal(1)
        store.put_proposals(key, [second])
        with pytest.raises(ReplayError):
            store.put_outcomes(key, [finished(second), finished(first, 4)])
        assert store.outcomes([second.spec.key]) == {}


def test_failed_trials_keep_their_reason(folder: Path) -> None:
    """A trial without weights is an outcome like any other."""
    store, key = begin(folder)
    with store:
        store.put_proposals(key, [proposal(0)])
        store.put_outcomes(key, [failed(proposal(0))])
        assert store.outcomes([proposal(0).spec.key])[proposal(0).spec.key].reason == "loss became nan in epoch 1"


def test_each_record_waits_once_and_an_extended_study_ends_again(folder: Path) -> None:
    """The outbox holds the start, each trial, each end; a summary that did not change ends the study once."""
    store, key = begin(folder)
    with store:
        run_trials(store, key, range(2))
        end_study(store, key, 2)
        end_study(store, key, 2)
        run_trials(store, key, [2])
        end_study(store, key, 3)
        kinds = [(item.kind, item.number) for item in store.items()]
        assert kinds == [("study", None), ("trial", 0), ("trial", 1), ("finish", None), ("trial", 2), ("finish", None)]
        assert store.items(after=store.items()[-2].place) == store.items()[-1:]
        assert store.finish(key) == ({"best_trial": 9, "best_value": 0.92, "trials": 3}, STARTED)


def test_a_study_that_shrinks_and_grows_again_ends_each_time(folder: Path) -> None:
    """48, 96, 48, 96 trials: four ends wait, and the last one counts, though it is equal to an earlier one."""
    store, key = begin(folder)
    with store:
        for number, trials in enumerate((48, 96, 48, 96), start=1):
            end_study(store, key, trials)
            assert [item.kind for item in store.items()] == ["study", *["finish"] * number]
            summary, _ = store.finish(key) or ({}, None)
            assert summary["trials"] == trials


def test_the_outbox_of_an_earlier_release_is_read(folder: Path) -> None:
    """Release 0.1 wrote `study` where `subject` stands now, of final results too: the items are the same."""
    store, key = begin(folder)
    with store:
        with store._database.writing() as writer:
            writer.insert("outbox", f"trial/{key}/00000004", {"study": key, "number": 4})
            writer.insert("outbox", "final/" + "7" * 64, {"study": "7" * 64, "number": None})
        items = [(item.kind, item.subject, item.number) for item in store.items()]
        assert items == [("study", key, None), ("trial", key, 4), ("final", "7" * 64, None)]


def test_weights_are_on_disk_before_the_row_that_names_them(folder: Path) -> None:
    """Where the weights cannot be written, no outcome names them: nothing of the batch is stored or queued."""
    store, key = begin(folder)
    with store:
        planned = proposal(0)
        store.put_proposals(key, [planned])
        before = store.items()
        (folder / "weights").write_text("a file where the folder should be")
        with pytest.raises(StoreError):
            store.put_outcomes(key, [finished(planned)])
        assert store.outcomes([planned.spec.key]) == {}
        assert store.items() == before


def test_a_commit_is_on_disk_when_it_returns(folder: Path) -> None:
    """An open store has the rollback journal and waits for the disk, the folder included (synchronous = EXTRA = 3)."""
    with Store.open(folder) as store:
        asked = {name: store._database._link.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
    assert asked == PRAGMAS


def test_replayed_trials_are_announced_under_their_own_study(folder: Path) -> None:
    """A second study that takes an outcome from the store shows its trial too."""
    store, key = begin(folder)
    with store:
        planned = run_trials(store, key, range(2))
        other = store.put_study(study_spec(seed=7), PROVENANCE)
        store.put_proposals(other, planned)
        store.announce(other, [0, 1])
        assert [item.number for item in store.items() if item.subject == other and item.kind == "trial"] == [0, 1]


def test_unknown_keys_are_said_to_be_unknown(folder: Path) -> None:
    """Asking for what is not there gives our own error, not a KeyError."""
    with Store.open(folder) as store:
        for ask in (store.study, store.timing, store.provenance, store.spec, store.final):
            with pytest.raises(NotFoundError):
                ask("0" * 64)
        assert store.selftest(ENVIRONMENT, "mlp") is None
        assert store.outcomes(["0" * 64]) == {}
        with pytest.raises(StoreError, match="weights cannot be read"):
            store.weights("0" * 64)
        with pytest.raises(StoreError, match="not a digest"):
            store.weights("../../etc/passwd")


def test_the_last_self_test_counts(folder: Path) -> None:
    """A self-test can be repeated."""
    with Store.open(folder) as store:
        for passed in (True, False, False, True):
            store.put_selftest(ENVIRONMENT, "mlp", passed)
            assert store.selftest(ENVIRONMENT, "mlp") is passed


def test_every_flipped_byte_is_seen_or_harmless(folder: Path, tmp_path: Path) -> None:
    """A byte changed anywhere in the file is an error on opening, checking or reading, or it changes nothing."""
    fill(folder)
    with Store.open(folder) as store:
        expected = everything(store)
    content = bytearray((folder / "store.db").read_bytes())
    draw = np.random.default_rng(3)
    silent = seen = 0
    for place in draw.choice(len(content), 300, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(draw.integers(8))
        (folder / "store.db").write_bytes(flipped)
        try:
            with Store.open(folder) as store:
                store.check()
                silent += everything(store) != expected
        except StoreError:
            seen += 1
    assert silent == 0
    assert seen > 30


def test_a_changed_row_names_table_and_key(folder: Path) -> None:
    """An edited number is refused where it is read, by name."""
    fill(folder)
    key = proposal(3).spec.key
    with sqlite3.connect(folder / "store.db") as link:
        link.execute("UPDATE outcomes SET content = replace(content, '0.9', '0.8') WHERE key = ?", (key,))
    link.close()
    with Store.open(folder) as store, pytest.raises(StoreCorrupt, match=f"table outcomes, key {key}"):
        store.outcomes([key])


def test_a_removed_row_is_missed(folder: Path) -> None:
    """A check sees that a row has gone, though the rows that are left are sound."""
    fill(folder)
    with sqlite3.connect(folder / "store.db") as link:
        link.execute("DELETE FROM outcomes WHERE id = 3")
    link.close()
    with Store.open(folder) as store, pytest.raises(StoreCorrupt, match="rows of table outcomes are missing"):
        store.check()


def test_a_row_in_the_place_of_another_is_seen(folder: Path, tmp_path: Path) -> None:
    """A check sees that a row was exchanged for a valid one of another store, though their number is right."""
    fill(folder)
    store, key = begin(tmp_path / "other")
    with store:
        run_trials(store, key, [50])
    with sqlite3.connect(folder / "store.db") as link:
        link.execute("ATTACH ? AS other", (str(tmp_path / "other" / "store.db"),))
        link.execute("DELETE FROM outcomes WHERE id = 3")
        columns = "key, ref, content, sha256"
        link.execute(f"INSERT INTO outcomes (id, {columns}) SELECT 3, {columns} FROM other.outcomes")
    link.close()
    with Store.open(folder) as store:
        assert len(store.outcomes([proposal(50).spec.key])) == 1  # the row itself is sound
        with pytest.raises(StoreCorrupt, match="rows of table outcomes are missing"):
            store.check()


@pytest.mark.parametrize(("table", "ask"), [("studies", "name"), ("proposals", "trial")])
def test_an_altered_reference_is_seen(folder: Path, table: str, ask: str) -> None:
    """What a row refers to, the name of a study or the key of a trial, is under its digest as its content is."""
    fill(folder)
    with sqlite3.connect(folder / "store.db") as link:
        link.execute(f"UPDATE {table} SET ref = 'another' WHERE id = 1")
    link.close()
    with Store.open(folder) as store:
        with pytest.raises(StoreCorrupt, match=f"table {table}.*differs from its digest"):
            store.check()
        with pytest.raises(StoreCorrupt, match=f"table {table}.*differs from its digest"):
            store.studies("another") if ask == "name" else store.spec("another")


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\x00", None])
def test_what_is_no_store_is_never_made_one(folder: Path, content: bytes | None) -> None:
    """An empty, foreign or half file is an error that names it; it is left as it is."""
    fill(folder)
    path = folder / "store.db"
    path.write_bytes(path.read_bytes()[:20_000] if content is None else content)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match=r"store\.db: .*restore it from a copy"), Store.open(folder) as store:
        store.check()
    assert path.read_bytes() == before


def test_a_newer_store_asks_for_an_upgrade(folder: Path) -> None:
    """A store of a later release is not touched, and the message says what to do."""
    fill(folder)
    with sqlite3.connect(folder / "store.db") as link:
        link.execute("UPDATE meta SET value = ?", (str(VERSION + 1),))
    link.close()
    with pytest.raises(StoreError, match="upgrade repro-tracker"):
        Store.open(folder)


def test_weights_that_changed_on_disk_are_refused(folder: Path) -> None:
    """A weights file is read against its name."""
    fill(folder)
    name = finished(proposal(0)).outcome.weights or ""
    path = folder / "weights" / name[:2] / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with Store.open(folder) as store:
        assert store.has_weights(name)
        with pytest.raises(StoreCorrupt, match=name):
            store.weights(name)
        with pytest.raises(StoreCorrupt, match=name):
            store.check()


def test_files_are_for_this_user_alone(folder: Path) -> None:
    """Folders are 0700 and files 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        fill(folder)
        with Store.open(folder) as store, store.lock("study-tpe", 0):
            pass
    finally:
        os.umask(before)
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in [folder, *folder.rglob("*")]}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_sixteen_processes_may_begin_at_once(folder: Path) -> None:
    """First use by many at once fails for none, and all their studies are kept."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.tracking.studies import study_spec\n"
        "from tracker.store.store import Store\n"
        "sys.stdin.readline()\n"
        "with Store.open(Path(sys.argv[1])) as store: store.put_study(study_spec(seed=int(sys.argv[2])), {})"
    )
    crowd = [
        subprocess.Popen([sys.executable, "-c", script, str(folder), str(seed)], stdin=subprocess.PIPE, text=True)
        for seed in range(16)
    ]
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.close()
    assert [one.wait() for one in crowd] == [0] * 16
    with Store.open(folder) as store:
        assert sorted(spec.seed for _, spec in store.studies()) == list(range(16))
        store.check()


def test_a_killed_writer_loses_nothing_acknowledged(folder: Path) -> None:
    """SIGKILL at any moment: every call that returned is there, and the store is sound."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.tracking.studies import begin, run_trials\n"
        "store, key = begin(Path(sys.argv[1]))\n"
        "first = len(store.proposals(key)); print('ready', flush=True)\n"
        "for number in range(first, first + 10_000):\n"
        "    run_trials(store, key, [number]); print(number, flush=True)"
    )
    draw = np.random.default_rng(5)
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(float(draw.uniform(0, 0.1)))
        writer.kill()
        said = [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        with Store.open(folder) as store:
            store.check()
            [(key, _)] = store.studies()
            proposals = store.proposals(key)
            kept = store.outcomes([one.spec.key for one in proposals])
            assert set(said) <= {one.number for one in proposals if one.spec.key in kept}


def test_a_lock_is_held_by_one_and_names_its_holder(folder: Path) -> None:
    """The second command is told who holds the study; it may wait."""
    holder = "import sys, time; from pathlib import Path; from tracker.store.store import Store\n"
    holder += "with Store.open(Path(sys.argv[1])).lock('study-tpe', 0): print('held', flush=True); sys.stdin.readline()"
    with Store.open(folder) as store:
        other = subprocess.Popen(
            [sys.executable, "-c", holder, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy, match=f"study-tpe is held by another command .process {other.pid}."):
            store.lock("study-tpe", 0.05).__enter__()
        with store.lock("study-grid", 0):
            pass
        other.kill()
        other.wait()
        with store.lock("study-tpe", 1.0):
            pass
        other.stdin.close()
        other.stdout.close()


def test_a_forked_worker_does_not_keep_its_drivers_lock(folder: Path) -> None:
    """Workers that outlive a killed driver do not lock the study."""
    driver = (
        "import os, sys, time; from pathlib import Path; from tracker.store.store import Store\n"
        "lock = Store.open(Path(sys.argv[1])).lock('study-tpe', 0); lock.__enter__()\n"
        "worker = os.fork()\n"
        "if worker: print(worker, flush=True)\n"
        "sys.stdin.read()"
    )
    with Store.open(folder) as store:
        process = subprocess.Popen(
            [sys.executable, "-c", driver, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdin is not None
        worker = int(process.stdout.readline())
        process.kill()
        process.wait()
        os.kill(worker, 0)
        with store.lock("study-tpe", 5.0):
            pass
        process.stdin.close()
        process.stdout.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is an error that says which."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        Store.open(tmp_path / "file" / ".tracker")


def test_a_store_that_is_deleted_while_it_is_used_is_told(folder: Path) -> None:
    """What is wrong is that it is gone, not who may write."""
    store, key = begin(folder)
    (folder / "store.db").unlink()
    with store, pytest.raises(StoreError, match="was moved or deleted while this command ran"):
        run_trials(store, key, range(1))
