"""A year of retunings: growth, bad batches, a missed month, a killed job, two jobs at once, drift, a rollback."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.retuning.year import PARAMS, Year, table
from tracker import api
from tracker.config import Config, load_config
from tracker.deriving.find_trial import find_recorded, namesakes
from tracker.durable import lock_file
from tracker.errors import AlreadyRetuning, ConfigError, DataRefused, InputError, NotFoundError, OutOfTime, StoreError
from tracker.paths import Paths
from tracker.project.clean import clean
from tracker.records import TrialOutcome
from tracker.retuning.champion import configuration_of
from tracker.retuning.history import History, peek, read_history
from tracker.retuning.retune import _warmed, retune, rollback
from tracker.retuning.warm import left_cold
from tracker.store.store import Store
from tracker.terminal.leaderboard import describe_trial, read_trial
from tracker.terminal.show_earlier import read_earlier
from tracker.tracking.delivery import Delivery
from tracker.tracking.memory_recorder import MemoryRecorder
from tracker.tracking.retuned import named
from tracker.tracking.run_models import best_numbers


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    """A project that was retuned for a year; `told` holds what each month came to."""
    year = Year(tmp_path_factory.mktemp("year"))
    told = year.told = {}

    def refused() -> str:
        with pytest.raises(DataRefused) as error:
            retune(year.job())
        return error.value.faults[0]

    year.write(table(1, 2, 3))
    told["begin"] = retune(year.job())
    told["nothing new"] = retune(year.job())
    year.write(table(1, 2, 3).iloc[::-1])
    told["other order"] = retune(year.job())
    year.write(table(1, 2, 3, 4))
    told["dry run"] = retune(year.job(), dry_run=True)
    told["growth"] = retune(year.job())
    year.write(table(1, 2, 3, 4, 5).drop(columns="b"))
    told["a column is gone"] = refused()
    told["still gone"] = refused()
    year.write(table(1, 2, 3, 4, 6, 7))  # month 5 was missed for good
    told["missed"] = _killed(year)
    told["again"] = retune(year.job())
    told["never ranked"] = year.verify_ranking()
    api.compare(load_config(year.paths.params), year.project)
    told["ranked"] = year.verify_ranking()
    flipped = table(1, 2, 3, 4, 6, 7)
    flipped["kind"] = flipped["kind"].map({"ham": "spam", "spam": "ham"})
    year.write(flipped)
    told["labels flipped"] = refused()
    year.write(table(1, 2))
    told["cut short"] = refused()
    year.write(table(1, 2, 3, 4, 6, 7, 8, 9, 10, 11, turned=(8, 9, 10, 11)))
    told["drift"] = retune(year.job())
    told["rollback"] = rollback(year.job())
    told["out of date"] = year.verify_ranking()
    return year


def _killed(year: Year) -> str:
    """A job that is stopped when its studies have run, before anything is decided."""

    def dies(config: Config, root: Path, timeout_s: float | None) -> None:
        year.pipeline(config, root, timeout_s)
        raise OutOfTime("killed here")

    with pytest.raises(OutOfTime) as error:
        retune(year.job(pipeline=dies))
    return str(error.value)


def test_each_month_is_decided_as_expected(year: Year) -> None:
    """What was decided, month by month; nothing changes nothing, and broken data changes nothing either."""
    told = year.told
    assert told["begin"].decision == "first"
    assert told["begin"].reasons[0] == "no retuning was decided before"
    for name in ("nothing new", "other order"):
        assert (told[name].decision, told[name].recorded) == ("unchanged", False)
    assert told["dry run"].decision == "would tune"
    assert "120 rows added" in told["dry run"].reasons[0]
    first, because = told["dry run"].lines()
    assert first.startswith(
        "would prepare, split and tune again, and then decide (this was a dry run); now served: random/"
    )
    assert because.startswith("  because: 120 rows added")
    assert told["growth"].decision in {"kept", "promoted"}
    assert told["a column is gone"] == told["still gone"] == "table.csv: column 'b' is gone"
    assert told["again"].decision in {"kept", "promoted"}
    assert "240 rows added" in told["again"].reasons[0]
    assert "another label" in told["labels flipped"]
    assert "rows are gone" in told["cut short"]
    assert told["drift"].decision == "promoted"
    assert told["rollback"].champion == told["again"].champion != told["drift"].champion


def test_a_ranking_of_before_is_out_of_date_and_not_altered(year: Year) -> None:
    """Tuning alone leaves no ranking to verify; one that later studies followed is told as older than they are."""
    assert (None, "identical") == (year.told["never ranked"], year.told["ranked"].state)
    ranking = year.told["out of date"]
    assert ranking.state == "cannot"
    assert ranking.causes[0].words == "ranking.json is out of date: random began anew since it was written"


def test_a_name_that_means_two_trials_is_told(year: Year) -> None:
    """Each retuning begins another study of the name: decisions name models by their study's key, and commands take that."""
    champion, drift = year.told["rollback"].champion, year.told["drift"].champion
    names = [named(one) for one in (champion, drift)]
    assert names == [f"random/{one['trial']}@{one['study_key'][:8]}" for one in (champion, drift)]
    assert [find_recorded(name, year.paths).outcome.key for name in names] == [champion["key"], drift["key"]]
    [line] = namesakes(year.paths, "random/0")
    assert line.startswith(
        f"random/0 is that of study {drift['study_key'][:8]}; earlier studies of the name: random/0@"
    )
    assert [] == namesakes(year.paths, names[0])
    with pytest.raises(
        NotFoundError, match=r"no study random with a key that begins with 0000; there are [0-9a-f]{8}, "
    ):
        find_recorded("random/0@0000", year.paths)
    with pytest.raises(NotFoundError, match="no study random with a key that begins with 0000; there are "):
        read_earlier(year.paths, "random/0@0000")
    with pytest.raises(InputError, match="expected STUDY/NUMBER@KEY"):
        read_earlier(year.paths, "random/0@")


