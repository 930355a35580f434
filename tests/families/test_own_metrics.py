"""A metric of the user's own is a column and an objective; its files are in keys, and what goes wrong in it is said."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.studies.project import ENVIRONMENT, SmallProject, make_config
from tracker.deriving.derive import Derived, Rows
from tracker.deriving.find_rows import Missing, find_rows
from tracker.deriving.find_trial import Recorded
from tracker.deriving.judge_trial import judge
from tracker.errors import ConfigError
from tracker.execution.executor import InlineExecutor
from tracker.execution.trainer import Segment
from tracker.families.own_metrics import check_metrics, identify_metrics, read_metrics
from tracker.project.files import code_files
from tracker.studies.plan import Basis, plan_study
from tracker.studies.result import StudyResult
from tracker.studies.superseded import superseded

COSTS = """
import weights

def gain(y_true, y_probability):
    call = y_probability.argmax(1)
    hits = (call == 1) & (y_true == 1)
    return float(weights.HIT * hits.sum() - ((call == 1) & (y_true == 0)).sum())
"""
ENTRY = "costs:gain"


def ask(project: SmallProject, text: str = COSTS, weights: str = "HIT = 3\n", **changes: object) -> StudyResult:
    """The result of a study that asks for `gain` in a project whose code this is."""
    (project.paths.root / "costs.py").write_text(text)
    (project.paths.root / "weights.py").write_text(weights)
    executor = InlineExecutor(project.data, 8, project.paths.root)
    return project.run(planned(project, **changes), executor=executor)


def planned(project: SmallProject, **changes: object):
    """The plan of such a study."""
    config = make_config(training__metrics=[ENTRY], **changes)
    own = identify_metrics(project.paths.root, {"gain": ENTRY})
    return plan_study(config, "random", Basis(project.data.digests, ENVIRONMENT, metrics=own))


def test_it_decides_and_is_told(fresh: SmallProject) -> None:
    """As objective and monitor it picks trial and epoch, with the value that its function gives; another file, another key."""
    stopping = {"monitor": "val_gain", "patience": 2}
    result = ask(fresh, objective={"metric": "val_gain"}, training__early_stopping=stopping)
    positive = int((fresh.data.y_validation == 1).sum())
    for trial in result.trials:
        matrix = [row["confusion_matrix"] for row in trial.outcome.history]
        assert [3 * cells[1][1] - cells[0][1] for cells in matrix] == [row["val_gain"] for row in trial.outcome.history]
        assert trial.value == max(row["val_gain"] for row in trial.outcome.history)
        assert trial.value <= 3 * positive
    assert result.best.value == max(trial.value for trial in result.trials)
    identity = result.spec.training["own_metrics"]["gain"]
    assert ["costs.py", "entry", "weights.py"] == sorted(identity)
    (fresh.paths.root / "weights.py").write_text("HIT = 4\n")
    assert planned(fresh).spec.key != result.spec.key


def test_a_study_that_asks_for_none_has_the_key_it_had() -> None:
    """Without such a metric a spec has no word of it."""
    plan = plan_study(make_config(), "random", Basis({}, ENVIRONMENT))
    assert {} == plan.spec.training["own_metrics"]
    assert (
        plan.spec
        == plan_study(make_config(), "random", Basis({}, ENVIRONMENT, metrics={"gain": {"entry": ENTRY}})).spec
    )


def test_it_is_derived_again_and_changed_code_is_named(fresh: SmallProject) -> None:
    """The project's files give the same bits again; with others nothing is trained, and the file is named."""
    result = ask(fresh)
    fresh.report(result)
    trial, root = result.trials[0], fresh.paths.root
    assert isinstance(find_rows(trial.spec, root, fresh.paths.splits, {}), Rows)
    [[again]] = InlineExecutor(fresh.data, 1, root).run([Segment(trial.spec)])
    assert trial.outcome == again.outcome
    config = make_config(training__metrics=[ENTRY])
    assert {} == superseded(config, fresh.paths)
    assert ["costs.py", "weights.py"] == code_files(config, fresh.paths.root)
    (fresh.paths.root / "weights.py").write_text("HIT = 4\n")
    assert {"random": "your own metrics changed"} == superseded(config, fresh.paths)
    missing = find_rows(trial.spec, root, fresh.paths.splits, {})
    assert isinstance(missing, Missing)
    assert ["code.weights.py"] == [cause.name for cause in missing.causes]
    assert "put costs.py, weights.py back as it was" == missing.remedy
    with pytest.raises(ConfigError, match=r"weights\.py: changed since the study began"):
        list(InlineExecutor(fresh.data, 1, root).run([Segment(trial.spec)]))


