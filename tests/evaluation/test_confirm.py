"""Confirmation: further seeds for the best few and the defaults, the choice by their means, the look at what it chose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.studies.project import SmallProject
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_project import verify_pipeline
from tracker.deriving.judge_study import FreshProcesses
from tracker.deriving.model_again import write_model_again
from tracker.errors import InputError, NotFoundError
from tracker.evaluation.certainty import mean
from tracker.evaluation.compare import compare
from tracker.evaluation.confirm import open_confirming
from tracker.evaluation.ranking import Ranking
from tracker.evaluation.sureness import Defaults, Sureness
from tracker.reporting.facts import collect
from tracker.reporting.words import certainty, score
from tracker.store.store import Store
from tracker.studies.adopt import adopt_studies
from tracker.terminal.leaderboard import read_trial
from tracker.terminal.show_final import describe_final, read_final

CONFIRM = {"top": 2, "seeds": 3}


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """Two finished studies and a confirmed ranking with its look; never touched."""
    project = small_project.copy(tmp_path_factory.mktemp("confirmed") / "project")
    for name in ("manual", "random"):
        project.report(project.run(project.plan(name)))
    ranked(project).test()
    return project


@pytest.fixture
def confirmed(tuned: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy for one test."""
    return tuned.copy(tmp_path / "project")


def ranked(project: SmallProject, trains: bool = True, **changes: object) -> Ranking:
    """The ranking of a project with confirmation."""
    config = project.config.with_("studies", {name: project.config.model_dump(exclude_unset=True)["studies"][name]
                                              for name in ("manual", "random")})  # fmt: skip
    config = config.with_("compare.confirm", {**CONFIRM, **changes})
    project.config = config
    confirm = open_confirming(config, project.paths, 1, (lambda _: None) if trains else None)
    return compare(project.paths, config.compare, clock=lambda: 0.0, studies=config.studies, confirm=confirm)


def reports(project: SmallProject) -> dict[str, bytes]:
    folder = project.paths.reports
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def attempts(project: SmallProject) -> int:
    """How many runs were ever trained with the store."""
    with Store.open(project.paths.store) as store:
        return len(store._database.rows("attempts")) - len(store.studies())  # of a study there is one, its beginning


def test_the_best_few_and_the_defaults_get_the_same_further_seeds(tuned: SmallProject) -> None:
    """Distinct configurations, the defaults beside them, each with seeds that no trial had; the best mean is chosen."""
    ranking = ranked(tuned)
    found = ranking.confirmation
    first = {(row.study, row.trial) for row in ranking.rows[:2]}
    assert first | {("manual", 0)} == {(one.row.study, one.row.trial) for one in found.contenders}
    seeds = {tuple(run.seed for run in one.trial.proposal.runs) for one in found.contenders}
    assert 1 == len(seeds)
    assert 3 == len({*seeds.pop()})
    means = [mean(one.values) for one in found.contenders]
    assert sorted(means, reverse=True) == means
    assert found.choice.row is found.contenders[0].row is ranking.chosen
    used = {run.key for one in found.contenders for run in one.trial.proposal.runs}
    measured = {run.key for one in (found.choice, found.defaults) for run in one.trial.proposal.runs}
    assert not used & measured
    configurations = [{run.configuration for run in one.trial.proposal.runs} for one in found.contenders]
    assert 3 == len(set().union(*configurations))


def test_the_served_model_is_of_the_median_seed(tuned: SmallProject) -> None:
    """Neither the luckiest nor the unluckiest run of the measuring round; its weights lie beside the records."""
    ranking = ranked(tuned)
    found, scored = ranking.confirmation, ranking.scored
    assert sorted(found.choice.values)[1] == scored.value
    described = json.loads((tuned.paths.confirmed / "model" / "model.json").read_bytes())
    assert (scored.key, scored.weights) == (described["key"], described["weights"])


def test_it_is_replayed_from_the_store_and_from_its_records(confirmed: SmallProject) -> None:
    """Again, without its files, or without the store: nothing is trained, and every byte is the same."""
    before, trained = reports(confirmed), attempts(confirmed)
    ranked(confirmed)
    assert before == reports(confirmed)
    shutil.rmtree(confirmed.paths.confirmed)
    ranked(confirmed)
    assert before == reports(confirmed)
    assert trained == attempts(confirmed)
    shutil.move(confirmed.paths.store, confirmed.paths.store.with_name("elsewhere"))
    reading = ranked(confirmed, trains=False)
    assert before == reports(confirmed)
    assert not confirmed.paths.store.exists()
    with pytest.raises(NotFoundError, match="is not the confirmation of these reports"):
        ranked(confirmed, trains=False, seeds=4)
    assert 3 == reading.confirmation.seeds


