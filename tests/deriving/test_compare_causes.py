"""A difference is explained: what was changed is named first, with both values; nothing is named where nothing was."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import SmallProject, command
from tracker.canonical import canonical_json, digest
from tracker.deriving.compare_causes import find_causes
from tracker.deriving.derive import Derived, FreshProcess, Rows
from tracker.deriving.find_trial import Recorded, find_recorded, parse_record
from tracker.deriving.judge_trial import judge, reproduce_record
from tracker.execution.executor import InlineExecutor
from tracker.store.store import Store
from tracker.studies.plan import Basis, StudyPlan, plan_study
from tracker.studies.runner import run_study
from tracker.surroundings.changes import changes
from tracker.surroundings.provenance import trained_with
from tracker.tracking.run_contents import trial_record

PACKAGE = Path(__file__).parents[2] / "tracker"
CLEAN = 50


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A project, the record.json of one of its trials, and what deriving it again gave."""

    project: SmallProject
    content: bytes
    recorded: Recorded
    derived: Derived

    @property
    def rows(self) -> Rows:
        return Rows(self.project.paths.root, self.project.paths.splits, self.project.config.preprocessing)

    def altered(self, change: Callable[[dict[str, Any]], None]) -> Recorded:
        """The record with a change in its JSON."""
        record = json.loads(self.content)
        change(record)
        return parse_record(canonical_json(record), "a test", self.project.paths)


@pytest.fixture(scope="module")
def fresh() -> Iterator[FreshProcess]:
    with FreshProcess() as process:
        yield process


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory, fresh: FreshProcess) -> Tuned:
    """Fifty short trials in the true environment, as `tracker tune` records them; the first is derived again."""
    project = small_project.copy(tmp_path_factory.mktemp("causes") / "project")
    config = project.config.with_("studies.random.trials", CLEAN).with_("training.epochs", 2)
    environment, about = trained_with([], project.paths.root)
    plan: StudyPlan = plan_study(config, "random", Basis(project.data.digests, environment))
    with Store.open(project.paths.store) as store:
        run_study(plan, store, InlineExecutor(project.data), about)
        content = trial_record(plan.spec.key, store.trial(plan.spec.key, 0))
    recorded = parse_record(content, "a test", project.paths)
    rows = Rows(project.paths.root, project.paths.splits, project.config.preprocessing)
    return Tuned(project, content, recorded, fresh.derive(recorded.spec, rows))


def test_fifty_clean_runs_give_no_alarm(tuned: Tuned, fresh: FreshProcess) -> None:
    """Nothing differs and nothing is named, fifty times out of fifty, and no field of the surroundings is unsteady."""
    for number in range(CLEAN):
        recorded = find_recorded(f"random/{number}", tuned.project.paths)
        found = reproduce_record(recorded, tuned.project.paths.root, tuned.project.paths.splits, fresh)
        assert ("identical", ()) == (found.state, found.causes)
    assert () == find_causes(tuned.recorded, tuned.derived)


# What was different when the trial was recorded: the place in its provenance, and the value there.
SURROUNDINGS: dict[str, Any] = {
    "environment.torch": "2.12.0",
    "environment.numpy": "2.3.0",
    "environment.blas": ["OpenBLAS 0.3.30"],
    "environment.device": "cuda",
    "environment.settings.denormals": "flushed",
    "environment.settings.matmul_precision": "medium",
    "environment.settings.default_dtype": "torch.float64",
    "environment.settings.deterministic": True,
    "environment.cpu_capability": "AVX1",
    "environment.machine": "aarch64",
    "environment.cpu_vendor": "AnotherMaker",
    "environment.threads": 4,
    "environment.probe": "0" * 64,
    "libraries.torch_commit": "0" * 40,
    "libraries.torch_build": "0" * 64,
    "libraries.parallel": "native",
    "libraries.threads": 64,
    "sources.training/loop.py": "0" * 16,
    "sources.families/mlp_lanes.py": "0" * 16,
    "cpu_flags": ["sse", "sse2"],
    "packages.scikit-learn": "1.5.2",
    "packages.safetensors": "0.4.5",
    "libc": "glibc 2.17",
    "variables.ATEN_CPU_CAPABILITY": "avx2",
    "variables.ONEDNN_MAX_CPU_ISA": "SSE41",
    "variables.MKL_CBWR": "COMPATIBLE",
    "variables.OMP_NUM_THREADS": "7",
    "variables.PYTHONHASHSEED": "12345",
    "cpu": "Another CPU",
    "python": "3.12.0",
    "kernel": "5.4.0",
    "locale": "tr_TR.UTF-8",
    "commit": "0" * 40,
}


