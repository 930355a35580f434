"""Looks in any sequence: the real comparison, ledger and store, against a model of them in plain Python."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.evaluation.project import Project
from tracker.datasets.sealed import SealedIdentity, test_identity
from tracker.errors import DataError, TestLooksSpent
from tracker.evaluation.compare import known_looks
from tracker.evaluation.ledger import mark_rows
from tracker.evaluation.restore import restore_files, restore_finals
from tracker.paths import Paths
from tracker.store.store import Store

Result = tuple[str, str]  # candidate, digest of the test rows
TABLES = ("first", "grown", "other")  # `grown` has the rows of `first` and more, `other` none of them
TRIALS = ("a", "b", "c", "d")
SIDES = st.sampled_from([0, 0, 0, 1])  # most happens in one place, so that sequences of three come up


@dataclass(frozen=True)
class Taken:
    """A look as the model remembers it."""

    candidate: str
    test_digest: str
    rows: frozenset[str]
    hour: int
    parents: frozenset[str]


@dataclass
class Clone:
    """What the model knows of one clone of the project: which looks and results lie in its files and in its store."""

    files: set[str] = field(default_factory=set)
    store: set[str] = field(default_factory=set)
    results: set[Result] = field(default_factory=set)
    finals: set[Result] = field(default_factory=set)
    table: str = "first"
    corrected: bool = False
    trial: str = "a"
    budget: int = 1

    def share(self) -> None:
        """What any command on looks does first: each of files and store gets what the other has."""
        self.files |= self.store
        self.store |= self.files


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each table split, with and without its labels corrected (TABLE/data, TABLE/corrected), and tuned (TABLE/TRIAL)."""
    project = Project(Paths.of(tmp_path_factory.mktemp("work"), {}))
    root, kept = project.paths.root, tmp_path_factory.mktemp("prepared")
    for table, extra in (("first", 0), ("grown", 40), ("other", 0)):
        project.write_table(rows=120, extra=extra)
        if table == "other":
            lines = (root / "table.csv").read_text().splitlines()
            (root / "table.csv").write_text("\n".join([lines[0], *(f"9{line}" for line in lines[1:])]) + "\n")
            project.resplit()
        shutil.copytree(root / "data", kept / table / "data")
        for steps, trial in enumerate(TRIALS):
            project.tune("tpe", trial, units=8 * steps)
            for part in ("models", "reports"):
                shutil.copytree(root / part, kept / table / trial / part)
        project.correct_labels()
        shutil.copytree(root / "data", kept / table / "corrected")
    return kept