def test_a_kill_loses_no_run(tuned: SmallProject, tmp_path: Path) -> None:
    """What was killed in the middle of a round goes on with the runs that it had stored, and ends as one that ran through."""
    project = tuned.copy(tmp_path / "killed")
    shutil.rmtree(project.paths.confirmed)
    shutil.rmtree(project.paths.store)

    def stop(progress: object) -> None:
        if getattr(progress, "finished", 0):
            raise KeyboardInterrupt

    config = project.config.with_("compare.confirm", CONFIRM)
    with pytest.raises(KeyboardInterrupt):
        compare(project.paths, config.compare, clock=lambda: 0.0, studies=("manual", "random"),
                confirm=open_confirming(config, project.paths, 1, stop))  # fmt: skip
    stored = attempts(project)
    assert stored > 0
    ranked(project)
    assert reports(tuned) == reports(project)
    assert attempts(tuned) - attempts_of_studies(tuned) == attempts(project)


def attempts_of_studies(project: SmallProject) -> int:
    """The runs of the studies that are not confirming."""
    return sum(len(json.loads(path.read_bytes())["trials"]) for path in project.paths.study_reports.glob("*.json"))


def test_the_look_scores_the_choice_and_beside_it_its_seeds(tuned: SmallProject) -> None:
    """One look, of the served run's candidate; the result has mean and spread over the seeds on the same rows."""
    final = json.loads((tuned.paths.reports / "final.json").read_bytes())
    [look] = [json.loads(path.read_bytes()) for path in tuned.paths.looks.glob("*.json")]
    ranking = ranked(tuned)
    assert (ranking.scored.candidate, ranking.scored.key) == (look["candidate"], look["key"])
    assert (ranking.scored.key, 1, False) == (final["key"], final["looks"], final["stale"])
    seeds = final["seeds"]
    assert [run.key for run in ranking.confirmation.choice.trial.proposal.runs] == seeds["keys"]
    assert final["test"]["f1"] == seeds["f1"]["values"][seeds["keys"].index(final["key"])]
    assert mean(seeds["f1"]["values"]) == seeds["f1"]["mean"]


def test_all_of_it_is_derived_again(confirmed: SmallProject) -> None:
    """The studies that confirm, the ranking with its confirmation, and every seed's test score; an altered mean is found."""
    config, paths = confirmed.config, confirmed.paths
    with FreshProcesses() as processes:
        found = list(verify_pipeline(paths, config, list(config.studies), processes, None, lambda *_: None))
    assert {"identical"} == {one.state for one in found}, [one for one in found if one.state != "identical"]
    assert {"confirm.choose", "confirm.measure"} <= {one.name for one in found}
    final = json.loads((paths.reports / "final.json").read_bytes())
    final["seeds"]["f1"]["mean"] += 0.01
    (paths.reports / "final.json").write_text(json.dumps(final))
    told = reproduce_final(paths)
    assert ("differs", "seeds.f1.mean") == (told.state, told.first_difference.metric)


def test_another_training_is_a_study_of_its_own(confirmed: SmallProject) -> None:
    """A study with fewer epochs is confirmed with its epochs, beside the defaults with theirs."""
    confirmed.config = confirmed.config.with_("studies.random.training", {"epochs": 2})
    confirmed.report(confirmed.run(confirmed.plan("random")))
    ranking = ranked(confirmed, top=9)
    for one in ranking.confirmation.contenders:
        assert (2 if one.row.study == "random" else 4) == one.study.training["epochs"]
    assert {"confirm.choose", "confirm.choose.2"} <= set(ranking.confirmation.digests)
    ranked(confirmed, top=1)
    kept = {path.name for path in confirmed.paths.confirmed.iterdir()} - {"model"}
    assert set(ranked(confirmed, top=1).confirmation.digests) == kept


def test_records_of_other_data_are_refused(confirmed: SmallProject) -> None:
    """Reports that are older than the rows cannot be confirmed; the message says what to run."""
    shutil.rmtree(confirmed.paths.confirmed)
    shutil.rmtree(confirmed.paths.store)
    confirmed.config = confirmed.config.with_("preprocessing.numeric", {"scale": "minmax"})
    with pytest.raises(InputError, match="of other data, preprocessing or code than lie here now"):
        ranked(confirmed)


def test_off_it_leaves_nothing(fresh: SmallProject) -> None:
    """Without compare.confirm neither report nor folder knows of it, and the first of the ranking is chosen."""
    fresh.report(fresh.run(fresh.plan("manual")))
    assert open_confirming(fresh.config, fresh.paths) is None
    ranking = compare(fresh.paths, fresh.config.compare, clock=lambda: 0.0)
    assert ranking.rows[0] is ranking.chosen is ranking.scored
    assert "confirmation" not in json.loads((fresh.paths.reports / "ranking.json").read_bytes())
    assert not fresh.paths.confirmed.exists()