def test_a_trial_of_an_earlier_study_is_shown(year: Year) -> None:
    """By its study's key: what it was told and what it scored, and that another study has its name now."""
    champion, drift = year.told["rollback"].champion, year.told["drift"].champion
    found = read_earlier(year.paths, named(champion))
    recorded = find_recorded(named(champion), year.paths)
    assert (champion["key"], champion["study_key"]) == (found["key"], found["study_key"])
    assert recorded.outcome.metrics == found["metrics"]
    assert found["metrics"][found["objective"]["metric"]] == found["value"]
    assert dict(recorded.spec.params).items() <= found["params"].items()
    now, then = drift["study_key"][:8], champion["study_key"][:8]
    lines = describe_trial(found)
    assert f"place     in study {then}, superseded: random means study {now} now" in lines
    assert f"seed      {recorded.spec.seed}" in lines
    assert f"in study {now}, the one that random means now" == read_earlier(year.paths, named(drift))["place"]
    assert (
        read_trial(year.paths, f"random/{drift['trial']}")["metrics"]
        == read_earlier(year.paths, named(drift))["metrics"]
    )


def test_a_rollback_again_changes_nothing(year: Year, tmp_path: Path) -> None:
    """Killed after its decision and run again, it does not go forward; where to is said by the number of a decision."""
    copy = Year(tmp_path / "copy")
    shutil.copytree(year.paths.root, copy.paths.root, dirs_exist_ok=True)
    before = copy.paths.retunes.read_bytes()
    again = rollback(copy.job())
    assert (again.decision, again.champion) == ("unchanged", year.told["rollback"].champion)
    assert rollback(copy.job(), to=1).champion == year.told["begin"].champion
    assert before != copy.paths.retunes.read_bytes()
    assert rollback(copy.job(), to=1).recorded is False
    with pytest.raises(NotFoundError, match=r"no decision 99 served a model"):
        rollback(copy.job(), to=99)


