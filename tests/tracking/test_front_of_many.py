"""What people meet first in MLflow costs what was delivered, however many studies are there, and misses nothing of them."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import pytest

from tests.tracking.studies import EXPERIMENT, PROVENANCE, STARTED, run_trials, study_spec
from tests.tracking.test_front import by_name, deliver, state, without_ids
from tracker.store.store import Store
from tracker.tracking.delivered import destination
from tracker.tracking.delivery import Delivery
from tracker.tracking.front import TAG_LIMIT
from tracker.tracking.memory_recorder import MemoryRecorder, MemoryRun
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.notes import MOST_TOLD, NOTE, Ended, experiment_note
from tracker.tracking.pace import Pace
from tracker.tracking.recorder import Found
from tracker.tracking.report import Delivered
from tracker.tracking.views import BEST, BEST_RUN, VIEW, study_view_id

LINK = re.compile(r"\[([a-z0-9-]+/\d+)\]\(#/experiments/\d+/runs/(\w+)[?]")  # a best trial and its run


def tune(store: Store, name: str, trials: int = 2) -> str:
    """A study that is run to its end, or on to it; its key. The last trial is the best."""
    key = store.put_study(study_spec(name), PROVENANCE)
    run_trials(store, key, range(trials), name)
    store.finish_study(key, {"number": trials - 1, "value": 0.1 * trials, "trials": trials, "digest": "d" * 64})
    return key


def best_runs(tags: Mapping[str, str]) -> dict[str, str]:
    """The best trials that the experiment's note leads to, and their runs."""
    return dict(LINK.findall(tags[NOTE]))


class Counted(MlflowRecorder):
    """MLflow; `asked` are the tags, and the values of them, that were searched for, `calls` all calls."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, EXPERIMENT)
        self.asked: list[str] = []
        self.calls = 0

    def search(self, tag: str, value: str, *, deleted: bool = False) -> list[Found]:
        """The same."""
        self.asked.append(value)
        return super().search(tag, value, deleted=deleted)

    def _client(self):  # type: ignore[no-untyped-def]  # each call begins with it
        self.calls += 1
        return super()._client()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
def test_a_study_costs_mlflow_the_same_calls_however_many_are_there(tmp_path: Path, uri: str) -> None:
    """The second asks as much as the third, and none for the trials of another; note and view lead to each one's best."""
    recorder, seconds = Counted(uri), iter(range(int(STARTED), 2**40))
    with contextlib.closing(recorder), Store.open(tmp_path / ".tracker", lambda: float(next(seconds))) as store:
        costs, keys = [], []
        for name in ("a", "b", "c"):
            recorder.calls, recorder.asked = 0, []
            keys.append(tune(store, name, 1))
            with Delivery(store, recorder, "none") as delivery:
                assert Delivered(3, 0) == delivery.deliver()
            costs.append(recorder.calls)
            assert {keys[-1], "study", "final"} == set(recorder.asked)
        told = best_runs(recorder.experiment_tags())
        trials = {one.name: one.run_id for one in recorder.search("tracker.kind", "trial")}
        run_trials(store, keys[0], range(1, 2), "a")  # another trial, which no view of the best may show
        with Delivery(store, recorder, "none") as delivery:
            assert Delivered(1, 0) == delivery.deliver()
        query = state(recorder.experiment_tags(), BEST)["searchFilter"]
        shown = {run.info.run_id for run in recorder._client()[0].search_runs([recorder.connect()], query)}
    assert (costs[1], trials, shown) == (costs[2], told, set(told.values()))


def test_many_studies_at_once_cost_what_they_are(tmp_path: Path) -> None:
    """To deliver three of them takes as many calls where six are there as where one is."""
    costs = []
    for there in (1, 6):
        recorder = MemoryRecorder()
        with Store.open(tmp_path / str(there), lambda: STARTED) as store:
            for number in range(there):
                tune(store, f"old-{number}")
            deliver(store, recorder)
            before = recorder.calls
            for number in range(3):
                tune(store, f"new-{number}")
            deliver(store, recorder)
            costs.append(recorder.calls - before)
    assert costs[0] == costs[1]


def test_a_kill_at_any_call_is_mended_by_the_next_delivery(tmp_path: Path) -> None:
    """A second study's records are there, its note and views are not: the next delivery, for which nothing waits, has them."""
    base = MemoryRecorder()
    with Store.open(tmp_path, lambda: STARTED) as store:
        tune(store, "a")
        deliver(store, base)
        log = tmp_path / "delivered"
        before = (log / f"{base.destination}.log").read_bytes()
        tune(store, "b")
        deliver(store, whole := deepcopy(base))
        shutil.rmtree(log)
        for call in range(whole.calls - base.calls):
            recorder = deepcopy(base)
            recorder.destination = destination("memory:", str(call))
            log.mkdir(exist_ok=True)
            (log / f"{recorder.destination}.log").write_bytes(before)
            recorder.fail(call, KeyboardInterrupt(), answer_lost=call % 2 == 0)
            with contextlib.suppress(KeyboardInterrupt), Delivery(store, recorder, "none") as delivery:
                delivery.deliver()
            deliver(store, recorder)
            assert without_ids(whole.experiment_tags()) == without_ids(recorder.experiment_tags()), call
            assert notes(whole) == notes(recorder), call


