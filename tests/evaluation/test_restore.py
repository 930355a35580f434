"""A deleted store gets its final results back from the reports, each once."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.evaluation.project import Project
from tracker.errors import InputError, StoreCorrupt
from tracker.evaluation.final import read_results
from tracker.evaluation.restore import restore_files, restore_finals
from tracker.store.store import Store


def restore(project: Project) -> tuple[int, list[str]]:
    """How many came back, and the studies of all finals that the store then holds."""
    with Store.open(project.paths.store) as store:
        return restore_finals(project.paths, store), [final["study"] for final in store.finals()]


def test_a_deleted_store_gets_its_final_back(project: Project) -> None:
    """From reports/final.json, byte for byte what was delivered; a store that has it takes nothing."""
    project.compare().test()
    assert (0, ["tpe"]) == restore(project)
    shutil.rmtree(project.paths.store)
    assert (1, ["tpe"]) == restore(project)
    assert (0, ["tpe"]) == restore(project)
    with Store.open(project.paths.store) as store:
        assert [project.final()] == store.finals()


def test_a_stale_report_gives_back_the_results_that_were_looked_at(project: Project) -> None:
    """What a stale report repeats is taken from beside the looks, and is not stale itself."""
    project.compare().test()
    project.tune("other", "better")
    assert project.compare().test(or_stale=True).stale
    shutil.rmtree(project.paths.store)
    assert (1, ["tpe"]) == restore(project)
    with Store.open(project.paths.store) as store:
        assert [False] == [final["stale"] for final in store.finals()]


def test_a_result_beside_a_look_of_format_1_is_read_as_it_is(project: Project) -> None:
    """Its `configuration` is the candidate; a file that went comes back from the store with the bytes it had."""
    result = dict(project.compare().test().result)
    [new] = (project.paths.looks / "results").glob("*.json")
    new.unlink()
    old = {"configuration": result.pop("candidate"), **result}
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        store.put_final({**old, "looks": 1, "budget": 1, "stale": False})
        restore_files(project.paths, store)
    [kept] = (project.paths.looks / "results").glob("*.json")
    assert old == json.loads(kept.read_bytes())
    assert [old["configuration"]] == [found["candidate"] for found in read_results(project.paths.looks)]


def test_no_result_nothing_to_restore(project: Project) -> None:
    """Before the first look there is none."""
    assert (0, []) == restore(project)


def test_damaged_results_are_named(project: Project) -> None:
    """A report that cannot be read, or a kept result that differs from its name, is not taken."""
    project.compare().test()
    [kept] = (project.paths.looks / "results").glob("*.json")
    shutil.rmtree(project.paths.store)
    kept.write_bytes(kept.read_bytes().replace(b'"tpe"', b'"tpf"'))
    with pytest.raises(StoreCorrupt, match=kept.name):
        restore(project)
    (project.paths.reports / "final.json").write_text("{")
    with pytest.raises(InputError, match=r"final\.json"):
        restore(project)