@pytest.mark.parametrize("place", SURROUNDINGS)
def test_other_surroundings_are_named_first(tuned: Tuned, place: str) -> None:
    """One thing that was different then is the first and only cause, with both values in its words."""
    about = copy.deepcopy(dict(tuned.recorded.provenance))
    group, _, rest = place.partition(".")
    holder, name = about, group
    if rest:
        holder, name = about[group], rest
        if rest.startswith("settings."):
            holder, name = about[group]["settings"], rest.removeprefix("settings.")
    before = holder.get(name, "unset")
    holder[name] = SURROUNDINGS[place]
    [cause] = find_causes(dataclasses.replace(tuned.recorded, provenance=about), tuned.derived)
    assert (place, SURROUNDINGS[place], before) == (cause.name, cause.recorded, cause.present)
    assert "recorded" in cause.words


# What somebody changed in the record itself: the entry, its new value.
RECORD: dict[str, Any] = {
    "seed": 1,
    "params.batch_size": 31,
    "params.learning_rate": 0.5,
    "params.dropout": 0.9,
    "params.units": 13,
    "params.activation": "sigmoid",
    "training.epochs": 3,
    "training.early_stopping.patience": 1,
}


@pytest.mark.parametrize("place", RECORD)
def test_an_altered_record_is_told_by_its_entry(tuned: Tuned, fresh: FreshProcess, place: str) -> None:
    """The key no longer follows from the spec; the entry that was altered is named with both values."""

    def change(record: dict[str, Any]) -> None:
        [place_in_record] = record["runs"]
        *way, name = ["spec", *place.split(".")]
        for step in way:
            place_in_record = place_in_record[step]
        place_in_record[name] = RECORD[place]

    recorded = tuned.altered(change)
    found = judge(recorded, fresh.derive(recorded.spec, tuned.rows))
    assert "differs" == found.state
    assert f"record.{place}" == found.causes[0].name
    assert RECORD[place] == found.causes[0].recorded
    assert 1 == len(found.causes)


def test_an_altered_record_is_told_without_the_store(tuned: Tuned) -> None:
    """What the sampler proposed stands in the record twice; else only that it was altered can be said."""

    def change(record: dict[str, Any]) -> None:
        record["runs"][0]["spec"]["params"]["batch_size"] = 31

    recorded = dataclasses.replace(tuned.altered(change), elsewhere=None)
    assert "record.params.batch_size" == find_causes(recorded, tuned.derived)[0].name
    recorded = dataclasses.replace(recorded, searched={})
    assert "record" == find_causes(recorded, tuned.derived)[0].name


def test_other_numerics_are_named(tuned: Tuned) -> None:
    """A record of another version of the training arithmetic says so."""
    spec = dataclasses.replace(tuned.recorded.spec, numerics=999)
    outcome = dataclasses.replace(tuned.recorded.outcome, key=spec.key)
    [cause] = find_causes(dataclasses.replace(tuned.recorded, spec=spec, outcome=outcome), tuned.derived)
    assert ("numerics", 999) == (cause.name, cause.recorded)


@pytest.mark.parametrize("name", ["val_f1", "val_loss", "best_epoch", "weights", "predictions", "labels"])
def test_an_altered_outcome_is_told_from_a_different_one(tuned: Tuned, name: str) -> None:
    """Where all else is equal, the one entry that is not was altered after it was found."""
    outcome = tuned.recorded.outcome
    if name.startswith("val_"):
        other = dataclasses.replace(outcome, metrics={**outcome.metrics, name: 0.123})
        name = f"metrics.{name}"
    else:
        other = dataclasses.replace(outcome, **{name: 77 if name == "best_epoch" else "0" * 64})
    found = judge(dataclasses.replace(tuned.recorded, outcome=other), tuned.derived)
    assert ("differs", [f"outcome.{name}"]) == (found.state, [cause.name for cause in found.causes])


def test_a_record_that_lacks_a_metric_is_the_same_trial(tuned: Tuned) -> None:
    """A release that computes one more metric derives the trial as it was; what both tell is compared as ever."""

    def lacking(record: dict[str, Any]) -> None:
        outcome = record["runs"][0]["outcome"]
        for entry in (outcome["metrics"], *outcome["history"]):
            del entry["val_balanced_accuracy"]

    old = tuned.altered(lacking)
    assert "identical" == judge(old, tuned.derived).state
    outcome = dataclasses.replace(old.outcome, metrics={**old.outcome.metrics, "val_f1": 0.123})
    found = judge(dataclasses.replace(old, outcome=outcome), tuned.derived)
    assert ("differs", ["outcome.metrics.val_f1"]) == (found.state, [cause.name for cause in found.causes])


