"""Looks: counted once per candidate and row, kept in two places, merged by union, never silently altered."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from tracker.errors import InputError, StoreCorrupt, TestLooksSpent
from tracker.evaluation.ledger import Look, count_words, mark_rows, read_ledger, record_look
from tracker.store.store import Store

GOLDEN = Path(__file__).parent.parent / "golden" / "looks"  # looks of format 1, as release 0.1 wrote them
ROWS = [hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in range(40)]


def look(name: str, rows=ROWS, test_digest="t1") -> Look:
    return Look(hashlib.sha256(name.encode()).hexdigest(), f"key-{name}", "tpe", 7, test_digest, mark_rows(rows), "")


@pytest.fixture
def place(tmp_path):
    """A folder for look files and an open store."""
    with Store.open(tmp_path / ".tracker") as store:
        yield tmp_path / "looks", store


def take(place, name, budget=9, at=1_800_000_000.0, **given):
    folder, store = place
    return record_look(folder, store, look(name, **given), budget, lambda: at)


def test_a_look_is_one_file_named_by_its_bytes(place):
    """The file's name is what sha256sum prints for it; the store has the same; times are UTC."""
    take(place, "a")
    (path,) = place[0].glob("*.json")
    assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(place[1].looks()) == [path.stem]
    assert json.loads(path.read_bytes())["time"] == "2027-01-15T08:00:00Z"


def test_the_same_candidate_adds_no_look(place):
    """A repeated run of one candidate leaves one file and one count, whatever the budget and the hour."""
    ledger = take(place, "a", budget=1)
    assert take(place, "a", budget=1, at=1_900_000_000.0).looks == ledger.looks
    assert ledger.count(mark_rows(ROWS)) == 1


def test_a_second_candidate_needs_a_second_look(place):
    """With one look spent another candidate is refused; the message says who looked when and what to raise."""
    take(place, "a", budget=1)
    with pytest.raises(TestLooksSpent, match=r"tpe/7 on 2027-01-15T08:00:00Z.*test_looks in params.yaml to 2"):
        take(place, "b", budget=1)
    assert take(place, "b", budget=2).count(mark_rows(ROWS)) == 2


def test_rows_that_were_added_are_no_remedy(place):
    """Where data grew since, it is said how many test rows are new and that these buy no look; else what data would."""
    take(place, "a", budget=1)
    with pytest.raises(
        TestLooksSpent, match=r"the budget of 1 look at these test rows is spent.* or bring a table whose rows"
    ):
        take(place, "b", budget=1)
    fresh = [hashlib.sha256(f"new {i}".encode()).hexdigest() for i in range(30)]
    said = f"30 of the {30 + len(ROWS)} test rows are new, but {len(ROWS)} were scored before, and a row that is added buys no"
    with pytest.raises(TestLooksSpent, match=said) as spent:
        take(place, "b", budget=1, rows=[*ROWS, *fresh], test_digest="t2")
    assert "bring" not in str(spent.value)


def test_one_appended_row_buys_no_free_look(place):
    """A look counts as long as one of its rows is among the present test rows; disjoint rows start anew."""
    take(place, "a", budget=1)
    fresh = [hashlib.sha256(f"new {i}".encode()).hexdigest() for i in range(30)]
    for rows in (ROWS + fresh[:1], ROWS[:1] + fresh, ROWS[5:]):
        with pytest.raises(TestLooksSpent):
            take(place, "b", budget=1, rows=rows, test_digest="t2")
    assert take(place, "b", budget=1, rows=fresh, test_digest="t3").count(mark_rows(fresh)) == 1


def test_equal_rows_count_once_and_that_is_said():
    """Rows of equal content share a mark; people are told both numbers where they differ."""
    assert (count_words(ROWS), count_words([*ROWS, ROWS[0]])) == (
        f"{len(ROWS)} test rows",
        f"{len(ROWS) + 1} test rows ({len(ROWS)} different ones)",
    )


def test_further_rows_are_recorded_without_a_new_count(place):
    """One candidate on a grown test split adds a file, so that the new rows count as seen, but no count."""
    more = [*ROWS, "f" * 16]
    take(place, "a", budget=1)
    ledger = take(place, "a", budget=1, rows=more, test_digest="t2")
    assert (len(ledger.looks), ledger.count(mark_rows(more)), ledger.count(frozenset({"f" * 16}))) == (2, 1, 1)


def test_the_same_rows_with_other_labels_are_recorded_without_a_new_count(place):
    """A corrected label gives the rows another digest: the look at them is a file of its own, and no further count."""
    take(place, "a", budget=1)
    ledger = take(place, "a", budget=1, test_digest="t2")
    assert ({"t1", "t2"}, 1) == ({look.test_digest for look in ledger.looks.values()}, ledger.count(mark_rows(ROWS)))
    assert ledger.looks == take(place, "a", budget=1, test_digest="t1").looks


