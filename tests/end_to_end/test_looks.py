"""The sealed test split across branches, appended rows and parallel experiments; up to `compare`, which is what looks."""

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
STUDIES = {"random": {"sampler": "random", "trials": 3}}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has taken the one look that it may; tests copy it."""
    project = Project.new(tmp_path_factory.mktemp("looked") / "project", studies=STUDIES)
    project.repro("compare")
    return project


@pytest.fixture
def project(looked: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    shutil.copytree(looked.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_a_look_on_one_branch_counts_on_another(project: Project) -> None:
    """A look that was taken on a branch is in the store: another branch finds the budget spent and says so, softly."""
    project.git("checkout", "-q", "-b", "one")
    first = project.json("reports/final.json")
    project.commit("one")
    project.git("checkout", "-q", "main")
    assert not list((project.folder / "reports").glob("looks/*.json"))
    project.set(seed=99)
    project.repro("-f", "tune@random", "compare")
    second = project.json("reports/final.json")
    # another seed splits other rows; those that both saw are enough
    assert second["stale"] is True
    assert first["key"] == second["key"]
    assert second["looks"] == 1


def test_an_appended_row_buys_no_free_look(tmp_path: Path) -> None:
    """A table that grew by one row keeps its other test rows, so a look at them still counts."""
    table = tmp_path / "table.csv"
    rows = [f"{i % 7},{(i * 37) % 11},{'yes' if (i % 7) + (i * 37) % 11 > 8 else 'no'}" for i in range(200)]
    rows = [f"{i},{row}" for i, row in enumerate(rows)]
    table.write_text("key,a,b,y\n" + "\n".join(rows) + "\n")
    data = {"source": str(table), "target": "y", "id": "key"}
    project = Project.new(tmp_path / "project", studies=STUDIES, data=data, split={"duplicates": "free"})
    project.repro("compare")
    first = project.json("reports/final.json")
    assert first["stale"] is False
    table.write_text(table.read_text() + "200,3,3,no\n")
    project.set(training={"epochs": 5})
    project.repro("-f", "compare")
    final = project.json("reports/final.json")
    assert final["stale"] is True
    assert 1 == final["looks"]
    project.set(compare={"test_looks": 2})
    project.repro("compare")
    final = project.json("reports/final.json")
    assert (final["stale"], final["looks"]) == (False, 2)


def test_three_temporary_experiments_count_three_candidates(tmp_path: Path) -> None:
    """`dvc exp run --temp` loses nothing: three experiments, three looks, all trials in one store and one MLflow."""
    project = Project.new(tmp_path / "project", studies=STUDIES, compare={"test_looks": 3})
    project.repro("split")
    project.commit("split")
    for epochs in (3, 4, 5):
        project.run("dvc", "exp", "run", "--temp", "-S", f"training.epochs={epochs}", "compare")
    assert 3 == len(list((project.folder / "reports/looks").glob("*.json")))
    assert 9 == len(project.runs("trial"))
    assert 3 == len(project.runs("final"))
    assert "" == project.git("status", "--porcelain", "params.yaml")


def test_going_back_forgets_no_look(project: Project) -> None:
    """Settings as they were before: the stage does not come from DVC's run cache, so that the look in between counts."""
    first = project.json("reports/final.json")
    project.set(training={"epochs": 5}, compare={"test_looks": 2})
    project.repro("compare")
    project.set(training={"epochs": 4}, compare={"test_looks": 1})
    assert "looks at these test rows: 2 of 1; more than the budget is" in project.repro("compare")
    last = project.json("reports/final.json")
    assert (first["key"], first["looks"], False) == (last["key"], 1, last["stale"])
    assert (2, 1) == (last["looks"], last["budget"])