class Looks(RuleBasedStateMachine):
    """Two clones of one project in which people tune, look, raise budgets, lose files and merge."""

    prepared: Path

    @initialize()
    def clone(self) -> None:
        """Two clones that have seen nothing."""
        self.hour = 0
        self.looks: dict[str, Taken] = {}
        self.scores: dict[Result, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="looks-"))
        self.models = [Clone(), Clone()]
        self.projects = [Project(Paths.of(self.folder / name, {})) for name in ("here", "there")]
        for side in (0, 1):
            self.install(side)

    def teardown(self) -> None:
        """Nothing stays on the disk."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def install(self, side: int) -> None:
        """Lays down the splits, the model and the report that the stages before `compare` would give."""
        model, root = self.models[side], self.projects[side].paths.root
        source = self.prepared / model.table
        for name in ("data", "models", "reports/studies"):
            shutil.rmtree(root / name, ignore_errors=True)
        shutil.copytree(source / ("corrected" if model.corrected else "data"), root / "data")
        for part in ("models", "reports"):
            shutil.copytree(source / model.trial / part, root / part, dirs_exist_ok=True)

    @rule(side=SIDES, trial=st.sampled_from(TRIALS))
    def retune(self, side: int, trial: str) -> None:
        """Another trial ranks first."""
        self.models[side].trial = trial
        self.install(side)

    @rule(side=SIDES, budget=st.integers(1, 4))
    def set_budget(self, side: int, budget: int) -> None:
        """The budget is raised or lowered."""
        self.models[side].budget = budget

    @rule(side=SIDES, table=st.sampled_from(TABLES))
    def bring_rows(self, side: int, table: str) -> None:
        """Rows are appended, taken back, or all are new."""
        self.models[side].table = table
        self.install(side)

    @rule(side=SIDES)
    def correct_labels(self, side: int) -> None:
        """Labels in the test split are corrected, or a correction is taken back."""
        self.models[side].corrected = not self.models[side].corrected
        self.install(side)

    @rule(side=SIDES, chance=st.randoms(use_true_random=False))
    def delete_look_file(self, side: int, chance: Any) -> None:
        """Somebody deletes the file of a look; the store may still have it."""
        model = self.models[side]
        if model.files:
            name = chance.choice(sorted(model.files))
            model.files.remove(name)
            (self.projects[side].paths.looks / f"{name}.json").unlink()

    @rule(side=SIDES)
    def lose_store(self, side: int) -> None:
        """The store is lost, as it is in a new clone."""
        self.models[side].store, self.models[side].finals = set(), set()
        shutil.rmtree(self.projects[side].paths.store, ignore_errors=True)

    @rule(side=SIDES)
    def sync(self, side: int) -> None:
        """`tracker sync`: what reports and store lack comes back from each other."""
        model, paths = self.models[side], self.projects[side].paths
        with Store.open(paths.store) as store:
            restore_finals(paths, store)
            restore_files(paths, store)
        model.share()
        model.results |= model.finals
        model.finals |= model.results

    @rule(source=SIDES)
    def merge(self, source: int) -> None:
        """The looks and results of one clone are merged into the other, as git does with files."""
        theirs, ours = self.models[source], self.models[1 - source]
        if theirs.files | theirs.results:
            shutil.copytree(
                self.projects[source].paths.looks, self.projects[1 - source].paths.looks, dirs_exist_ok=True
            )
        ours.files |= theirs.files
        ours.results |= theirs.results

    @rule(side=SIDES)
    def look_and_crash(self, side: int) -> None:
        """The sealed rows cannot be read: the look is recorded all the same, and there is no result."""
        path = self.projects[side].paths.sealed / "test.parquet"
        content = path.read_bytes()
        path.write_bytes(b"")
        if self.admit(side):
            with pytest.raises(DataError):
                self.compare(side)
            self.check_recorded(side)
        path.write_bytes(content)

    @rule(side=SIDES, trial=st.sampled_from(TRIALS), spare=st.sampled_from([0, 1]))
    def retune_and_look(self, side: int, trial: str, spare: int) -> None:
        """Another trial ranks first, the budget is just spent or has one look more, and the stage runs."""
        self.retune(side, trial)
        self.set_budget(side, max(1, self.count(side, self.now(side)[2]) + spare))
        self.look(side)

    @rule(side=SIDES)
    def look(self, side: int) -> None:
        """The trial that ranks first is scored, or the last result is repeated, or there is none to repeat."""
        model, (candidate, test, rows) = self.models[side], self.now(side)
        if self.admit(side):
            final = self.compare(side)
            self.check_recorded(side)
            model.results.add((candidate, test.digest))
            model.finals.add((candidate, test.digest))
            assert (candidate, test.digest) == result_of(final)
            assert final["test"] == self.scores.setdefault(result_of(final), final["test"])
            assert (False, self.count(side, rows)) == (final["stale"], final["looks"])
        elif last := self.last_result(side, rows):
            final = self.compare(side)
            assert (last, self.scores[last]) == (result_of(final), final["test"])
            assert (True, self.count(side, rows)) == (final["stale"], final["looks"])
            told = [look["candidate"] for look in final["stale_because"]["looks_taken"]]
            assert told == [look.candidate for look in self.at(side, rows)]
        else:
            with pytest.raises(TestLooksSpent, match="No result of them was kept"):
                self.compare(side)

    def now(self, side: int) -> tuple[str, SealedIdentity, frozenset[str]]:
        """The candidate that ranks first, the sealed rows, and their marks."""
        paths = self.projects[side].paths
        report = json.loads((paths.study_reports / "tpe.json").read_bytes())
        identity = test_identity(paths.sealed)
        return report["trials"][0]["candidate"], identity, mark_rows(identity.row_keys)

    def at(self, side: int, rows: frozenset[str]) -> list[Taken]:
        """The looks that saw any of the rows, in the order in which they were taken."""
        known = self.models[side].files | self.models[side].store
        return sorted((self.looks[name] for name in known if self.looks[name].rows & rows), key=lambda look: look.hour)

    def count(self, side: int, rows: frozenset[str]) -> int:
        """Distinct candidates that saw any of the rows, and the looks that others name and nobody has."""
        known = self.models[side].files | self.models[side].store
        lost = {parent for name in known for parent in self.looks[name].parents} - known
        return len({look.candidate for look in self.at(side, rows)}) + len(lost)

    def admit(self, side: int) -> bool:
        """Whether a look may be taken; adds it, under the name that its file will have, where it is a new one."""
        candidate, test, rows = self.now(side)
        own = [look for look in self.at(side, rows) if look.candidate == candidate]
        self.new = not any(rows <= look.rows and look.test_digest == test.digest for look in own)
        return bool(own) or self.count(side, rows) < self.models[side].budget

    def compare(self, side: int) -> dict[str, Any]:
        """The real comparison with its look, an hour after the last one; what final.json then says."""
        self.hour += 1
        project = self.projects[side]
        self.models[side].share()
        project.hour = self.hour
        project.compare(self.models[side].budget).test(or_stale=True)
        return project.final()

    def check_recorded(self, side: int) -> None:
        """A new look is one file more, of this candidate and these rows, with the heads as parents; else none is."""
        model, (candidate, test, rows) = self.models[side], self.now(side)
        fresh = {path.stem for path in self.projects[side].looks()} - model.files
        assert int(self.new) == len(fresh)
        heads = model.files - {parent for name in model.files for parent in self.looks[name].parents}
        for name in fresh:
            content = json.loads((self.projects[side].paths.looks / f"{name}.json").read_bytes())
            assert (candidate, test.digest) == (content["candidate"], content["test_digest"])
            assert sorted(heads) == sorted(content["parents"])
            self.looks[name] = Taken(candidate, test.digest, rows, self.hour, frozenset(heads))
            model.files.add(name)
            model.store.add(name)
        assert any(
            (look.candidate, look.test_digest) == (candidate, test.digest) and rows <= look.rows
            for look in self.at(side, rows)
        )

    def last_result(self, side: int, rows: frozenset[str]) -> Result | None:
        """The result of the latest look that has one; results that only the store has come back first."""
        model = self.models[side]
        model.share()
        model.results |= model.finals
        known = [(look.candidate, look.test_digest) for look in self.at(side, rows)]
        return next((result for result in reversed(known) if result in model.results), None)

    @invariant()
    def both_are_as_the_model_says(self) -> None:
        """Files, counts and what was queued for MLflow, after every step."""
        for side, (model, project) in enumerate(zip(self.models, self.projects, strict=True)):
            rows = self.now(side)[2]
            assert model.files == {path.stem for path in project.looks()}
            assert self.count(side, rows) == known_looks(project.paths).count(rows)
            if project.paths.store.exists():
                with Store.open(project.paths.store) as store:
                    assert sorted(model.finals) == sorted(map(result_of, store.finals()))
                    assert len(model.finals) == len(store.items())
                    assert model.store == set(store.looks())


def result_of(final: dict[str, Any]) -> Result:
    """What names a result."""
    return final["candidate"], final["test_digest"]


def test_any_sequence_of_looks_is_as_the_model_says(prepared: Path) -> None:
    """No look goes uncounted, nothing is scored without one, and a spent budget repeats the last result, whatever comes."""
    machine = type("PreparedLooks", (Looks,), {"prepared": prepared})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a step costs 30 ms: with Phase.shrink a failure is short, after minutes
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