def test_each_retuning_tries_the_best_of_the_last_one_first(year: Year) -> None:
    """The study after the drift begins with the trials of the one before, best first, scored on its own data."""
    with Store.open(year.paths.store) as store:
        tuned = [told for told in peek(year.paths.retunes).told.values() if told["decision"] != "refused"]
        before, after = (one["studies"]["random"] for one in tuned[-3:-1])
        first = [dict(store.proposal(before, number).searched) for number in best_numbers(store, before, 10)]
        assert len(first) == 4
        assert [dict(one.searched) for one in store.proposals(after)] == first
        assert store.study(after).sampler["enqueue"] == first
        keys = [one.spec.key for study in (before, after) for one in store.proposals(study)]
        assert len(set(keys)) == len(keys)
        assert load_config_beside(year).warm_start["random"] == tuple(first)


def test_what_cannot_begin_with_earlier_configurations_is_said(tmp_path: Path) -> None:
    """A study that needs generations of its own begins without them; one that never ran is not told of."""
    job = Year(tmp_path).job()
    evolution = {"sampler": "nsga2", "trials": 4, "generation": 4}
    job = replace(job, config=job.config.with_("studies", {"evolution": evolution, "other": evolution}))
    last = {"decision": "first", "studies": {"evolution": "0" * 64}}
    with Store.open(job.paths.store) as store:
        warmed, cold = _warmed(job, store, History({"0" * 64: last}))
    words = "begins without its earlier configurations: sampler nsga2 goes on from generations of its own alone"
    assert ({}, [f"study evolution {words}"]) == (warmed.config.warm_start, cold)
    assert [] == left_cold(job.config.with_("retune.warm_start", 0), {"evolution": ""})


def load_config_beside(year: Year) -> Config:
    """What the next command reads, from params.yaml and what lies beside it."""
    return load_config(year.paths.params)


def test_every_decision_is_a_line_and_a_row(year: Year) -> None:
    """The file and the store hold the same decisions, each naming the one before it; a lost file comes back."""
    history = peek(year.paths.retunes)
    kinds = [one["decision"] for one in history.told.values()]
    assert kinds[0] == "first"
    assert [kinds.count("refused"), kinds[-2:]] == [3, ["promoted", "rollback"]]
    assert [one["previous"] for one in history.told.values()] == [None, *list(history.told)[:-1]]
    with Store.open(year.paths.store) as store:
        assert store.retunes() == dict(history.told)
        content = year.paths.retunes.read_bytes()
        year.paths.retunes.unlink()
        assert read_history(year.paths.retunes, store).told == history.told
    assert content == year.paths.retunes.read_bytes()


def test_no_test_row_was_ever_trained_on_and_none_was_looked_at(year: Year) -> None:
    """The pipeline holds every month's training rows against all test rows so far; there is no look."""
    assert len(year.tested) > 100
    assert not year.paths.looks.exists()
    with Store.open(year.paths.store) as store:
        assert store.looks() == {}


def test_the_alias_is_on_the_champion_whatever_was_interrupted(year: Year) -> None:
    """Every decision has one run; the alias is on the last champion, also where each call of a delivery once failed."""
    with Store.open(year.paths.store) as store:
        history = read_history(year.paths.retunes, store)
        recorder = MemoryRecorder()
        for _ in range(400):
            recorder.fail(recorder.calls % 7)
            with Delivery(store, recorder, "none") as delivery:
                if delivery.deliver().problem is None:
                    break
        recorder.recover()
        with Delivery(store, recorder, "none") as delivery:
            assert delivery.deliver(None).problem is None
        runs = [run for run in recorder.runs() if run.tags["tracker.kind"] == "retune"]
        assert sorted(run.tags["tracker.retune"] for run in runs) == sorted(history.told)
        champion = history.champion
        [trial] = [run for run in recorder.runs() if run.tags.get("tracker.key") == champion["key"]]
        version, tags = recorder.versions["spam"][trial.run_id]
        assert recorder.aliases["spam", "champion"] == version
        assert tags["tracker.key"] == champion["key"]
        assert f"Served: `{named(champion)}`" in runs[-1].tags["mlflow.note.content"] or len(runs) > 1
        moved = {one["champion"]["key"] for one in history.moves()}
        assert len(recorder.versions["spam"]) == len(moved)