def test_one_that_follows_from_more_than_its_arguments_is_told_as_that(fresh: SmallProject) -> None:
    """A metric of the clock gives another value when it is computed again; nobody altered the record."""
    clock = "import time, weights\ndef gain(y_true, y_probability):\n    return time.perf_counter_ns()\n"
    result = ask(fresh, clock)
    recorded = Recorded("random/0", result.trials[0].spec, result.trials[0].outcome)
    [[again]] = InlineExecutor(fresh.data, 1, fresh.paths.root).run([Segment(recorded.spec)])
    found = judge(recorded, Derived(again.outcome, {"environment": {}}))
    assert ("differs", ["own_metrics.val_gain"]) == (found.state, [cause.name for cause in found.causes])
    assert found.causes[0].words.startswith(
        "your own metric val_gain, computed twice from equal predictions, differs: "
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no costs')", "costs:gain: ValueError: no costs"),
        ("return 'much'", "costs:gain gave str; a metric is a number, or None"),
    ],
)
def test_a_run_whose_metric_raises_has_failed(fresh: SmallProject, body: str, reason: str) -> None:
    """Its trial says what went wrong; the study ends as any whose first trials fail alike."""
    result = ask(fresh, f"import weights\ndef gain(y_true, y_probability):\n    {body}\n")
    assert {"failed"} == {trial.state for trial in result.trials}
    assert {reason} == {trial.reason for trial in result.trials}


def test_what_it_is_given_is_its_own(tmp_path: Path) -> None:
    """It may write to its arguments, draw random numbers and give NumPy's numbers; what is not finite is undefined."""
    (tmp_path / "m.py").write_text(
        "import random, numpy as np\n"
        "def draw(y, p):\n    y[:] = 7\n    p[:] = 0\n    return np.float64(random.random())\n"
        "def nan(y, p):\n    return np.nan\n"
        "def none(y, p):\n    return None\n"
    )
    truth, given = np.array([0, 1]), np.array([[0.5, 0.5], [0.25, 0.75]], dtype=np.float32)
    found: dict[str, Callable[..., float | None]] = read_metrics(tmp_path, ["m:draw", "m:nan", "m:none"])
    drawn = [found["draw"](truth, given) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 0 < drawn[0] < 1
    assert [0, 1] == truth.tolist()
    assert math.isclose(given.sum(), 2.0)
    assert found["nan"](truth, given) is found["none"](truth, given) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"training__metrics": ["costs:f1"]},
            "training.metrics: costs:f1: there is a metric f1 already; give the function",
        ),
        ({"training__metrics": ["a:gain", "b:gain"]}, "training.metrics: b:gain and a:gain are both called gain"),
        ({"objective": {"metric": "val_gain"}}, "objective.metric: expected 'train_loss'"),
        (
            {"training__metrics": ["costs:gain"], "objective": {"metric": "val_gian"}},
            "or 'val_gain', or with a number val_fbeta_2, val_top_k_accuracy_3, found 'val_gian'; did you mean val_gain?",
        ),
        ({"training__metrics": ["roc_ac"]}, "or module:function, found 'roc_ac'; did you mean roc_auc?"),
        ({"training__metrics": ["gain"]}, "or module:function, found 'gain'"),
        ({"training__metrics": ["fbeta"]}, "fbeta wants its beta at its end, as in fbeta_2, found 'fbeta'"),
    ],
)
def test_names_that_cannot_be_metrics_are_refused(changes: dict, fault: str) -> None:
    """Names of the table, two functions of one name, metrics that nobody declared, and numbers that are missing."""
    with pytest.raises(ConfigError) as caught:
        make_config(**changes)
    assert fault in str(caught.value)


def test_code_that_cannot_be_read_is_a_fault_of_the_entry(tmp_path: Path) -> None:
    """A missing file, a missing function and other arguments are told with the entry of params.yaml."""
    (tmp_path / "m.py").write_text("def one(y):\n    return 1.0\n")
    for entry, words in (
        ("n:one", "training.metrics: there is no n.py beside params.yaml"),
        ("m:two", "training.metrics: m.py has no function two"),
        ("m:one", r"training.metrics: m:one must take two arguments, one\(y_true, y_probability\)"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_metrics(tmp_path, [entry])


def test_a_key_is_told_without_running_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists such as `tracker runs` want the digests of a metric's files alone: the file is read, and does not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(
        "from pathlib import Path\nPath('MARK').touch()\nraise SystemExit\ndef gain(y_true, y_probability): return 1.0\n"
    )
    found = identify_metrics(tmp_path, {"gain": "m:gain"})
    assert {"entry", "m.py"} == set(found["gain"])
    assert not Path("MARK").exists()
    with pytest.raises(ConfigError, match=r"training\.metrics"):
        check_metrics(tmp_path, {"gain": "m:gain"})
    assert Path("MARK").exists()
