"""A deleted store gets its final results back from the reports, each once."""

from __future__ import annotations

import shutil

import pytest

from tests.evaluation.project import Project
from tracker.errors import InputError, StoreCorrupt
from tracker.evaluation.restore import restore_finals
from tracker.recording.store import Store


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
