"""What reaches MLflow: every record, exactly, once, with true times."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracking.runs_in_mlflow import all_runs, artifact, points, run_named, statuses
from tests.tracking.studies import (
    ENVIRONMENT,
    EXPERIMENT,
    PROVENANCE,
    STARTED,
    begin,
    end_study,
    failed,
    finished,
    proposal,
    run_trials,
    settle,
    study_spec,
)  # fmt: skip
from tracker.canonical import parse_canonical
from tracker.config import BestModels
from tracker.errors import TrackingError
from tracker.records import Timing, TrialOutcome, record_from, record_json
from tracker.store.queue import queue
from tracker.store.store import Store
from tracker.tracking import delivery as deliveries
from tracker.tracking.delivery import Delivery
from tracker.tracking.memory_recorder import MemoryRecorder, MemoryRun
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.recorder import Found
from tracker.tracking.report import Delivered, Policy, policy_from, policy_text
from tracker.tracking.run_contents import Run, trial_run

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
START_MS = int(STARTED * 1000)


def deliver(
    store: Store, place: str | MemoryRecorder, policy: Policy = "none", compare: tuple[str, ...] | None = ()
) -> Delivered:
    """One delivery to the MLflow of an address, or to a recorder."""
    recorder = MlflowRecorder(place, EXPERIMENT) if isinstance(place, str) else place
    with Delivery(store, recorder, policy) as delivery:
        return delivery.deliver(compare)


def there(recorder: MemoryRecorder) -> Counter[tuple[str, str]]:
    """How many runs there are of each kind and status."""
    return Counter((run.tags["tracker.kind"], run.status) for run in recorder.runs())


def named(recorder: MemoryRecorder, name: str) -> MemoryRun:
    """The one run of a name."""
    [run] = [run for run in recorder.runs() if run.name == name]
    return run


def test_a_trial_shows_all_it_was_and_did(tmp_path: Path, uri: str) -> None:
    """A trial's run carries its hyperparameters, seed, curve with true times, kept epoch, tags and MLflow's own tags."""
    store, key = begin(tmp_path / ".tracker")
    [planned] = run_trials(store, key, [42])
    assert deliver(store, uri) == Delivered(2, 0)
    run, parent, end = run_named(uri, "tpe/42"), run_named(uri, "tpe"), finished(planned)
    start = START_MS + 4_200_000
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", start, start + 3500)
    assert run.data.params == {
        "hidden_layers": "1", "units": "8", "activation": "relu", "dropout": "0.1", "batch_norm": "false",
        "weight_init": "default", "optimizer": "adamw", "weight_decay": "0.0", "batch_size": "32",
        "seed": str(planned.spec.seed), "epochs": "3", "trial": "42",
    } | {"learning_rate": repr(planned.spec.params["learning_rate"])}  # fmt: skip
    for name in ("train_loss", "val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1"):
        rows = [row for row in end.outcome.history if row[name] is not None]
        assert points(uri, run, name) == [(row["epoch"], start + 1000 * row["epoch"], row[name]) for row in rows]
    assert points(uri, run, "best_epoch") == [(0, start + 3500, 2)]  # no step: MLflow draws no curve of one point
    assert run.data.metrics["best_val_f1"] == end.outcome.metrics["val_f1"]
    assert run.data.metrics["val_f1"] == end.outcome.history[-1]["val_f1"]
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    assert {name: tags[f"tracker.{name}"] for name in ("kind", "study", "trial", "key", "weights", "environment")} == {
        "kind": "trial", "study": "tpe", "trial": "42", "key": planned.spec.key,
        "weights": end.outcome.weights, "environment": ENVIRONMENT,
    }  # fmt: skip
    assert len(tags["tracker.data"]) == 64
    assert (tags["mlflow.user"], tags["mlflow.source.name"]) == ("ada", "pipelines/tune.py")
    assert (tags["mlflow.source.type"], tags["mlflow.source.git.commit"]) == ("LOCAL", "f" * 40)
    store.close()


def test_the_record_is_exact_where_mlflow_rounds(tmp_path: Path, uri: str) -> None:
    """record.json gives back spec, outcome, times and provenance with equal digests, infinities and long values too."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        planned = proposal(0, note="x" * 20_000)
        metrics = {"val_loss": float("inf"), "val_f1": float("nan")}
        end = finished(planned, metrics=metrics)
        store.put_proposals(key, [planned])
        settle(store, key, [planned], metrics=metrics)
        assert deliver(store, uri).problem is None
    run = run_named(uri, "tpe/0")
    assert len(run.data.params["note"]) < 6001
    record = parse_canonical(artifact(uri, run, "record.json", tmp_path / "down").read_bytes())
    [run_record] = record["runs"]
    assert record_from(TrialOutcome, run_record["outcome"]).digest == end.outcome.digest
    assert run_record["spec"] == record_json(planned.spec)
    assert run_record["timing"] == record_json(end.timing)
    assert (record["format"], record["study"], record["number"], record["provenance"]) == (2, key, 0, PROVENANCE)