def test_it_is_said_in_words(tuned: SmallProject) -> None:
    """The best mean and what was found, the measured means with their spread, the probability."""
    ranked(tuned)
    content = json.loads((tuned.paths.reports / "ranking.json").read_bytes())
    told, lines = content["confirmation"], Sureness.of(content, Defaults.of(tuned.config)).lines()
    best, choice = told["contenders"][0], told["measured"]["choice"]
    assert f"best mean of 3 configurations over the 3 seeds that choose: {best['mean']:.4f}; as found" in lines[-4]
    assert f"{choice['mean']:.4f} ± {choice['sd']:.4f}, the defaults manual/0" in lines[-3]
    assert f"with probability {100 * told['measured']['probability']:.1f} %" in lines[-2]
    served = told["served"]
    assert f"(seed {served['seed']}, val_f1 {served['value']:.4f}): reports/confirm/model" in lines[-1]
    never = Sureness.of(
        {**content, "confirmation": {**told, "measured": {**told["measured"], "probability": 1.0}}}, None
    )
    assert "99.9 %" in never.lines()[-2]
    assert isinstance(told["served"]["seed"], int)


def test_the_scored_run_is_shown(tuned: SmallProject) -> None:
    """`show final` tells the run that was scored, not the one that was found; `show` of that names it; the model opens."""
    ranking = ranked(tuned)
    found, served = read_final(tuned.paths), ranking.confirmation.json["served"]
    assert (served["key"], served["seed"], served["value"]) == (found["key"], found["seed"], found["value"])
    assert "reports/confirm/model" == found["model"]
    assert found["key"] != found["found"]["key"]
    lines = describe_final(found)
    name = f"{ranking.chosen.study}/{ranking.chosen.trial}"
    assert lines[0].startswith(f"{name}  val_f1 {served['value']:.4g} on validation, f1 ")
    assert f"seed {found['found']['seed']}: tracker show {name}" in lines[1]
    assert f"seed      {served['seed']}" in lines
    assert any(line.startswith("val_loss  ") and "first" in line for line in lines)  # the curve of that run
    assert "`tracker show final`" in read_trial(tuned.paths, name)["place"]
    model = tuned.paths.confirmed / "model"
    assert json.loads((model / "model.json").read_bytes()) == json.loads(
        (open_final(tuned) / "model.json").read_bytes()
    )


def test_a_scored_run_of_a_former_study_keeps_its_own_values(tuned: SmallProject, tmp_path: Path) -> None:
    """Where a later study has another trial of that number, `show final` says what was scored, and that it is stale now."""
    project = tuned.copy(tmp_path / "project")
    before = read_final(project.paths)
    assert not before["stale"]
    path = project.paths.reports / "final.json"
    scored = json.loads(path.read_bytes())
    scored["params"] = {**scored["params"], "units": 1000}
    path.write_text(json.dumps(scored))
    found = read_final(project.paths)
    assert (1000, before["key"], before["seed"]) == (found["params"]["units"], found["key"], found["seed"])
    assert found["stale"]
    assert "found" not in found
    assert any("another trial is chosen now" in line for line in describe_final(found))


def open_final(project: SmallProject) -> Path:
    """The folder of the scored run's model, written anew."""
    folder = project.paths.root / "again"
    write_model_again("final", project.paths, folder)
    return folder


def test_nothing_scored_is_said(fresh: SmallProject) -> None:
    """Without a result `show final` says what to run first."""
    with pytest.raises(NotFoundError, match="nothing is scored yet"):
        read_final(fresh.paths)


def test_the_report_speaks_of_what_was_confirmed(tuned: SmallProject) -> None:
    """The chosen trial of the page is that of the confirmation, with mean, spread and the defaults beside it."""
    ranking = ranked(tuned)
    facts = collect(tuned.paths, tuned.config)
    assert (ranking.chosen.study, ranking.chosen.trial) == (facts.chosen.study, facts.chosen.number)
    told = " ".join(certainty(facts))
    assert f"3 configurations were trained with 3 further seeds each; {facts.chosen.name} has the best mean." in told
    assert (
        f"With 3 more seeds, that chose nothing, it has a mean of {score(mean(ranking.confirmation.choice.values))}"
        in told
    )


def test_the_store_is_filled_from_its_records(confirmed: SmallProject) -> None:
    """`sync` takes the studies that confirm from beside the report, as it takes the others from beside their models."""
    shutil.rmtree(confirmed.paths.store)
    with Store.open(confirmed.paths.store) as store:
        for folder in (confirmed.paths.models, confirmed.paths.confirmed):
            adopt_studies(folder, store, {"who": "tests"}, lambda: 0.0)
        assert {"manual", "random", "confirm.choose", "confirm.measure"} == {spec.name for _, spec in store.studies()}