def test_cleaning_keeps_every_model_that_was_ever_served(year: Year, tmp_path: Path) -> None:
    """Of superseded studies models go, but none that a rollback would serve."""
    shutil.copytree(year.paths.root, tmp_path / "copy")
    paths = Paths.of(tmp_path / "copy", {})
    with Store.open(paths.store) as store:
        before = sum(store.has_weights(outcome.weights) for outcome in _outcomes(store))
        list(clean(year.config, paths, f"sqlite:///{tmp_path}/none.db"))
        assert 0 < sum(store.has_weights(outcome.weights) for outcome in _outcomes(store)) < before
        for told in read_history(paths.retunes, store).moves():
            weights = store.outcomes([told["champion"]["key"]])[told["champion"]["key"]].weights
            assert store.has_weights(weights)


def _outcomes(store: Store) -> list[TrialOutcome]:
    keys = [key for study, _ in store.studies() for proposal in store.proposals(study) for key in proposal.keys]
    return list(store.outcomes(keys).values())


def _cells(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A table in which every ninth cell of a column is another, or all are."""
    return lambda t: t.assign(**{column: value if value in {1.0, ""} else t[column].where(t.index % 9 != 0, value)})


def _copies(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, *(table.assign(who=f"{turn}-" + table["who"]) for turn in range(2))])


def _flipped(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(kind=table["kind"].map({"ham": "spam", "spam": "ham"}))


BROKEN: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame | bytes], str]] = {
    "a column is gone": (lambda t: t.drop(columns="b"), "column 'b' is gone"),
    "a column is new": (lambda t: t.assign(z=t["a"] * 2), "column 'z' is new"),
    "text among numbers": (_cells("a", "high"), "column 'a'"),
    "a constant column": (_cells("b", 1.0), "column 'b' is no feature any more: constant"),
    "an empty column": (_cells("b", ""), "column 'b' is no feature any more: no values"),
    "a class is new": (_cells("kind", "eggs"), "class 'eggs' is new"),
    "a class is gone": (lambda t: t[t["kind"] == "ham"], "column 'kind'"),
    "a flood of copies": (_copies, "rows have an equal before them"),
    "labels flipped": (_flipped, "another label"),
    "a table that shrank": (lambda t: t.iloc[:200], "rows are gone, more than 50%"),
    "a file cut within a cell": (lambda t: t.to_csv(index=False).encode()[:-30] + b'"sp', "table.csv"),
    "bytes of another file": (lambda _: b"\x89PNG\r\n\x1a\n\0\0", "table.csv"),
    "an empty file": (lambda _: b"", "table.csv"),
}


def test_each_broken_table_is_refused_and_filed(year: Year, tmp_path: Path) -> None:
    """Of each kind: exit code 8, what is wrong, one entry that says so; nothing is tuned, the champion stays."""
    shutil.copytree(year.paths.root, tmp_path / "copy")
    copy = Year(tmp_path / "copy")
    whole, served = pd.read_csv(copy.paths.root / "table.csv"), peek(copy.paths.retunes).champion
    for filed, (name, (broken, words)) in enumerate(BROKEN.items(), start=1):
        made = broken(whole)
        content = made if isinstance(made, bytes) else made.to_csv(index=False).encode()
        (copy.paths.root / "table.csv").write_bytes(content)
        for _ in range(2):
            with pytest.raises(DataRefused) as error:
                retune(copy.job(pipeline=lambda *_: pytest.fail("a stage runs")))
            assert (8, True) == (error.value.exit_code, words in str(error.value)), (name, str(error.value))
        history = peek(copy.paths.retunes)
        assert history.last is not None
        assert ("refused", served) == (history.last["decision"], history.champion), name
        assert words in history.last["reasons"][0]
        assert [one["decision"] for one in history.told.values()].count("refused") == 3 + filed, name


def test_a_champion_is_refitted_where_that_is_declared(tmp_path: Path) -> None:
    """No challenger leads by the margin; the champion's configuration, trained on the new rows, is no worse and is served."""
    text = PARAMS.replace("promote: {confidence: 0.9}", "promote: {margin: 0.3}, otherwise: refit").replace(
        "s: 4}", "s: 2}"
    )
    year = Year(tmp_path, text)
    year.write(table(1, 2, 3))
    first = retune(year.job()).champion
    year.write(table(1, 2, 3, 4))
    found = retune(year.job())
    assert ("refitted", True) == (found.decision, found.reasons[-1].endswith(": as good, and trained on this data"))
    assert first is not None is not found.champion
    with Store.open(year.paths.store) as store:
        assert configuration_of(store, first) == configuration_of(store, found.champion)
        old, new = (store.proposal(one["study_key"], one["trial"]).spec for one in (first, found.champion))
    assert old.data["train"] != new.data["train"]


def test_a_disk_that_is_full_is_no_fault_of_the_table(year: Year, tmp_path: Path) -> None:
    """What is prepared cannot be written: exit code 4, no refusal is filed, and the next night the table is read again."""
    shutil.copytree(year.paths.root, tmp_path / "copy")
    copy = Year(tmp_path / "copy")
    before = copy.paths.retunes.read_bytes()
    copy.write(table(1, 2, 3, 4, 6, 7).drop(columns="b"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file may grow beyond 100 bytes
    try:
        with pytest.raises(StoreError, match=r"prepared.*: cannot be written .*free disk space") as error:
            retune(copy.job())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (4, before) == (error.value.exit_code, copy.paths.retunes.read_bytes())
    with pytest.raises(DataRefused, match="column 'b' is gone"):
        retune(copy.job())


def test_two_jobs_at_once(tmp_path: Path) -> None:
    """The second leaves at once, with a code of its own, and has written nothing."""
    year = Year(tmp_path)
    year.write(table(1))
    with lock_file(year.paths.store / "locks", "retune", 0.0), pytest.raises(AlreadyRetuning) as error:
        retune(year.job())
    assert error.value.exit_code == 9
    assert not year.paths.retunes.exists()


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    """No rows to decide on, or no metric that a model alone has; nothing to go back to."""
    year = Year(tmp_path)
    year.write(table(1))
    whole, asked = year.config, {"noise": 0.1, "metrics": ["f1"]}
    year.config = whole.with_("training.robustness", asked).with_("objective.metric", "val_robust_f1")
    with pytest.raises(
        ConfigError, match=r"objective.metric: two models are compared by .*'val_robust_f1'; say retune.pro"
    ):
        retune(year.job())
    year.config = whole.with_("split.promotion", 0.0)
    with pytest.raises(ConfigError, match=r"split.promotion: nothing is set aside to decide on"):
        retune(year.job())
    with pytest.raises(NotFoundError, match="no model was served before"):
        rollback(year.job())


def test_a_table_that_cannot_be_read_is_refused_and_recorded(tmp_path: Path) -> None:
    """Also before anything was tuned; the line says why, and a dry run writes none."""
    year = Year(tmp_path)
    (tmp_path / "table.csv").write_text('who,a,kind\nx,1,"spam')
    with pytest.raises(DataRefused, match=r"table\.csv"):
        retune(year.job(), dry_run=True)
    assert not year.paths.retunes.exists()
    with pytest.raises(DataRefused, match=r"table\.csv"):
        retune(year.job())
    [told] = peek(year.paths.retunes).told.values()
    assert (told["decision"], told["champion"]) == ("refused", None)