def test_a_failed_trial_is_a_failed_run(tmp_path: Path, uri: str) -> None:
    """A trial that diverged shows as FAILED with its reason and without a model, under every policy."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        store.put_proposals(key, [proposal(0)])
        store.put_outcomes(key, [failed(proposal(0))], [0])
        assert deliver(store, uri, "all") == Delivered(2, 0)
        run = run_named(uri, "tpe/0")
        assert (run.info.status, run.data.tags["tracker.reason"]) == ("FAILED", "loss became nan in epoch 1")
        assert "tracker.model" not in run.data.tags
        assert deliver(store, uri, "all", None) == Delivered(0, 0)


def test_a_study_runs_until_it_ends_and_ends_again_when_extended(tmp_path: Path, uri: str) -> None:
    """The parent run is RUNNING at once, FINISHED with best value and number of trials, which follow an extension."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        deliver(store, uri)
        assert statuses(uri) == {("study", "RUNNING"): 1}
        run_trials(store, key, range(3))
        end_study(store, key, 3)
        deliver(store, uri)
        assert statuses(uri) == {("study", "FINISHED"): 1, ("trial", "FINISHED"): 3}
        run_trials(store, key, [3])
        end_study(store, key, 4)
        assert deliver(store, uri) == Delivered(2, 0)
        parent = run_named(uri, "tpe")
        assert (parent.data.metrics["trials"], parent.data.metrics["best_value"]) == (4, 0.92)
        assert (parent.data.tags["tracker.key"], parent.data.tags["tracker.study"]) == (key, "tpe")
        assert parent.info.start_time == START_MS


def test_nothing_is_delivered_twice(tmp_path: Path) -> None:
    """A second delivery, and one whose notes were lost, create nothing; they compare by identity."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(3))
        end_study(store, key, 3)
        assert deliver(store, recorder) == Delivered(5, 0)
        before = deepcopy(recorder.runs())
        assert deliver(store, recorder) == Delivered(0, 0)
        for note in (tmp_path / ".tracker" / "delivered").iterdir():
            note.write_bytes(b"+trial/torn li")
        assert deliver(store, recorder).waiting == 0
        assert deliver(store, recorder, compare=None) == Delivered(0, 0)
        assert recorder.runs() == before


def test_two_destinations_are_told_apart(tmp_path: Path) -> None:
    """What one experiment has is still delivered to another."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, [0])
        for recorder in (MemoryRecorder("here"), MemoryRecorder("there")):
            assert deliver(store, recorder) == Delivered(2, 0)
            assert len(recorder.runs()) == 2


def test_runs_that_were_deleted_in_mlflow_stay_deleted_until_all_is_compared(tmp_path: Path) -> None:
    """Tuning again leaves a person's deletion alone; `sync`, which compares everything, brings the run back."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store, Delivery(store, recorder, "none") as delivery:
        run_trials(store, key, range(3))
        delivery.deliver()
        recorder.delete(recorder.search("tracker.trial", "1")[0])
        for compare in ((), (key,)):
            assert delivery.deliver(compare) == Delivered(4, 0)
            assert there(recorder) == {("study", "RUNNING"): 1, ("trial", "FINISHED"): 2}
        assert delivery.deliver(None) == Delivered(5, 0)
        assert there(recorder) == {("study", "RUNNING"): 1, ("trial", "FINISHED"): 3}


def test_runs_that_were_lost_come_back_when_the_study_runs_again(tmp_path: Path) -> None:
    """What is neither there nor among the deleted runs was never deleted by anybody: comparing its study restores it."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        deliver(store, MemoryRecorder())
        emptied = MemoryRecorder()  # the same place, without its database
        assert deliver(store, emptied, compare=(key,)).delivered == 3
        assert there(emptied) == {("study", "RUNNING"): 1, ("trial", "FINISHED"): 2}


