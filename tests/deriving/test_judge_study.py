"""A whole study is derived again from its spec alone: proposals, outcomes, winner, digest, report."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tracker
from tests.studies.loops import COST, LoopProject
from tests.studies.project import SmallProject
from tracker import api
from tracker.api import Project
from tracker.canonical import canonical_json, digest_bytes, parse_canonical
from tracker.cli import app
from tracker.deriving import judge_study
from tracker.deriving.find_study import find_study
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_project import verify_pipeline
from tracker.deriving.judge_study import FreshProcesses, sample_numbers, verify_study
from tracker.deriving.verdict import Verdict, verdict_json
from tracker.errors import InputError, NotFoundError
from tracker.paths import Paths
from tracker.records import Proposal, StudySpec, TrialOutcome, record_from, records_from
from tracker.search.samplers import open_sampler
from tracker.studies.result import study_result
from tracker.terminal.verdicts import verdict_lines

STUDIES = {"tpe": {"sampler": "tpe", "trials": 6, "generation": 3}, "random": {"sampler": "random", "trials": 3}}


def here_of(project: SmallProject) -> Project:
    return Project(project.paths, "unused", 1, "ada")


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory) -> SmallProject:
    """A project with two studies, a ranking and a final result; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("tuned") / "project")
    project.config = project.config.with_("studies", STUDIES)
    here = here_of(project)
    for name in STUDIES:
        api.tune(project.config, name, project=here, deliver=False)
    api.compare(project.config, here).test()
    return project


@pytest.fixture(scope="module")
def processes():
    with FreshProcesses() as started:
        yield started


def moved(project: SmallProject, root: Path) -> SmallProject:
    copy = project.copy(root)
    copy.config = project.config
    return copy


def forge(project: SmallProject, change: Callable[[list[dict]], list[dict]]) -> None:
    """Alters the records of `random` beside its model, digest and all, and takes away whatever else would tell."""
    shutil.rmtree(project.paths.store)
    (project.paths.study_reports / "random.json").unlink()
    path = project.paths.models / "random" / "trials.jsonl"
    head, *records = [parse_canonical(line) for line in path.read_text().splitlines()]
    records = change(records)
    proposals = [record_from(Proposal, record["proposal"]) for record in records]
    outcomes = [records_from(TrialOutcome, record["outcomes"]) for record in records]
    head["digest"] = study_result(record_from(StudySpec, head["study"]), proposals, outcomes).digest
    path.write_bytes(b"\n".join(map(canonical_json, [head, *records])) + b"\n")


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_everything_is_derived_again(tuned: SmallProject) -> None:
    """Store, studies, ranking, looks and final result are identical; steps are told; nothing on disk changes."""
    before = {path: path.read_bytes() for path in tuned.paths.root.rglob("*") if path.is_file()}
    steps: list[tuple[str, int, int]] = []
    found = list(
        api.verify(
            tuned.config, STUDIES, pipeline=True, project=here_of(tuned), on_step=lambda *step: steps.append(step)
        )
    )
    assert ["identical"] * 6 == [verdict.state for verdict in found]
    assert [("tpe", 6, 6), ("random", 3, 3)] == [(v.name, v.derived, v.counted) for v in found[1:3]]
    assert [("tpe", done, 6) for done in range(7)] == [step for step in steps if step[0] == "tpe"]
    assert before == {path: path.read_bytes() for path in tuned.paths.root.rglob("*") if path.is_file()}
    assert verdict_lines(found[0])[0].startswith("store: identical (")
    assert ["looks: identical (1 look on record)"] == verdict_lines(found[4])
    assert verdict_lines(found[1])[0].startswith("tpe: identical (6 of 6 trials derived again; digest ")


def test_a_sample_is_drawn_by_a_named_seed(tuned: SmallProject, processes: FreshProcesses) -> None:
    """The same trials each time, other ones for another size, all of them where the sample is large."""
    study = find_study("tpe", tuned.paths)
    assert sample_numbers(study, 3) == sample_numbers(study, 3)
    assert 3 == len(set(sample_numbers(study, 3)))
    assert list(range(6)) == sample_numbers(study, 99) == sample_numbers(study, None)
    found = verify_study("tpe", tuned.paths, processes, sample=2)
    assert ("identical", 2, 6) == (found.state, found.derived, found.counted)


