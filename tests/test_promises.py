"""What the README promises, one test per promise, each headed by the promise in plain words."""

from __future__ import annotations

import shutil
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.studies.project import Shuffled, SmallProject, command, make_config, make_table
from tracker.canonical import canonical_json, parse_canonical
from tracker.config import Compare
from tracker.evaluation.compare import compare
from tracker.evaluation.ranking import Ranking
from tracker.execution.executor import InlineExecutor, one_thread
from tracker.execution.fork_server import worker_context
from tracker.execution.processes import ProcessExecutor
from tracker.execution.row_sets import arrays_of
from tracker.families.family import train
from tracker.records import TrialOutcome, record_from
from tracker.studies.plan import Basis, plan_study, propose_trial
from tracker.studies.result import StudyResult

ANEW = """
import sys
from pathlib import Path
from tests.execution.contract import alone
from tests.studies.project import SmallProject
from tracker.canonical import parse_canonical
from tracker.records import TrialSpec, record_from

specs = [record_from(TrialSpec, line) for line in parse_canonical(sys.stdin.buffer.read())]
project = SmallProject(Path(sys.argv[1]))
print(*(outcome.digest for outcome in alone(project, specs).values()), sep="\\n")
"""
STUDY = """
import sys
from pathlib import Path
from tests.studies.project import SmallProject

project = SmallProject(Path(sys.argv[1]))
result = project.run(project.plan("tpe"), store=Path(sys.argv[2]))
project.report(project.run(project.plan("manual")))
print(result.digest)
"""