def test_a_run_that_two_machines_created_is_kept_once(tmp_path: Path) -> None:
    """Of runs with one identity the complete one stays, whatever their ids are."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        deliver(store, recorder)
        keep = named(recorder, "tpe/1").run_id
        twins = [recorder.create(trial_run(store, key, 1), None).run_id for _ in range(8)]
        assert min(twins) < keep < max(twins)
        assert deliver(store, recorder, compare=None) == Delivered(0, 0)
        assert named(recorder, "tpe/1").run_id == keep


class SlowServer(MemoryRecorder):
    """Makes the run of tpe/1 only after its client gave up, and after `late` further runs have ended."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self.late, self.asked = late, list[tuple[Run, str | None]]()

    def create(self, run: Run, parent: str | None) -> Found:
        if run.name == "tpe/1" and not self.asked:
            self.asked.append((run, parent))
            raise TrackingError("memory: no answer in time")
        return super().create(run, parent)

    def end(self, found: Found, run: Run) -> None:
        super().end(found, run)
        self.late -= bool(self.asked)
        if self.late == 0:
            self.work()

    def work(self) -> None:
        """Does what it was asked."""
        super().create(*self.asked[0])


@pytest.mark.parametrize("late", [1, 2], ids=["before its second try ended", "while the last run ended"])
def test_a_run_that_a_slow_server_makes_late_is_kept_once(tmp_path: Path, late: int) -> None:
    """The client gave up, looked, found nothing and asked again; what is made after that is found before the delivery ends."""
    recorder, (store, key) = SlowServer(late), begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(3))
        first, second = deliver(store, recorder), deliver(store, recorder)
        assert ("memory: no answer in time", 1) == (first.problem, first.waiting)
        assert Delivered(1, 0) == second
        assert ["tpe", "tpe/0", "tpe/1", "tpe/2"] == [run.name for run in recorder.runs()]
        assert {"RUNNING"} == {run.status for run in recorder.runs() if run.name == "tpe"}
        assert {"FINISHED"} == {run.status for run in recorder.runs() if run.name != "tpe"}


def test_a_run_that_is_made_after_the_delivery_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For two minutes each delivery looks again, though nothing waits; after that none asks the server anything."""
    recorder, (store, key) = SlowServer(100), begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        assert [1, 0] == [deliver(store, recorder).waiting for _ in range(2)]
        recorder.work()
        assert 2 == sum(run.name == "tpe/1" for run in recorder.runs())
        assert Delivered(0, 0) == deliver(store, recorder)
        assert ["FINISHED"] == [run.status for run in recorder.runs() if run.name == "tpe/1"]
        monkeypatch.setattr(deliveries, "DOUBT_S", -1.0)
        deliver(store, recorder)
        calls = recorder.calls
        assert Delivered(0, 0) == deliver(store, recorder)
        assert calls == recorder.calls


def test_an_interrupted_run_is_completed_without_doubled_points(tmp_path: Path, uri: str) -> None:
    """A run found RUNNING, empty or already filled, is completed under the same id."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        recorder = MlflowRecorder(uri, EXPERIMENT)
        empty = recorder.create(trial_run(store, key, 0), None)
        full = recorder.create(trial_run(store, key, 1), None)
        recorder.fill(full, trial_run(store, key, 1))
        assert deliver(store, uri, "all").problem is None
        assert run_named(uri, "tpe/0").info.run_id == empty.run_id
        assert run_named(uri, "tpe/1").info.run_id == full.run_id
        for name in ("tpe/0", "tpe/1"):
            run = run_named(uri, name)
            assert run.info.status == "FINISHED"
            assert [step for step, _, _ in points(uri, run, "train_loss")] == [1, 2, 3]
            assert artifact(uri, run, "model/MLmodel", tmp_path / "down").is_file()


