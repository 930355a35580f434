"""Estimators of scikit-learn: fitted once, repeatable, kept as bytes in which nothing can execute, opened without code."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.studies.project import SmallProject, make_table
from tests.training.cases import arrays
from tracker import api
from tracker.api import Project
from tracker.errors import ConfigError, TrainingError
from tracker.families import estimator as family
from tracker.families.family import train
from tracker.records import TrialOutcome, TrialSpec
from tracker.standalone.estimator import class_probabilities, pack, unpack
from tracker.standalone.load import load_model
from tracker.standalone.own_code import CodeError
from tracker.surroundings.environment import environment

TREES = """
from sklearn.ensemble import RandomForestClassifier

def build(hyperparameters, seed):
    return RandomForestClassifier(hyperparameters["trees"], max_depth=hyperparameters["depth"], n_jobs=-1, random_state=seed)
"""
PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who}
model: {family: estimator, entry: "trees:build"}
hyperparameters: {trees: 4}
search_space: {depth: {low: 2, high: 5}}
studies: {own: {sampler: random, trials: 3}}
"""


def spec(seed: int = 1) -> TrialSpec:
    """A run of an estimator."""
    training = {"epochs": 1, "early_stopping": None, "device": "cpu", "numerics": "native"}
    return TrialSpec("estimator", {"trees": 3}, training, seed, {}, "test", 1, {"entry": "trees:build"})


def fit(build: Any, seed: int = 1) -> TrialOutcome:
    return train(spec(seed), arrays(90), build).outcome


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, Project, Any]:
    """A project with a finished study of forests."""
    root = tmp_path_factory.mktemp("trees")
    (root / "trees.py").write_text(TREES)
    project = SmallProject.made(root, make_table(), PARAMS)
    here = Project(project.paths, "sqlite:///unused.db", 1, "tests")
    return project, here, api.tune(project.config, "own", project=here, deliver=False)


KINDS = [
    lambda h, seed: RandomForestClassifier(h["trees"], n_jobs=2, random_state=seed),
    lambda h, seed: GradientBoostingClassifier(n_estimators=h["trees"], subsample=0.5, random_state=seed),
    lambda h, seed: HistGradientBoostingClassifier(max_iter=h["trees"], random_state=seed),
    lambda h, seed: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    lambda h, seed: KNeighborsClassifier(h["trees"], algorithm="brute"),
]


@pytest.mark.parametrize("build", KINDS, ids=["forest", "boosted", "histogram", "pipeline", "neighbours"])
def test_two_fits_are_one_model(build: Any) -> None:
    """Equal seeds give equal bytes, and the numbers of an epoch are those of the opened model."""
    first = fit(build)
    assert ("complete", 1, 1) == (first.state, first.epochs, first.best_epoch), first.reason
    assert first == fit(build)
    assert {"train_loss", "val_loss", "val_accuracy", "val_f1", "confusion_matrix", "epoch"} <= {*first.history[0]}
    assert 2 == len(first.example or ())


def test_numbers_are_those_of_scikit_learn() -> None:
    """Loss and accuracy agree with its own metrics."""
    from sklearn.metrics import accuracy_score, log_loss

    data, found = arrays(90), fit(KINDS[0])
    forest = RandomForestClassifier(3, random_state=1).fit(data.x_train, data.y_train)
    told = forest.predict_proba(data.x_validation).astype(np.float32)
    assert found.metrics["val_loss"] == pytest.approx(log_loss(data.y_validation, told), rel=1e-5)
    assert found.metrics["val_accuracy"] == pytest.approx(accuracy_score(data.y_validation, told.argmax(1)))