def test_looks_are_in_the_order_of_their_times(place):
    """Whatever their digests, the latest look is the last one."""
    for number in range(12):
        ledger = take(place, str(number), budget=12, at=1_800_000_000.0 + 60 * number)
    assert [look(str(number)).candidate for number in range(12)] == [
        one.candidate for one in ledger.at(mark_rows(ROWS))
    ]


def test_a_look_counts_on_another_branch(place, tmp_path):
    """Files gone with a git checkout come back from the store; a lost store is filled from the files."""
    folder, store = place
    take(place, "a")
    names = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert read_ledger(folder, store).count(mark_rows(ROWS)) == 1
    assert {path.name for path in folder.iterdir()} == names
    with Store.open(tmp_path / "other") as fresh:
        assert read_ledger(folder, fresh).count(mark_rows(ROWS)) == 1
        assert fresh.looks() == store.looks()


def test_branches_merge_by_union(place, tmp_path):
    """Looks taken apart add up when their folders are laid together, and the next look names both as parents."""
    folder, store = place
    take(place, "a")
    with Store.open(tmp_path / "other") as other:
        record_look(tmp_path / "theirs", other, look("b"), 9, lambda: 1.8e9)
    for path in (tmp_path / "theirs").iterdir():
        shutil.copy(path, folder)
    before = read_ledger(folder, store)
    after = take(place, "c", budget=3)
    (new,) = set(after.looks) - set(before.looks)
    assert after.count(mark_rows(ROWS)) == 3
    assert after.looks[new].parents == before.heads
    assert after.heads == (new,)


def test_a_look_that_was_taken_away_still_counts(place, tmp_path):
    """A parent that is in neither place counts as a look, so deleting files buys nothing once another look followed."""
    folder, _ = place
    (first,) = take(place, "a").looks
    take(place, "b")
    (folder / f"{first}.json").unlink()
    with Store.open(tmp_path / "fresh clone") as fresh:
        ledger = read_ledger(folder, fresh)
        assert (ledger.lost, ledger.count(mark_rows(ROWS))) == ((first,), 2)
        with pytest.raises(TestLooksSpent, match="file is gone"):
            record_look(folder, fresh, look("c"), 2, lambda: 1.8e9)


@pytest.mark.parametrize("damage", [lambda b: b.replace(b"tpe", b"tpf"), lambda b: b[:-9], lambda b: b""])
def test_an_altered_look_is_named(place, damage):
    """A look file whose bytes changed is an error that names the file and a remedy, never a free look."""
    take(place, "a")
    (path,) = place[0].glob("*.json")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreCorrupt, match=rf"{path.name}.*bring it back from git"):
        take(place, "b")


def test_a_look_of_format_1_counts_and_keeps_its_bytes(place):
    """What format 1 calls `configuration` is the candidate; the file, and its copy from the store, stay byte for byte."""
    folder, store = place
    shutil.copytree(GOLDEN, folder)
    [path] = folder.iterdir()
    before = path.read_bytes()
    [old] = read_ledger(folder, store).looks.values()
    assert (json.loads(before)["configuration"], 1, path.stem) == (old.candidate, old.format, old.digest)
    with pytest.raises(TestLooksSpent, match=r"tpe/7 on 2027-01-15T08:00:00Z by ada"):
        take(place, "b", budget=1)
    ledger = take(place, "a", budget=1)  # its own candidate takes no count; other test rows make a look of format 2
    assert [1, 2] == [look.format for look in ledger.at(mark_rows(ROWS))]
    assert 1 == ledger.count(mark_rows(ROWS))
    path.unlink()
    read_ledger(folder, store)
    assert before == path.read_bytes()


def test_other_files_beside_the_looks_are_left_alone(place):
    """Results, notes and half-written files of a killed process are no looks."""
    place[0].mkdir()
    (place[0] / "README.json").write_text("{}")
    (place[0] / ".abc.json.x1").write_text("half")
    assert len(take(place, "a").looks) == 1


def test_short_row_keys_are_refused():
    """Rows must be told apart, so a key of fewer than 16 hex digits is an error."""
    with pytest.raises(InputError, match="at least 16 hex digits"):
        mark_rows(["abc"])


def _take_in_process(tmp_path, name):
    with Store.open(tmp_path / ".tracker") as store:
        try:
            record_look(tmp_path / "looks", store, look(name), 3, lambda: 1.8e9)
        except TestLooksSpent:
            return False
        return True


def test_processes_at_once_never_overdraw_the_budget(tmp_path):
    """Eight processes that want eight candidates on a budget of three get exactly three."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        admitted = pool.starmap(_take_in_process, [(tmp_path, str(i)) for i in range(8)])
    assert sum(admitted) == len(list((tmp_path / "looks").glob("*.json"))) == 3