@pytest.mark.parametrize("policy", ["none", BestModels(best=2), "all"])
def test_models_follow_the_policy(tmp_path: Path, uri: str, policy: Policy) -> None:
    """All trials, the best k at the study's end, or none have a model; a wider policy adds what is missing."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(4))
        end_study(store, key, 4)
        assert deliver(store, uri, policy).problem is None
        with_model = {run.info.run_name for run in all_runs(uri) if "tracker.model" in run.data.tags}
        wanted = {"none": set[str](), "all": {f"tpe/{number}" for number in range(4)}}
        assert with_model == wanted.get(policy_text(policy), {"tpe/2", "tpe/3"})
        assert deliver(store, uri, "all", None).problem is None
        for run in all_runs(uri):
            if run.data.tags["tracker.kind"] == "trial":
                assert artifact(uri, run, "model/data/model/weights.safetensors", tmp_path / "down").is_file()
        assert deliver(store, uri, "all", None) == Delivered(0, 0)


def test_a_policy_survives_the_command_line() -> None:
    """all, none and best k are one word each."""
    for policy in ("all", "none", BestModels(best=10)):
        assert policy_from(policy_text(policy)) == policy


def test_a_final_result_is_a_run_of_its_own(tmp_path: Path, uri: str) -> None:
    """The chosen candidate's test numbers, its confusion matrix and final.json are one run, delivered once."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        [planned] = run_trials(store, key, [5])
        matrix = [[40, 2], [1, 71]]
        final = {
            "study": "tpe", "trial": 5, "key": planned.spec.key, "params": {"learning_rate": 0.006},
            "validation": {"val_f1": 0.98, "val_precision": None},
            "test": {"positive": "malignant", "average": "binary", "precision": 0.97, "recall": None, "f1": 0.975,
                     "accuracy": 0.97, "support": 114, "confusion_matrix": matrix},
            "test_digest": "7" * 64, "looks": 1, "stale": False,
        }  # fmt: skip
        store.put_final(final)
        store.put_final(final)
        assert deliver(store, uri).problem is None
        assert deliver(store, uri, compare=None) == Delivered(0, 0)
    [run] = [run for run in all_runs(uri) if run.data.tags["tracker.kind"] == "final"]
    assert run.info.status == "FINISHED"
    expected = {"test_precision": 0.97, "test_f1": 0.975, "test_accuracy": 0.97, "best_val_f1": 0.98}
    assert run.data.metrics == expected
    assert run.data.tags["tracker.key"] == planned.spec.key
    assert run.data.tags["tracker.weights"] == finished(planned).outcome.weights
    assert parse_canonical(artifact(uri, run, "final.json", tmp_path / "down").read_bytes()) == final
    shown = parse_canonical(artifact(uri, run, "confusion_matrix.json", tmp_path / "down").read_bytes())
    assert shown["confusion_matrix"] == matrix


def test_a_restored_final_is_no_second_result(tmp_path: Path) -> None:
    """The same trial on the same test rows is one run, though its report counts more looks by now."""
    final = {"study": "tpe", "trial": 5, "key": "4" * 64, "test_digest": "7" * 64, "looks": 1, "stale": False}
    recorder = MemoryRecorder()
    for number, looks in enumerate((1, 2)):
        store, _ = begin(tmp_path / str(number))
        with store:
            store.put_final({**final, "looks": looks})
            assert deliver(store, recorder).problem is None
            assert deliver(store, recorder, compare=None) == Delivered(0, 0)
    assert there(recorder) == {("study", "RUNNING"): 1, ("final", "FINISHED"): 1}


def test_a_server_that_is_away_is_a_report_and_not_an_exception(tmp_path: Path) -> None:
    """An address nobody answers, or a place that cannot be written: everything waits, the message says what to do."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        (tmp_path / "file").write_text("")
        away = "could not reach the server (Connection refused); does it run, and is MLFLOW_TRACKING_URI right?"
        for uri, told in (
            ("http://user:hunter2@127.0.0.1:9", f"http://***@127.0.0.1:9: {away}"),
            (f"sqlite:///{tmp_path}/file/mlflow.db", "is MLFLOW_TRACKING_URI right, and may you write there?"),
        ):
            report = deliver(store, uri)
            assert (report.delivered, report.waiting) == (0, 3)
            assert report.problem is not None
            assert "could not reach the server" in report.problem
            assert "hunter2" not in report.problem
            assert report.problem.endswith(told)


def test_a_refused_record_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """What the server refuses, or the store cannot read, waits; all else is delivered."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        planned = run_trials(store, key, range(3))
        name = finished(planned[1]).outcome.weights or ""
        (tmp_path / ".tracker" / "weights" / name[:2] / f"{name}.safetensors").write_bytes(b"torn")
        report = deliver(store, recorder, "all")
        assert (report.delivered, report.waiting) == (3, 1)
        assert report.problem is not None
        assert name in report.problem
        assert there(recorder)["trial", "FINISHED"] == 2