def test_an_unknown_environment_is_told_by_its_digest(tuned: Tuned) -> None:
    """A record without the parts of its environment still says that it was another one."""
    spec = dataclasses.replace(tuned.recorded.spec, environment="e" * 64)
    history = tuple({**entry, "val_loss": 1.0} for entry in tuned.recorded.outcome.history)
    outcome = dataclasses.replace(tuned.recorded.outcome, key=spec.key, weights="0" * 64, history=history)
    [cause] = find_causes(Recorded("x", spec, outcome, {}), tuned.derived)
    assert ("environment", "e" * 64) == (cause.name, cause.recorded)
    assert digest("environment", tuned.derived.provenance["environment"]) == cause.present


@pytest.mark.parametrize("name", ["train", "validation"])
def test_a_changed_byte_of_the_rows_is_named(tuned: Tuned, tmp_path: Path, name: str) -> None:
    """One changed byte in a file of rows: the trial cannot be derived, and the file is named."""
    splits = tmp_path / "splits"
    shutil.copytree(tuned.project.paths.splits, splits)
    path = splits / f"{name}.parquet"
    content = bytearray(path.read_bytes())
    content[200] ^= 1  # inside the first column
    path.write_bytes(content)
    found = reproduce_record(tuned.recorded, tuned.project.paths.root, splits)
    assert ("cannot", [f"data.{name}"]) == (found.state, [cause.name for cause in found.causes])
    assert f"{name}.parquet" in found.causes[0].words


@pytest.mark.parametrize("name", ["train", "validation", "schema", "preprocessing"])
def test_other_data_is_named(tuned: Tuned, name: str) -> None:
    """A record of other rows, columns or settings names the one of them that is not at hand."""

    def change(record: dict[str, Any]) -> None:
        record["runs"][0]["spec"]["data"][name] = {"none": {}} if name == "preprocessing" else "0" * 64

    found = reproduce_record(tuned.altered(change), tuned.project.paths.root, tuned.project.paths.splits)
    assert ("cannot", [f"data.{name}"]) == (found.state, [cause.name for cause in found.causes])


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ATEN_CPU_CAPABILITY", "default"), ("ATEN_CPU_CAPABILITY", "avx2"), ("MKL_CBWR", "COMPATIBLE")],
)
def test_variables_that_steer_arithmetic_are_caught_at_work(tuned: Tuned, variable: str, value: str) -> None:
    """A process with such a variable: if a bit differs the variable is named first; the environment's digest tells it."""
    with FreshProcess({**os.environ, variable: value}) as process:
        derived = process.derive(tuned.recorded.spec, tuned.rows)
    found = judge(tuned.recorded, derived)
    differences = changes(tuned.recorded.provenance, derived.provenance)
    assert f"variables.{variable}" == differences[0].name
    if found.state == "differs":
        assert f"variables.{variable}" == found.causes[0].name
        assert tuned.recorded.provenance["environment"] != derived.provenance["environment"]


def test_variables_that_change_nothing_give_no_alarm(tuned: Tuned) -> None:
    """Threads, hash seed and language of the process: identical, no cause, the same environment."""
    with FreshProcess({**os.environ, "OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "7", "LANG": "C"}) as process:
        derived = process.derive(tuned.recorded.spec, tuned.rows)
    found = judge(tuned.recorded, derived)
    assert ("identical", ()) == (found.state, found.causes)
    assert tuned.recorded.provenance["environment"] == derived.provenance["environment"]


def test_a_changed_byte_of_code_is_named(tuned: Tuned, tmp_path: Path) -> None:
    """A copy of the package in which one operator of the optimizer is another one: the file is the first cause."""
    shutil.copytree(PACKAGE, tmp_path / "tracker", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "tracker" / "training" / "optimizers.py"
    text = path.read_text()
    assert "beta" in text or "0.9" in text
    path.write_text(text.replace("0.9", "0.8"))
    (tmp_path / "record.json").write_bytes(tuned.content)
    words = ("-m", "tracker.cli", "reproduce", str(tmp_path / "record.json"), "--format", "json")
    done = command(tuned.project.paths.root, *words, PYTHONPATH=str(tmp_path))
    assert 10 == done.returncode, done.stderr
    assert "sources.training/optimizers.py" == json.loads(done.stdout)["causes"][0]["name"]