class Odd:
    """An estimator that says what it was made with."""

    def __init__(self, told: Any) -> None:
        self.told = told

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        """Nothing to learn."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """The same for each row."""
        return np.tile(np.asarray(self.told), (len(x), 1))


def halved(x: np.ndarray) -> np.ndarray:
    return x / 2


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda h, seed: RandomForestClassifier, "build gave the class RandomForestClassifier, no estimator; return"),
        (lambda h, seed: Perceptron(), "has no predict_proba; give an estimator"),
        (lambda h, seed: None, "build gave NoneType, which has no fit"),
        (lambda h, seed: Odd(0), "Odd, which nothing vouches for"),
        (lambda h, seed: KNeighborsClassifier(), "algorithm='brute'"),
        (
            lambda h, seed: make_pipeline(FunctionTransformer(halved), LogisticRegression()),
            "test_estimator.halved, which",
        ),
        (lambda h, seed: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_what_goes_wrong_fails_the_run_with_its_reason(build: Any, reason: str) -> None:
    """Each in a line that says what was found and what to do."""
    found = fit(build)
    assert "failed" == found.state
    assert reason in str(found.reason)
    assert "\n" not in str(found.reason)


def test_what_is_no_estimator_is_found_before_anything_is_fitted() -> None:
    """As `tracker check` begins a run: what is built is looked at."""
    for build, reason in ((lambda h, seed: Perceptron(), "no predict_proba"), (lambda h, seed: 1 / 0, "ZeroDivision")):
        with pytest.raises(TrainingError, match=reason):
            family.FAMILY.start([spec()], arrays(9), build).prepare()
    family.FAMILY.start([spec()], arrays(9), lambda h, seed: Odd([1.0, 0.0, 0.0])).prepare()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([0.5, 0.5], r"gives \(4, 2\) for 4 rows; expected \(4, 3\)"),
        ([0.5, 0.5, np.nan], "not finite; fill gaps first"),
        ([0.9, 0.9, 0.9], "add up to 1"),
        ([1.5, -0.5, 0.0], "none below 0"),
    ],
)
def test_what_are_no_probabilities_is_refused(told: list[float], reason: str) -> None:
    """Number of classes, gaps, sums and signs are looked at."""
    with pytest.raises(CodeError, match=reason):
        class_probabilities(Odd(told), np.zeros((4, 2), dtype=np.float32), 3)


def test_a_class_without_rows_gets_no_probability() -> None:
    """Columns follow the estimator's own classes."""
    x = np.arange(8, dtype=np.float32)[:, None]
    found = class_probabilities(LogisticRegression().fit(x, [0, 0, 0, 0, 2, 2, 2, 2]), x, 3)
    assert ((8, 3), 0.0) == (found.shape, float(found[:, 1].max()))


def test_two_fits_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is fitted twice fails where its estimator draws from the system; one that asks our generators agrees."""
    monkeypatch.setattr(family, "REFITTED", 1)

    def drawing(h: dict, seed: int) -> Any:
        return RandomForestClassifier(3, random_state=int(np.random.default_rng().integers(2**31)))

    assert "pass `seed` on as random_state" in str(fit(drawing).reason)
    assert "complete" == fit(lambda h, seed: RandomForestClassifier(3)).state


def rewritten(content: bytes, change: Any) -> bytes:
    """An archive with its schema changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data.decode()).encode() if name == "schema.json" else data)
    return buffer.getvalue()


def test_a_forged_file_executes_nothing(tmp_path: Path) -> None:
    """Types that are not trusted, functions of the system, compressed archives and rubbish are refused by name."""
    mark = tmp_path / "mark"
    good = pack(make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1]))
    command = {"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode", "__id__": 99}
    step = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "__id__": 98}
    step["content"] = [{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "__id__": 97}]
    step["content"][0] |= {"content": json.dumps(f"touch {mark}"), "is_json": True}
    calls = {"__class__": "system", "__module__": "posix", "__loader__": "ConstructorFromReduceNode", "content": step}
    for node in (command, calls | {"__id__": 96}):
        forged = rewritten(good, lambda text, node=node: json.dumps(json.loads(text) | node | {"protocol": 2}))
        with pytest.raises(CodeError, match=r"posix\.system"):
            unpack(forged)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{" + " " * 100_000 + "}")
    for content in (packed.getvalue(), b"rubbish", good[:-30], rewritten(good, lambda _: "[" * 100_000)):
        with pytest.raises(CodeError, match="not an estimator that can be opened"):
            unpack(content)
    assert not mark.exists()