@pytest.fixture(scope="module")
def truth(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """The study `tpe`, run at once in this process."""
    return small_project.run(small_project.plan("tpe"), store=tmp_path_factory.mktemp("truth") / "store")


def weights(result: StudyResult) -> list[str | None]:
    return [trial.outcome.weights for trial in result.trials]


def test_same_spec_same_bits(small_project: SmallProject) -> None:
    """A trial that is trained again gives every bit again: curve, weights, predictions."""
    arrays, specs = arrays_of(small_project.data), small_project.specs("random")
    with one_thread():
        first = [train(spec, arrays) for spec in specs]
        again = [train(spec, arrays) for spec in specs[::-1]][::-1]
    assert [result.outcome for result in first] == [result.outcome for result in again]
    assert [result.weights for result in first] == [result.weights for result in again]


def test_a_trial_is_the_same_in_a_fresh_process(fresh: SmallProject) -> None:
    """A trial of a finished study, read from its record and trained alone in another process, is the recorded one."""
    result = fresh.run(fresh.plan("tpe"))
    fresh.report(result)
    lines = (fresh.paths.models / "tpe" / "trials.jsonl").read_text().splitlines()[1:]
    records = [parse_canonical(line) for line in lines[::-1]]
    specs = canonical_json([record["proposal"]["runs"][0] for record in records]).decode()
    done = command(fresh.paths.root, "-c", ANEW, str(fresh.paths.root), stdin=specs)
    assert "" == done.stderr
    assert [record_from(TrialOutcome, record["outcomes"][0]).digest for record in records] == done.stdout.split()


def test_lanes_do_not_matter(small_project: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """Trained together or one by one, trials and study are the same."""
    solo = InlineExecutor(small_project.data, most_lanes=1)
    assert truth.digest == small_project.run(small_project.plan("tpe"), store=tmp_path, executor=solo).digest
    few = InlineExecutor(small_project.data, most_lanes=3)
    assert truth.digest == small_project.run(small_project.plan("tpe"), store=tmp_path / "few", executor=few).digest


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_workers_do_not_matter(small_project: SmallProject, truth: StudyResult, tmp_path: Path, workers: int) -> None:
    """With any number of worker processes the study is the same."""
    pool = ProcessExecutor(small_project.data, workers)
    assert truth.digest == small_project.run(small_project.plan("tpe"), store=tmp_path, executor=pool).digest


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_completion_does_not_matter(
    small_project: SmallProject, truth: StudyResult, tmp_path: Path, seed: int
) -> None:
    """However trials overtake each other, the sampler learns the same and the study is the same."""
    shuffled = Shuffled(InlineExecutor(small_project.data), seed)
    assert truth.digest == small_project.run(small_project.plan("tpe"), store=tmp_path, executor=shuffled).digest


def run_and_tell(root: Path, store: Path, pipe: Connection) -> None:
    """A study in a process of its own, which tells how many trials it has."""
    project = SmallProject(root)
    solo = InlineExecutor(project.data, most_lanes=1)
    project.run(project.plan("tpe"), store, solo, on_progress=lambda progress: pipe.send(progress.finished))


def test_kill_and_resume_do_not_matter(small_project: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """A study is killed outright at random moments; each time it goes on, and ends as one that ran through."""
    rng, seen = np.random.default_rng(), [0]
    for _ in range(10):
        here, there = worker_context().Pipe(duplex=False)
        process = worker_context().Process(target=run_and_tell, args=(small_project.paths.root, tmp_path, there))
        process.start()
        there.close()
        wanted, finished = min(seen[-1] + int(rng.integers(0, 4)), 16), -1
        while finished < wanted:
            finished = here.recv()
        process.join(timeout=rng.uniform(0, 0.03))
        process.kill()
        process.join()
        seen.append(finished)
    resumed = small_project.run(small_project.plan("tpe"), store=tmp_path)
    assert resumed.replayed >= seen[-1] > 0  # what was told is never lost
    assert truth.digest == resumed.digest


def test_more_trials_extend_a_study(small_project: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """Eight trials made sixteen run eight, and are the sixteen that would have been."""
    short = small_project.run(small_project.plan("tpe", studies__tpe__trials=8), store=tmp_path)
    longer = small_project.run(small_project.plan("tpe"), store=tmp_path)
    assert (8, truth.digest) == (longer.replayed, longer.digest)
    assert weights(truth)[:8] == weights(short)


def rank(project: SmallProject) -> Ranking:
    """The ranking of the studies that have a report."""
    return compare(project.paths, Compare(), clock=lambda: 1.8e9, user="ada")


def changed(project: SmallProject, split: str, table: pd.DataFrame) -> pd.DataFrame:
    """The table with other features in the rows of a split, and for the test split other labels too."""
    folder = project.paths.sealed if split == "test" else project.paths.splits
    chosen = table["who"].isin(pd.read_parquet(folder / f"{split}.parquet")["who"])
    other = table.copy()
    for column in "abd":
        other.loc[chosen, column] = (other.loc[chosen, column] * 3 + 1).round(4)
    if split == "test":
        other.loc[chosen, "kind"] = other.loc[chosen, "kind"].map({"ham": "spam", "spam": "ham"})
    assert not other.equals(table)
    return other


def test_test_data_changes_neither_weights_nor_the_choice(fresh: SmallProject, tmp_path: Path) -> None:
    """Other features and labels in every test row: the same trials, bit for bit, the same reports, the same choice."""
    other = fresh.copy(tmp_path / "other")
    other.divide(changed(fresh, "test", make_table()))
    assert fresh.paths.sealed.joinpath("test.parquet").read_bytes() != (
        other.paths.sealed.joinpath("test.parquet").read_bytes()
    )
    found = []
    for project in (fresh, other):
        for name in ("tpe", "random"):
            project.report(project.run(project.plan(name)))
        found.append((project.written(), rank(project).chosen))
    assert found[0] == found[1]


def test_tuning_does_not_need_the_test_split(fresh: SmallProject, truth: StudyResult) -> None:
    """With the sealed split gone a study runs, and is the same."""
    shutil.rmtree(fresh.paths.sealed)
    assert truth.digest == fresh.run(fresh.plan("tpe")).digest


def test_validation_data_changes_no_weights(fresh: SmallProject, tmp_path: Path) -> None:
    """Validation rows are looked at, never learnt from: with a sampler that does not adapt and fixed epochs,
    other ones leave every weight as it was.
    """
    fixed: dict[str, Any] = {"training": {"epochs": 4, "early_stopping": None}}
    other = fresh.copy(tmp_path / "other")
    other.divide(changed(fresh, "validation", make_table()))
    before, after = (project.run(project.plan("random", **fixed)) for project in (fresh, other))
    assert weights(before) == weights(after)
    assert before.digest != after.digest


def test_the_order_of_rows_changes_nothing(fresh: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """A table whose rows are shuffled gives the same splits and the same study."""
    table = make_table().sample(frac=1, random_state=3)
    shuffled = SmallProject.made(tmp_path / "shuffled", table)
    assert fresh.data.digests == shuffled.data.digests
    assert truth.digest == shuffled.run(shuffled.plan("tpe")).digest


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Kathmandu", "OMP_NUM_THREADS": "3", "USER": "ada"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "America/Caracas", "PYTHONUTF8": "1", "COLUMNS": "40"},
    ],
    ids=["C", "UTF-8"],
)
def test_the_surroundings_do_not_matter(
    fresh: SmallProject, truth: StudyResult, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Hash seed, locale, time zone, threads, user and folder: in another process under others the study is the same,
    and so are the files it leaves.
    """
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = command(elsewhere, "-c", STUDY, str(fresh.paths.root), str(tmp_path / "store"), **environ)
    assert (truth.digest, "") == (done.stdout.strip(), done.stderr)
    written = fresh.written()
    fresh.report(fresh.run(fresh.plan("manual"), store=tmp_path / "here"))
    assert written == fresh.written()


def test_seeds_come_from_names_and_never_from_data() -> None:
    """The seeds of trials follow from the root seed, the study's name and the trial's number."""
    seeds = {}
    for name, changes in {"one": {}, "two": {"training__epochs": 9}, "other": {"seed": 8}}.items():
        spec = plan_study(make_config(**changes), "manual", Basis({"train": name}, name)).spec
        seeds[name] = [propose_trial(spec, number, 0, {}).spec.seed for number in range(3)]
    assert seeds["one"] == seeds["two"]
    assert not set(seeds["one"]) & set(seeds["other"])