def notes(recorder: MemoryRecorder) -> dict[str, str]:
    """The notes of the runs of studies, with whether these are current."""
    shown = [run for run in recorder.runs() if run.tags["tracker.kind"] == "study" and NOTE in run.tags]
    return {run.name: without_ids({"": run.tags[NOTE]})[""] + run.tags["tracker.current"] for run in shown}


def test_the_run_of_the_best_trial_is_known_by_a_tag(tmp_path: Path) -> None:
    """Lost, as where an older release wrote the run, it is asked for once; of a deleted run there is no link and no tag."""
    recorder = MemoryRecorder()
    with Store.open(tmp_path, lambda: STARTED) as store:
        first = tune(store, "a")
        deliver(store, recorder)
        run, best = (by_name(recorder)[name] for name in ("a", "a/1"))
        assert best.run_id == run.tags.pop(BEST_RUN)
        tune(store, "b")
        deliver(store, recorder)
        assert (best.run_id, {"a/1", "b/1"}) == (run.tags[BEST_RUN], set(best_runs(recorder.experiment_tags())))
        recorder.delete(next(found for found in recorder.search("tracker.trial", "1") if found.run_id == best.run_id))
        deliver(store, recorder, first)
        assert (False, {"b/1"}) == (BEST_RUN in run.tags, set(best_runs(recorder.experiment_tags())))
        tune(store, "b", 3)
        deliver(store, recorder)
        assert {"b/2": by_name(recorder)["b"].tags[BEST_RUN]} == best_runs(recorder.experiment_tags())


class Never(Pace):
    """It is never due."""

    def is_due(self) -> bool:
        """No."""
        return False


def in_batch(store: Store, recorder: MemoryRecorder, *compare: str) -> None:
    """A delivery that leaves views and notes to a later one."""
    with Delivery(store, recorder, "none", pace=Never()) as delivery:
        assert delivery.deliver(compare, hurry=False).problem is None


def test_a_batch_of_studies_leaves_views_and_notes_to_its_last(tmp_path: Path) -> None:
    """All records are there before; which of two studies of a name was tuned last is not forgotten until then."""
    recorder, seconds = MemoryRecorder(), iter(range(int(STARTED), 2**40))
    with Store.open(tmp_path, lambda: float(next(seconds))) as store:
        first = tune(store, "a")
        store.put_study(study_spec("a", generation=8), PROVENANCE)
        deliver(store, recorder)
        tags = recorder.experiment_tags()
        in_batch(store, recorder, first)
        in_batch(store, recorder, tune(store, "b"))
        assert ("FINISHED", tags) == (by_name(recorder)["b"].status, recorder.experiment_tags())
        deliver(store, recorder, tune(store, "c"))
        assert ["true"] == [run.tags["tracker.current"] for run in recorder.runs() if is_study(run, first)]
        assert {"a/1", "b/1", "c/1"} == set(best_runs(recorder.experiment_tags()))
        assert {"a", "b", "c"} == notes(recorder).keys()
        assert {f"{VIEW}{study_view_id(name)}" for name in "abc"} <= recorder.experiment_tags().keys()
        calls = recorder.calls
        deliver(store, recorder)
        assert calls == recorder.calls


def is_study(run: MemoryRun, key: str) -> bool:
    """Whether a run is that of a study."""
    return (run.tags["tracker.kind"], run.tags["tracker.study_key"]) == ("study", key)


def test_a_pace_leaves_most_of_the_time_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What took two seconds is due 18 seconds later; what was never done is due at once."""
    now = [100.0]
    monkeypatch.setattr("tracker.tracking.pace.time.monotonic", lambda: now[0])
    pace = Pace()
    assert pace.is_due()
    with pace:
        now[0] = 102.0
    told = []
    for now[0] in (102.0, 119.9, 120.1):
        told.append(pace.is_due())
    assert [False, False, True] == told


def test_a_note_of_many_studies_fits_into_its_tag() -> None:
    """The best are told, of the others how many they are."""
    long = [study_spec(f"s{number:02d}-{'x' * 60}") for number in range(MOST_TOLD + 2)]
    summary = {"number": 9999, "value": 0.5, "trials": 10000}
    ended = [Ended(one, summary, {}, "#/" + "r" * 90, "#/" + one.name * 2) for one in long]
    text = experiment_note(ended, None, None, None)
    assert (True, True) == (long[MOST_TOLD - 1].name in text, "\n2 more studies: view `studies`.\n" in text)
    assert (False, True) == (long[MOST_TOLD].name in text, len(text) < TAG_LIMIT)
    assert "1 more study: view" in experiment_note(ended[1:], None, None, None)
    assert "view `studies`." not in experiment_note(ended[2:], None, None, None)