def test_another_sampler_is_found_by_its_first_proposal(
    tuned: SmallProject, processes: FreshProcesses, tmp_path: Path
) -> None:
    """Records whose proposals the sampler does not make differ, before any trial is trained."""
    copy = moved(tuned, tmp_path / "copy")
    forge(copy, lambda records: [records[1], records[0], records[2]])
    found = verify_study("random", copy.paths, processes)
    assert ("differs", 0) == (found.state, found.derived)
    assert "trial 0" in found.first_difference.words


def test_what_changed_around_a_proposal_that_differs_is_named(
    tuned: SmallProject, processes: FreshProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proposals come of this process's arithmetic: what is otherwise than when the trial was run may be the cause."""
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "SOME_KERNEL")
    monkeypatch.setattr(judge_study, "open_sampler", lambda spec: open_sampler(replace(spec, seed=spec.seed + 1)))
    found = verify_study("tpe", tuned.paths, processes)
    assert ("differs", "proposal 0") == (found.state, found.first_difference.metric)
    lines = verdict_lines(found)
    named = "the environment variable NPY_DISABLE_CPU_FEATURES: unset recorded, SOME_KERNEL here"
    assert ["  possible causes, the likeliest first:", f"    {named}"] == lines[2:4]


def test_an_altered_outcome_is_found(tuned: SmallProject, processes: FreshProcesses, tmp_path: Path) -> None:
    """Another number in a record is the first difference, with its trial and epoch."""
    copy = moved(tuned, tmp_path / "copy")

    def change(records: list[dict]) -> list[dict]:
        records[1]["outcomes"][0]["history"][1]["val_loss"] += 0.25
        return records

    forge(copy, change)
    found = verify_study("random", copy.paths, processes)
    assert ("differs", 1) == (found.state, found.derived)
    assert found.first_difference.words.startswith("trial 1: epoch 2, val_loss")
    assert 0.25 == pytest.approx(found.inner.first_difference.largest)
    assert json.loads(json.dumps(verdict_json(found)))["inner"]["state"] == "differs"


def test_an_altered_report_is_found(tuned: SmallProject, processes: FreshProcesses, tmp_path: Path) -> None:
    """The report is what people read: another value in it than the store has is a difference."""
    copy = moved(tuned, tmp_path / "copy")
    path = copy.paths.study_reports / "random.json"
    report = json.loads(path.read_text())
    report["trials"][2]["value"] = 0.999
    path.write_text(json.dumps(report))
    found = verify_study("random", copy.paths, processes, sample=1)
    assert "differs" == found.state
    assert "random.json: trials.2.value is 0.999 there" in found.first_difference.words


def test_an_altered_report_is_not_ranked(tuned: SmallProject, tmp_path: Path) -> None:
    """A value that does not follow from the records beside the model ends `compare`, and leaves the ranking as it is."""
    copy = moved(tuned, tmp_path / "copy")
    before = (copy.paths.reports / "ranking.json").read_bytes()
    report = copy.paths.study_reports / "random.json"
    told = json.loads(report.read_text())
    told["trials"][2]["value"] = 0.999
    report.write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"random\.json: trials\.2\.value is 0\.999, but .* `tracker tune random`"):
        api.compare(copy.config, here_of(copy))
    assert before == (copy.paths.reports / "ranking.json").read_bytes()
    api.tune(copy.config, "random", project=here_of(copy), deliver=False)
    api.compare(copy.config, here_of(copy))
    assert before == (copy.paths.reports / "ranking.json").read_bytes()


def test_an_altered_ranking_is_found(tuned: SmallProject, tmp_path: Path) -> None:
    """A ranking that does not follow from the reports differs, and stays as it is."""
    copy = moved(tuned, tmp_path / "copy")
    path = copy.paths.reports / "ranking.json"
    rewrite(path, '"rank": 1', '"rank": 2')
    content = path.read_bytes()
    found = list(api.verify(copy.config, STUDIES, sample=1, pipeline=True, project=here_of(copy)))
    assert ["identical"] * 3 + ["differs"] == [verdict.state for verdict in found[:4]]
    assert found[3].first_difference.words.startswith("ranking.json: rows.0.rank is 2 there, 1 follows from")
    assert content == path.read_bytes()


def test_changed_rows_cannot_be_verified(tuned: SmallProject, tmp_path: Path) -> None:
    """Without the rows a study cannot be derived; the exit code is that of `cannot`."""
    copy = moved(tuned, tmp_path / "copy")
    shutil.rmtree(copy.paths.splits)
    [found] = api.verify(copy.config, ["random"], project=here_of(copy))
    assert ("cannot", 11) == (found.state, found.exit_code)
    assert "`tracker split`" in "\n".join(verdict_lines(found))