def test_whatever_one_record_raises_is_its_own_refusal(tmp_path: Path) -> None:
    """An exception that no check foresaw leaves that record waiting, named; what is behind it is delivered."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(3))
        recorder.fail(5, ValueError("cannot convert float NaN to integer"))
        report = deliver(store, recorder, "none")
        assert (report.delivered, report.waiting) == (3, 1)
        assert report.problem is not None
        assert re.fullmatch(r"record (study|trial)/.*: ValueError: cannot convert float NaN to integer", report.problem)


KILLED = KeyboardInterrupt("the process is gone")  # no TrackerError: nothing that a delivery would go on after


@pytest.mark.parametrize(
    ("error", "at_once"), [(None, 1), (KILLED, 1), (None, 3)], ids=["refused", "killed", "refused together"]
)
@pytest.mark.parametrize("answer_lost", [False, True], ids=["not done", "answer lost"])
def test_a_failure_at_any_call_doubles_and_loses_nothing(
    tmp_path: Path, answer_lost: bool, error: BaseException | None, at_once: int
) -> None:
    """Whichever call fails, or is the last of its process: the next delivery leaves each record one whole run."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        end_study(store, key, 2)
        deliver(store, whole := MemoryRecorder())
        for call in range(whole.calls):
            recorder = MemoryRecorder(f"memory {call}", at_once=at_once)
            recorder.fail(call, error, answer_lost=answer_lost)
            with Delivery(store, recorder, "none") as delivery:
                with contextlib.suppress(KeyboardInterrupt):
                    delivery.deliver()
                if error is None:
                    assert (delivery.deliver().waiting, call) == (0, call)
            assert (deliver(store, recorder).waiting, call) == (0, call)
            assert [shown(run) for run in recorder.runs()] == [shown(run) for run in whole.runs()], call


class HangingServer(MemoryRecorder):
    """Answers nobody who wants trials' runs, and then nobody at all; it makes those runs when it has been forgotten."""

    def __init__(self, at_once: int) -> None:
        super().__init__(at_once=at_once)
        self.meet, self.asked = threading.Barrier(at_once), list[tuple[Run, str | None]]()

    def create(self, run: Run, parent: str | None) -> Found:
        if parent is not None and not self.away and len(self.asked) < self.meet.parties:
            self.asked.append((run, parent))
            self.meet.wait(30)
            self.away = True
        return super().create(run, parent)


def test_each_record_that_was_under_way_is_looked_for_again(tmp_path: Path) -> None:
    """Three were under way when the server went away: it makes the runs of all three late, and none is there twice."""
    recorder, (store, key) = HangingServer(3), begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(5))
        report = deliver(store, recorder)
        assert (1, 5) == (report.delivered, report.waiting)
        recorder.recover()
        assert Delivered(5, 0) == deliver(store, recorder)
        for run, parent in recorder.asked:
            recorder.create(run, parent)
        assert 9 == len(recorder.runs())
        assert Delivered(0, 0) == deliver(store, recorder)
        assert ["tpe", *(f"tpe/{number}" for number in range(5))] == [run.name for run in recorder.runs()]
        assert {"FINISHED"} == {run.status for run in recorder.runs() if run.name != "tpe"}


def shown(run: MemoryRun) -> dict[str, object]:
    """All of a run but its id and that of its parent."""
    tags = {name: value for name, value in run.tags.items() if name != "mlflow.parentRunId"}
    ours = (run.name, run.start_ms, run.end_ms, run.status, run.params, run.points, run.files)
    return {"tags": tags, "ours": ours}


def test_what_another_process_did_is_noticed(tmp_path: Path) -> None:
    """A process that knows what is there asks again after another one delivered, and was killed at whatever call."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        for number, call in enumerate(range(1, 6)):
            recorder = MemoryRecorder(f"memory {call}")
            with Delivery(store, recorder, "none") as first:
                first.deliver()
                run_trials(store, key, [number])
                recorder.fail(call, KILLED, answer_lost=True)
                with contextlib.suppress(KeyboardInterrupt):
                    deliver(store, recorder)
                assert first.deliver().waiting == 0
            assert there(recorder) == {("study", "RUNNING"): 1, ("trial", "FINISHED"): number + 1}


def test_a_study_without_its_record_is_not_there(tmp_path: Path) -> None:
    """Killed between the run of a study and its record, the record comes with the next comparison."""
    recorder, (store, _) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        recorder.fail(2, KILLED, answer_lost=True)
        with contextlib.suppress(KeyboardInterrupt):
            deliver(store, recorder)
        assert [run.files for run in recorder.runs()] == [{}]
        assert deliver(store, recorder, compare=None).problem is None
        assert [set(run.files) for run in recorder.runs()] == [{"record.json", "search_space.json"}]


def test_a_record_of_a_later_release_waits(tmp_path: Path) -> None:
    """A kind that is not in the table is no crash: it waits, the message names it, the others are delivered."""
    recorder, (store, key) = MemoryRecorder(), begin(tmp_path / ".tracker")
    with store:
        with store._database.writing() as writer:
            queue(writer, "alias/champion", key)
        run_trials(store, key, [0])
        report = deliver(store, recorder)
        assert (report.delivered, report.waiting) == (2, 1)
        assert report.problem is not None
        assert "alias/champion: kind 'alias' is unknown here" in report.problem


def test_an_experiment_that_was_deleted_is_said(tmp_path: Path, uri: str) -> None:
    """A deleted experiment is not silently replaced."""
    from mlflow.tracking import MlflowClient

    recorder = MlflowRecorder(uri, EXPERIMENT)
    MlflowClient(uri).delete_experiment(recorder.connect())
    with pytest.raises(TrackingError, match="was deleted; restore it"):
        MlflowRecorder(uri, EXPERIMENT).connect()


KILLER = """
import os, random, sys, time, signal
from pathlib import Path
sys.path.insert(0, '.')
from tracker.tracking.mlflow_settings import settle
settle(os.environ)
from tests.tracking.studies import EXPERIMENT, begin, end_study, run_trials
from tracker.tracking import delivery as deliveries
from tracker.tracking.delivery import Delivery
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.store.store import Store