def test_a_forged_tree_is_refused() -> None:
    """Links and features that are not there would be read by compiled code."""
    x, y = np.arange(12, dtype=np.float32).reshape(-1, 1), np.arange(12) % 3
    forest = RandomForestClassifier(2, random_state=0).fit(x, y)
    boosted = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1).fit(x, y)
    for whole, part in ((forest, forest.estimators_[0]), (boosted, boosted)):
        unpack(pack(whole))
        part.n_features_in_ = 0
        with pytest.raises(CodeError, match="features"):
            pack(whole)
        part.n_features_in_ = 1
    boosted._predictors[0][0].nodes["left"][0] = 10_000
    with pytest.raises(CodeError, match="links that lead nowhere"):
        pack(boosted)


def test_a_study_is_replayed_served_and_derived_again(tuned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a table to a model that opens without the user's file, and to the same bits in a new process."""
    project, here, study = tuned
    assert ["complete"] * 3 == [trial.state for trial in study.trials]
    frame = project.rows()
    expected = study.best_trial.predict(frame)
    pd.testing.assert_frame_equal(expected, load_model(project.paths.models / "own").predict(frame))
    assert isinstance(study.best_trial.load(), RandomForestClassifier)
    monkeypatch.setattr(family, "pack", None)  # nothing is fitted again
    again = api.tune(project.config, "own", project=here, deliver=False)
    assert [t.trial for t in study.trials] == [t.trial for t in again.trials]
    assert "identical" == api.reproduce(f"own/{study.best_trial.number}", here).state


def test_mlflow_opens_it_and_says_what_it_needs(tuned: Any, tmp_path: Path) -> None:
    """Raw rows through pyfunc get what the project says; scikit-learn and skops are among the requirements."""
    from tracker.store.model_folder import describe_model
    from tracker.store.store import Store
    from tracker.tracking.mlflow_model import ModelTemplate, mlflow, requirements

    project, _, study = tuned
    best = study.best_trial
    code = {"trees.py": TREES}
    with Store.open(project.paths.store) as store:
        weights = store.weights(best.trial.outcome.weights)
    described = describe_model(best.trial.spec, best.trial.outcome, study.serving, code)
    template = ModelTemplate(tmp_path / "made", "estimator", study.serving, code)
    template.write(tmp_path / "model", "run", 0.0, described, weights)
    frame = project.rows()[[column["name"] for column in study.serving["columns"]]]
    found = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(frame)
    pd.testing.assert_frame_equal(best.predict(frame), found)
    assert {"scikit-learn", "skops"} <= {line.split("==")[0] for line in requirements("estimator")}
    assert "skops" in (tmp_path / "model" / "requirements.txt").read_text()


def test_versions_are_in_the_environment_of_estimators_alone(tuned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other versions of skops make other trials; the environment of other families is what it was."""
    assert environment() == environment("native", "mlp")
    name, parts = environment("native", "estimator")
    assert tuned[2].best_trial.trial.spec.environment == name != environment()[0]
    assert {"scikit-learn", "scipy", "skops"} == {*parts["family_packages"]}


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("training: {epochs: 3}", "training.epochs: family estimator is fitted once"),
        ("training: {early_stopping: null}", "training.early_stopping: family estimator is fitted once"),
        ("training: {numerics: portable}", "training.numerics: portable pins torch and NumPy, not scikit-learn"),
    ],
)
def test_what_needs_epochs_is_refused(tmp_path: Path, more: str, fault: str) -> None:
    """In a line with its place."""
    from tracker.config import load_config

    (tmp_path / "params.yaml").write_text(PARAMS + more)
    with pytest.raises(ConfigError, match=fault):
        load_config(tmp_path / "params.yaml")


def test_a_pruner_is_refused(tmp_path: Path) -> None:
    """There is nothing to prune."""
    from tracker.config import load_config

    (tmp_path / "params.yaml").write_text(PARAMS.replace("trials: 3}", "trials: 3, pruner: {name: median}}"))
    with pytest.raises(ConfigError, match=r"studies\.own\.pruner: family estimator is fitted once"):
        load_config(tmp_path / "params.yaml")


def test_functions_and_surroundings_are_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other arguments, or no skops, are told before anything runs."""
    with pytest.raises(ConfigError, match=r"must take two arguments, build\(hyperparameters, seed\)"):
        family.FAMILY.require(lambda: None, "trees:build")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'repro-tracker\[estimator\]'"):
        family.FAMILY.require(lambda hyperparameters, seed: None, "trees:build")