def test_a_damaged_store_is_told_and_hides_nothing(tuned: SmallProject, tmp_path: Path) -> None:
    """A changed row, changed weights: the store differs, and the studies have verdicts of their own."""
    damaged = moved(tuned, tmp_path / "rows")
    with sqlite3.connect(damaged.paths.store / "store.db") as link:
        link.execute("UPDATE outcomes SET content = replace(content, 'val_loss', 'val_lost') WHERE id = 1")
    link.close()
    found = list(api.verify(damaged.config, STUDIES, sample=1, pipeline=True, project=here_of(damaged)))
    assert [("store", "differs"), ("tpe", "cannot"), ("random", "identical"), ("ranking", "cannot")] == [
        (verdict.name, verdict.state) for verdict in found[:4]
    ]
    assert "rests on the reports of tpe" in found[3].causes[0].words
    damaged = moved(tuned, tmp_path / "weights")
    next(damaged.paths.store.glob("weights/*/*.safetensors")).write_bytes(b"x")
    store, study = api.verify(damaged.config, ["random"], sample=1, project=here_of(damaged))
    assert ("differs", "identical") == (store.state, study.state)
    assert "safetensors" in store.first_difference.words


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("weights.safetensors", None, None, "weights.safetensors holds other bytes"),
        ("model.json", '"dropout":0.', '"dropout":1.', "model.json: params.dropout is 1."),
        ("model.json", '"center":', '"center":1', "model.json: preprocessing."),
        ("trials.jsonl", '"val_loss":0.', '"val_loss":9.', "trials.jsonl: line 2"),
        ("../../reports/curves/random.csv", "0.", "9.", "curves/random.csv: line 2"),
    ],
)
def test_altered_files_of_a_study_are_found(
    tuned: SmallProject,
    processes: FreshProcesses,
    tmp_path: Path,
    name: str,
    old: str | None,
    new: str | None,
    told: str,
) -> None:
    """Whatever a study leaves follows from its trials: another byte in one of its files is a difference."""
    copy = moved(tuned, tmp_path / "copy")
    path = (copy.paths.models / "random" / name).resolve()
    if old is None or new is None:
        path.write_bytes(b"x")
    else:
        rewrite(path, old, new)
    found = verify_study("random", copy.paths, processes, sample=1)
    assert "differs" == found.state
    assert told in found.first_difference.words
    assert "tracker tune random" in found.remedy


@pytest.mark.parametrize(
    "name", ["reports/studies/random.json", "reports/curves/random.csv", "models/random/model.json"]
)
def test_a_missing_file_of_a_study_is_found(
    tuned: SmallProject, processes: FreshProcesses, tmp_path: Path, name: str
) -> None:
    """What a study has left is there as a whole, or not at all, as after a pull."""
    copy = moved(tuned, tmp_path / "copy")
    (copy.paths.root / name).unlink()
    found = verify_study("random", copy.paths, processes, sample=1)
    assert ("differs", f"{name} is not there") == (found.state, found.first_difference.words)
    shutil.rmtree(copy.paths.reports)
    shutil.rmtree(copy.paths.models)
    assert "identical" == verify_study("random", copy.paths, processes, sample=1).state


def test_an_unreadable_report_hides_nothing(tuned: SmallProject, tmp_path: Path) -> None:
    """Each part has a verdict of its own; a final result whose look is on record must be there."""
    copy = moved(tuned, tmp_path / "copy")
    (copy.paths.study_reports / "tpe.json").write_text("")
    (copy.paths.reports / "final.json").unlink()
    found = list(api.verify(copy.config, STUDIES, sample=1, pipeline=True, project=here_of(copy)))
    assert ["identical", "cannot", "identical", "cannot", "identical", "cannot"] == [one.state for one in found]
    assert "final.json" in "\n".join(verdict_lines(found[5]))


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("final.json", '"looks": 1', '"looks": 4', "looks"),
        ("final.json", '"stale": false', '"stale": true', "stale"),
        ("confusion.csv", "\n", "\nx,y\n", "confusion.csv"),
    ],
)
def test_an_altered_final_result_is_found(
    tuned: SmallProject, tmp_path: Path, name: str, old: str, new: str, told: str
) -> None:
    """What the report says of looks, and the table of predictions, follow from the record too."""
    copy = moved(tuned, tmp_path / "copy")
    rewrite(copy.paths.reports / name, old, new)
    found = reproduce_final(copy.paths)
    assert found.first_difference is not None
    assert ("differs", told) == (found.state, found.first_difference.metric)