folder, uri, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
draw = random.Random(11)
killed = 0
for number in range(rounds):
    store, key = begin(folder)
    run_trials(store, key, [2 * number, 2 * number + 1])
    store.close()
    child = os.fork()
    if child == 0:
        with Store.open(folder) as store, Delivery(store, MlflowRecorder(uri, EXPERIMENT), 'all') as delivery:
            delivery.deliver()
        os._exit(0)
    time.sleep(draw.uniform(0.05, 0.6))
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
print(killed)
"""


def test_a_delivery_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, uri: str) -> None:
    """After many SIGKILLs, one more delivery leaves one complete run per trial, each point once, nothing RUNNING."""
    rounds = 24
    arguments = [sys.executable, "-c", KILLER, str(tmp_path / ".tracker"), uri, str(rounds)]
    killed = int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)
    assert killed > rounds / 3
    with Store.open(tmp_path / ".tracker") as store:
        [(key, _)] = store.studies()
        end_study(store, key, 2 * rounds)
        assert deliver(store, uri, "all").problem is None
        assert deliver(store, uri, "all", None) == Delivered(0, 0)
    assert statuses(uri) == {("study", "FINISHED"): 1, ("trial", "FINISHED"): 2 * rounds}
    names = [run.info.run_name for run in all_runs(uri)]
    assert sorted(names) == sorted(["tpe", *(f"tpe/{number}" for number in range(2 * rounds))])
    for run in all_runs(uri):
        if run.data.tags["tracker.kind"] == "trial":
            assert [step for step, _, _ in points(uri, run, "val_loss")] == [1, 2, 3]
            assert artifact(uri, run, "model/MLmodel", tmp_path / "down").stat().st_size > 0


def test_a_clock_that_jumps_holds_up_nothing(tmp_path: Path, uri: str) -> None:
    """Years before 1970, ends before starts, a study begun after its trials: all arrive, and the records keep what was told."""
    times = iter([1.7e9, -5.0, 1.6e9, 100.0])
    timings = [Timing(-100.0, -90.0, (-99.0, -98.0, -97.0)), Timing(1.7e9, 1.6e9, (1.7e9, 1.6e9, 1.5e9))]
    with Store.open(tmp_path / ".tracker", lambda: next(times, 1.0)) as store:
        key = store.put_study(study_spec(), PROVENANCE)
        planned = [proposal(number) for number in range(2)]
        store.put_proposals(key, planned)
        ends = [
            replace(finished(one, weights=None), timing=timing) for one, timing in zip(planned, timings, strict=True)
        ]
        store.put_outcomes(key, ends, [0, 1])
        end_study(store, key, 2, 1)
        assert deliver(store, uri) == Delivered(4, 0)
    assert Counter({("study", "FINISHED"): 1, ("trial", "FINISHED"): 2}) == statuses(uri)
    for number, timing in enumerate(timings):
        run = run_named(uri, f"tpe/{number}")
        record = parse_canonical(artifact(uri, run, "record.json", tmp_path / f"down-{number}").read_bytes())
        assert record_json(timing) == record["runs"][0]["timing"]
    assert (1, 1) == (run_named(uri, "tpe/0").info.start_time, run_named(uri, "tpe/0").info.end_time)
