"""Reports that params.yaml no longer describes: left out of rankings and lists, said in a line, and never scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.golden_project import PARAMS, unpack
from tests.studies.project import PARAMS as SMALL
from tests.studies.project import SmallProject, command, make_table
from tracker import api
from tracker.config import Config, parse_config, read_yaml
from tracker.deriving.judge_project import _verify_ranking
from tracker.errors import InputError, NotFoundError
from tracker.paths import Paths
from tracker.studies.superseded import GONE, superseded, superseded_note
from tracker.terminal.compared import say_ranking
from tracker.terminal.lists import Format


@pytest.fixture
def here(tmp_path: Path) -> api.Project:
    """A project as another release left it, on another machine."""
    return api.Project.now(Paths.of(unpack(tmp_path), {}))


@pytest.fixture
def config() -> Config:
    return parse_config(read_yaml(PARAMS.encode(), "params.yaml"), "params.yaml")


def studies(config: Config) -> set[str]:
    return set(config.studies)


def test_reports_of_an_earlier_release_are_none(here: api.Project, config: Config) -> None:
    """Another environment, release or number of trials is the same study; one that is not listed any more is none of ours."""
    assert {"own": GONE} == superseded(config, here.paths)
    more = config.with_("studies.tpe.trials", 60).with_("compare.test_looks", 5).with_("tracking.models", "none")
    assert {"own": GONE} == superseded(more, here.paths)


@pytest.mark.parametrize(
    ("path", "value", "names", "why"),
    [
        ("training.epochs", 6, None, "training.epochs changed"),
        ("studies.tpe.generation", 2, {"tpe"}, "studies.tpe.generation changed"),
        ("search_space.units", [4, 16], {"tpe", "qmc", "seeds", "pruned"}, "search_space changed"),
        ("preprocessing.numeric.scale", "none", None, "preprocessing changed"),
        ("studies.seeds.repeats", 3, {"seeds"}, "studies.seeds.repeats changed"),
        ("seed", 12, None, "seed changed"),
    ],
)
def test_another_study_of_the_name_is_named_with_what_changed(
    here: api.Project, config: Config, path: str, value: object, names: set[str] | None, why: str
) -> None:
    """Training, space, data, seeds: what differs is said in the words of params.yaml, of the studies that it concerns."""
    changed = config.with_(path, value)
    expected = dict.fromkeys(names or studies(config), why)
    assert expected | {"own": GONE} == superseded(changed, here.paths)


def test_other_rows_supersede_and_without_splits_nothing_is_said(here: api.Project, config: Config) -> None:
    """A table that grew is other data; where there are no splits, nobody knows of data, yet of training."""
    make_table(150).to_csv(here.paths.root / "table.csv", index=False)
    api.prepare(config, here)
    api.split(config, here)
    found = superseded(config, here.paths)
    assert {"rows changed"} == {why for name, why in found.items() if name != "own"}
    assert studies(config) | {"own"} == set(found)
    resplit = superseded(config.with_("split.test", 0.3), here.paths)
    assert all(why.startswith("split.test, rows") for name, why in resplit.items() if name != "own")
    shutil.rmtree(here.paths.splits)
    assert {"own": GONE} == superseded(config, here.paths)
    assert 6 == len(superseded(config.with_("training.epochs", 6), here.paths))


def test_the_store_knows_what_the_models_have_lost(here: api.Project, config: Config) -> None:
    """Without records beside the models the store tells; without both nothing is said to differ."""
    changed = config.with_("training.epochs", 6)
    expected = superseded(changed, here.paths)
    shutil.rmtree(here.paths.models)
    assert expected == superseded(changed, here.paths)
    shutil.rmtree(here.paths.store)
    assert {"own": GONE} == superseded(changed, here.paths)
    assert not here.paths.store.exists()


def test_a_ranking_leaves_them_out_and_takes_no_look(here: api.Project, config: Config) -> None:
    """Neither ranked nor chosen; the ranking says which and why, `verify` derives it again, and no look is taken."""
    ranking = api.compare(config.with_("studies.pruned.generation", 2).with_("studies.qmc.repeats", 2), here)
    told = json.loads((here.paths.reports / "ranking.json").read_text())
    changed = {"pruned": "studies.pruned.generation changed", "qmc": "studies.qmc.repeats changed"}
    assert changed == ranking.superseded == told["superseded"]
    assert {"manual", "seeds", "tpe"} == {row.study for row in ranking.rows}
    with pytest.raises(InputError, match=r"pruned \(studies.pruned.generation changed\).*; run `tracker tune pruned`"):
        ranking.test()
    verdict = _verify_ranking(here.paths, config, sorted(studies(config)), [])
    assert "identical" == verdict.state
    with pytest.raises(NotFoundError, match="nothing is left to rank"):
        api.compare(config.with_("training.epochs", 6), here)


def test_a_ranking_without_any_has_no_entry_for_them(here: api.Project, config: Config) -> None:
    """The ranking of a project that is up to date has the entries that it had."""
    assert {} == dict(api.compare(config, here).superseded)
    assert "superseded" not in json.loads((here.paths.reports / "ranking.json").read_text())


def test_runs_lists_the_present_project(here: api.Project) -> None:
    """`runs` lists what params.yaml describes and says what it left out; `--all` and a name list the rest, marked."""
    root = here.paths.root
    (root / "params.yaml").write_text(PARAMS.replace("tpe, trials: 6, generation: 3", "tpe, trials: 6, generation: 2"))

    def runs(*words: str) -> tuple[list[dict[str, object]], str]:
        done = command(root, "-m", "tracker.cli", "runs", "--format", "json", *words)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout), done.stderr

    rows, said = runs()
    assert {"manual", "qmc", "seeds", "pruned"} == {row["study"] for row in rows}
    assert not any("superseded" in row for row in rows)
    assert (
        "own (not in it any more); tpe (studies.tpe.generation changed): left out (`tracker runs --all` lists them); run `"
        in said
    )
    rows, said = runs("--all")
    assert {("own", GONE), ("tpe", "studies.tpe.generation changed")} == {
        (row["study"], row["superseded"]) for row in rows if "superseded" in row
    }
    assert "no longer" not in said
    rows, _ = runs("own")
    assert {GONE} == {row["superseded"] for row in rows}
    (root / "params.yaml").unlink()
    assert 6 == len({row["study"] for row in runs()[0]})


def test_advice_begins_with_the_rows(fresh: SmallProject) -> None:
    """Where rows are those of before a change, the stages that make them come first; else the study alone is run."""
    params, found = fresh.paths.root / "params.yaml", {"tpe": "seed changed"}
    params.write_text(SMALL)
    api.prepare(fresh.config, api.Project.now(fresh.paths))
    api.split(fresh.config, api.Project.now(fresh.paths))
    assert superseded_note(found, fresh.paths.root, "left out")[0].endswith("run `tracker tune tpe`")
    params.write_text(SMALL.replace("seed: 7", "seed: 8"))
    [line] = superseded_note(found, fresh.paths.root, "left out")
    assert line.endswith("run `tracker prepare`, `tracker split`, `tracker tune tpe`")


def test_tune_and_compare_say_once_that_settings_are_unknown(
    here: api.Project, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows of an earlier release: whether they are what params.yaml describes nobody knows, and the commands say so."""
    say_ranking(api.compare(config, here), config, here.paths, Format.csv, 1)
    assert 1 == capsys.readouterr().err.count("data/splits: made by a release that recorded no settings")
    (here.paths.splits / "train.parquet").unlink()  # so that nothing is trained after the line
    done = command(here.paths.root, "-m", "tracker.cli", "tune", "manual")
    assert 1 == done.stderr.count("data/splits: made by a release that recorded no settings"), done.stderr