def renamed(path: Path, change: Callable[[dict], object]) -> None:
    """Alters a look or result and gives it the name that its new content has."""
    value = parse_canonical(path.read_bytes())
    change(value)
    content = canonical_json(value) + b"\n"
    (path.parent / f"{digest_bytes(content)}.json").write_bytes(content)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda looks, look, result: look.write_text(look.read_text() + " "), "its content differs from its name"),
        (lambda looks, look, result: result.write_text(result.read_text() + " "), "its content differs from its name"),
        (lambda looks, look, result: look.unlink(), "{name} is of test rows at which no look is recorded"),
        (lambda looks, look, result: later_look(looks, look), "is neither in files nor in the store"),
        (
            lambda looks, look, result: renamed(result, lambda value: value["test"].update(f1=0.99)),
            "follows from its confusion matrix",
        ),
        (
            lambda looks, look, result: renamed(result, lambda value: value.update(test_rows=7)),
            "has 2 results on the same test rows",
        ),
        (
            lambda looks, look, result: (
                renamed(result, lambda value: value.update(params={"units": 7})),
                result.unlink(),
            ),
            "in the result of that look",
        ),
        (
            lambda looks, look, result: renamed(look, lambda value: value.update(candidate="0" * 64)),
            "final.json counts 1 of the 2 looks at these test rows; `tracker compare --test` counts again",
        ),
    ],
)
def test_an_altered_or_missing_look_is_found(
    tuned: SmallProject, processes: FreshProcesses, tmp_path: Path, change, told: str
) -> None:
    """Looks and results are read against their names, their own numbers, each other and the report."""
    copy = moved(tuned, tmp_path / "copy")
    shutil.rmtree(copy.paths.store)
    [look], [result] = copy.paths.looks.glob("*.json"), (copy.paths.looks / "results").glob("*.json")
    told = told.format(name="{study}/{trial}".format(**json.loads(result.read_text())))
    change(copy.paths.looks, look, result)
    found = looks_of(copy, processes)
    assert "differs" == found.state
    assert told in "\n".join(verdict_lines(found))


def looks_of(project: SmallProject, processes: FreshProcesses) -> Verdict:
    found = verify_pipeline(project.paths, project.config, STUDIES, processes, 1, lambda *_: None)
    return next(one for one in found if one.kind == "looks")


def test_a_deleted_look_comes_back_as_the_message_says(
    tuned: SmallProject, processes: FreshProcesses, tmp_path: Path
) -> None:
    """What is in the store alone would not be committed; `tracker sync` writes look and result again."""
    copy = moved(tuned, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in copy.paths.looks.rglob("*.json")}
    shutil.rmtree(copy.paths.looks)
    found = looks_of(copy, processes)
    assert "differs" == found.state
    assert "is in the store and not in" in found.first_difference.words
    assert "`tracker sync`" in found.remedy
    api.sync(copy.config, Project(copy.paths, f"sqlite:///{tmp_path / 'mlflow.db'}", 1, "ada"))
    assert before == {path.name: path.read_bytes() for path in copy.paths.looks.rglob("*.json")}
    assert "identical" == looks_of(copy, processes).state


def later_look(folder: Path, look: Path) -> None:
    """Leaves a look that names one which is gone."""
    value = parse_canonical(look.read_bytes()) | {"parents": [look.stem], "time": "2027-01-01T00:00:00Z"}
    content = canonical_json(value) + b"\n"
    (folder / f"{digest_bytes(content)}.json").write_bytes(content)
    look.unlink()


def verified(project: SmallProject) -> list[Verdict]:
    return list(api.verify(project.config, STUDIES, sample=1, pipeline=True, project=here_of(project)))


def test_verifying_without_a_store_makes_none(tuned: SmallProject, tmp_path: Path) -> None:
    """Records beside the models, looks in git: everything is verified from them, and nothing is written."""
    copy = moved(tuned, tmp_path / "copy")
    shutil.rmtree(copy.paths.store)
    assert {"identical"} == {one.state for one in verified(copy)}
    assert not copy.paths.store.exists()


def test_the_store_may_have_more_trials_than_the_report(
    tuned: SmallProject, processes: FreshProcesses, tmp_path: Path
) -> None:
    """After a longer run, here or elsewhere with the same store, the study that the report speaks of is verified."""
    copy = moved(tuned, tmp_path / "copy")
    report = copy.paths.study_reports / "random.json"
    kept = {path: path.read_bytes() for path in (report, *(copy.paths.models / "random").iterdir())}
    kept |= {path: path.read_bytes() for path in (copy.paths.reports / "curves").iterdir()}
    api.tune(copy.config.with_("studies.random.trials", 5), "random", project=here_of(copy), deliver=False)
    longer = verify_study("random", copy.paths, processes, sample=1)
    assert ("identical", 5) == (longer.state, longer.counted)
    for path, content in kept.items():
        path.write_bytes(content)
    found = verify_study("random", copy.paths, processes)
    assert ("identical", 3, 3) == (found.state, found.derived, found.counted)


def test_a_study_that_is_not_there(processes: FreshProcesses, tmp_path: Path) -> None:
    """A name without records is an error that says what to do."""
    with pytest.raises(NotFoundError, match=r"tracker pull|tracker run"):
        verify_study("none", Paths.of(tmp_path, {}), processes)


def test_the_command_line(tuned: SmallProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Verdicts as JSON and text; without a name it asks for one."""
    copy = moved(tuned, tmp_path / "copy")
    monkeypatch.chdir(copy.paths.root)
    done = CliRunner().invoke(app, ["verify", "random", "--sample", "1", "--format", "json"])
    assert (0, "identical") == (done.exit_code, json.loads(done.stdout)[0]["state"])
    report = copy.paths.study_reports / "random.json"
    rewrite(report, '"best_value": ', '"best_value": 1')
    done = CliRunner().invoke(app, ["verify", "random", "--sample", "1"])
    assert (10, True) == (done.exit_code, "best_value" in done.stdout)
    assert 0 != CliRunner().invoke(app, ["verify"]).exit_code


def test_a_study_without_models_is_identical(tmp_path: Path) -> None:
    """A loop that yields numbers alone leaves no model, and none is missed; a model that lies there is not its own."""
    project = LoopProject.with_loop(tmp_path / "project", COST)
    project.config = project.config.with_("studies", {"random": {"sampler": "random", "trials": 4}})
    tracker.tune(project.config, "random", project=project.here, deliver=False)
    api.compare(project.config, project.here)
    found = list(api.verify(project.config, ["random"], pipeline=True, project=project.here))
    assert {"store": "identical", "random": "identical", "ranking": "identical"} == {
        one.name: one.state for one in found
    }
    assert ["random/1: identical (1 epoch, no model)"] == verdict_lines(
        tracker.reproduce("random/1", project=project.here)
    )
    (project.paths.models / "random" / "model.json").write_text("{}")
    [other] = api.verify(project.config, ["random"], project=project.here)
    assert other.first_difference is not None
    assert ("differs", "models/random/model.json is there, yet no trial gave that model") == (
        other.state,
        other.first_difference.words,
    )


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="portable numerics are for x86-64")
def test_native_and_portable_studies_are_verified_in_one_call(tmp_path: Path) -> None:
    """Each with the kernels that it was made with, proposals included: tpe's come of NumPy's logarithms."""
    project = LoopProject.with_loop(tmp_path / "project", COST)
    study = {"sampler": "tpe", "trials": 12, "generation": 4}
    text = project.paths.params.read_text()
    pinned = json.dumps({"free": study, "pinned": {**study, "training": {"epochs": 3, "numerics": "portable"}}})
    project.paths.params.write_text(text[: text.index("studies:")] + f"studies: {pinned}\ncompare: {{test_looks: 1}}\n")
    tune = "import sys, tracker; tracker.tune(tracker.load_config('params.yaml'), sys.argv[1], deliver=False)"
    for name in ("free", "pinned"):
        subprocess.run([sys.executable, "-c", tune, name], cwd=project.paths.root, env=environ(), check=True)
    config = tracker.load_config(project.paths.params)
    seen: list[tuple[str, int, int]] = []
    found = list(
        tracker.verify(
            config, ["free", "pinned"], sample=2, project=project.here, on_step=lambda *step: seen.append(step)
        )
    )
    assert [("free", "identical", None), ("pinned", "identical", None)] == [
        (one.name, one.state, one.first_difference) for one in found
    ]
    assert [("free", 2, 2), ("pinned", 2, 2)] == [step for step in seen if step[1] == step[2]]


def environ() -> dict[str, str]:
    """Where a fresh process finds this project."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path}
