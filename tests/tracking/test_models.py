"""Models that stand alone: a folder, or a logged model, opens where this project is unknown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tracking.runs_in_mlflow import artifact, run_named
from tests.tracking.studies import EXPERIMENT, SERVING, begin, finished, proposal, run_trials, weights
from tracker.errors import StoreError
from tracker.standalone.load import StandaloneModel, load_model
from tracker.store.model_folder import describe_model, write_model
from tracker.tracking.delivery import Delivery
from tracker.tracking.mlflow_model import ModelTemplate, example_frame, requirements, signature
from tracker.tracking.mlflow_recorder import MlflowRecorder

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
ROWS = pd.DataFrame(
    {"radius": [17.99, 11.5, np.nan, 14.0], "count": [3, 7, 2, 0], "site": ["left", "right", None, "elsewhere"]},
    index=[10, 11, 12, 13],
)


def write(folder: Path, number: int = 0) -> StandaloneModel:
    planned = proposal(number)
    write_model(folder, describe_model(planned.spec, finished(planned).outcome, SERVING), weights(number))
    return load_model(folder)


def test_raw_rows_in_label_and_probabilities_out(tmp_path: Path) -> None:
    """One row per raw row under its own index: the likeliest label, and probabilities that the network gives."""
    model = write(tmp_path / "tpe")
    found = model.predict(ROWS)
    assert list(found.columns) == ["label", "probability_benign", "probability_malignant"]
    assert list(found.index) == [10, 11, 12, 13]
    chances = found[["probability_benign", "probability_malignant"]].to_numpy()
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-6)
    assert list(found["label"]) == [SERVING["labels"][place] for place in chances.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict_proba(ROWS), chances)
    assert len(model.predict(ROWS.iloc[:0])) == 0


@pytest.mark.parametrize("cells", [[123, 7, 7, 5], ["elsewhere", None, "", "up"]], ids=["numbers", "texts"])
def test_a_column_in_which_no_category_is_known_is_told(tmp_path: Path, cells: list[Any]) -> None:
    """Rows that were read otherwise than those of training are predicted with a warning that shows both readings."""
    model = write(tmp_path / "tpe")
    with pytest.warns(UserWarning, match=r"column 'site': no cell is a category .*; known are 'left', 'right'"):
        model.predict(ROWS.assign(site=cells))
    model.predict(ROWS.assign(site=[*cells[:3], "left"]))  # one that is known: no warning
    model.predict(ROWS.assign(site=None))  # no filled cell


def test_the_module_computes_the_same(tmp_path: Path) -> None:
    """The plain torch module, in evaluation mode, agrees with the padded arithmetic of training."""
    import torch

    model = write(tmp_path / "tpe")
    assert not model.module.training
    with torch.no_grad():
        plain = torch.softmax(model.module(torch.from_numpy(model.features(ROWS))), -1).numpy()
    np.testing.assert_allclose(plain, model.predict_proba(ROWS), rtol=1e-5)


@pytest.mark.parametrize(
    "rows", [{"radius": 1.0}, [[1.0]], np.ones((1, 3)), ROWS.iloc[0]], ids=["dict", "list", "array", "row"]
)
def test_what_is_no_frame_is_refused(tmp_path: Path, rows: Any) -> None:
    """A dict, a list, an array and a single row are answered with what is wanted."""
    with pytest.raises(
        TypeError, match=f"expected a pandas DataFrame with the raw columns, found {type(rows).__name__}"
    ):
        write(tmp_path / "tpe").predict(rows)


def test_equal_models_are_equal_bytes_and_replace_the_old(tmp_path: Path) -> None:
    """A model folder has no times in it, and an older one is replaced as a whole."""
    write(tmp_path / "one", 1)
    write(tmp_path / "two", 2)
    (tmp_path / "two" / "leftover").write_text("")
    write(tmp_path / "two", 1)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Weights that are not those of the description are neither written nor opened."""
    planned = proposal(0)
    with pytest.raises(StoreError, match="not those that the description names"):
        write_model(tmp_path / "a", describe_model(planned.spec, finished(planned).outcome, SERVING), weights(1))
    write(tmp_path / "b")
    (tmp_path / "b" / "weights.safetensors").write_bytes(weights(1))
    with pytest.raises(ValueError, match="differs from the digest"):
        load_model(tmp_path / "b")
    (tmp_path / "b" / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(tmp_path / "b")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A folder of a later release is not guessed at."""
    write(tmp_path / "a")
    content = json.loads((tmp_path / "a" / "model.json").read_text())
    (tmp_path / "a" / "model.json").write_text(json.dumps(content | {"format": 4}))
    with pytest.raises(ValueError, match="format 4"):
        load_model(tmp_path / "a")


OUTSIDE = """
import json, sys
class Unknown:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'tracker', 'tests'}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Unknown())
import mlflow.pyfunc, pandas as pd
for place in sys.argv[2:]:
    model = mlflow.pyfunc.load_model(place)
    found = model.predict(pd.read_json(sys.argv[1], orient='split'))
    example = model.predict(model.input_example)
    print(json.dumps([found.to_dict(orient='split'), len(example), model.metadata.signature.inputs.input_names()]))
assert not [name for name in sys.modules if name.split('.')[0] == 'tracker']
"""


def test_a_logged_model_predicts_the_same_without_this_project(tmp_path: Path, uri: str) -> None:
    """Where `tracker` cannot be imported, MLflow opens the models of two trials, and they predict what ours predict."""
    store, key = begin(tmp_path / ".tracker")
    with store, Delivery(store, MlflowRecorder(uri, EXPERIMENT), "all") as delivery:
        run_trials(store, key, range(2))
        assert delivery.deliver().problem is None
    places = [str(artifact(uri, run_named(uri, f"tpe/{n}"), "model", tmp_path / f"down{n}")) for n in range(2)]
    rows = tmp_path / "rows.json"
    rows.write_text(ROWS.to_json(orient="split"))
    answer = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", OUTSIDE, str(rows), *places],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    for number, line in enumerate(answer.stdout.splitlines()):
        predicted, examples, names = json.loads(line)
        expected = write(tmp_path / "ours", number).predict(ROWS)
        assert predicted["columns"] == list(expected.columns)
        assert [row[0] for row in predicted["data"]] == list(expected["label"])
        chances = expected[["probability_benign", "probability_malignant"]].to_numpy(dtype=np.float64)
        np.testing.assert_array_equal([row[1:] for row in predicted["data"]], chances)
        assert (examples, names) == (2, ["radius", "count", "site"])


def test_a_signature_takes_what_raw_columns_may_be() -> None:
    """Fractions are double; whole numbers and categories stay open, because MLflow refuses int64 for double or string."""
    found = {entry.name: str(entry.type) for entry in signature(SERVING).inputs.inputs}
    assert found["radius"].endswith("double")
    assert found["site"].lower().startswith("any")
    assert found["count"].lower().startswith("any")
    assert signature(SERVING).outputs.input_names() == ["label", "probability_benign", "probability_malignant"]


@pytest.mark.parametrize(
    "cells",
    [
        [3, 7, 3, 7],
        [3.0, np.nan, 3.0, 7.0],
        pd.Categorical(["3", "7", None, "3"]),
        pd.Categorical([3, 7, 3, 3]),
        [np.nan] * 4,
        [None] * 4,
        ["3", "7", "3", "7"],
    ],
    ids=["whole", "gaps", "category", "codes", "nan", "none", "texts"],
)
def test_a_logged_model_takes_categories_as_tables_hold_them(tmp_path: Path, cells: Any) -> None:
    """Codes that are numbers in the source, pandas' own type, a column of gaps: MLflow refuses none that ours reads."""
    import mlflow.pyfunc  # after our own import of it, which keeps its warnings in

    rows = ROWS.assign(site=cells)
    serving = json.loads(json.dumps(SERVING).replace('"left"', '"3"').replace('"right"', '"7"'))
    planned = proposal(0)
    description = describe_model(planned.spec, finished(planned).outcome, serving)
    write_model(tmp_path / "ours", description, weights(0))
    ModelTemplate(tmp_path / "made", "mlp", serving).write(tmp_path / "model", "run", 0.0, description, weights(0))
    logged = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    pd.testing.assert_frame_equal(load_model(tmp_path / "ours").predict(rows), logged.predict(rows), check_dtype=False)


def test_a_column_that_is_missing_is_named_by_the_signature(tmp_path: Path) -> None:
    """No column is called optional, and a logged model says which one is missing, whatever its kind."""
    import mlflow.pyfunc  # after our own import of it, which keeps its warnings in

    assert ["radius", "count", "site"] == signature(SERVING).inputs.required_input_names()
    planned = proposal(0)
    description = describe_model(planned.spec, finished(planned).outcome, SERVING)
    ModelTemplate(tmp_path / "made", "mlp", SERVING).write(tmp_path / "model", "run", 0.0, description, weights(0))
    logged = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    for name in ROWS.columns:
        with pytest.raises(mlflow.exceptions.MlflowException, match=rf"missing inputs \['{name}'\]"):
            logged.predict(ROWS.drop(columns=name))


def test_the_input_example_prefers_rows_without_gaps() -> None:
    """Rows with gaps are shown only where all have some; then gaps stay gaps."""
    shown = example_frame(SERVING)
    assert shown is not None
    assert list(shown["radius"]) == [17.99, 11.5]
    gappy = example_frame(SERVING | {"example": [{"radius": 1.5, "count": None, "site": "left"}]})
    assert gappy is not None
    assert gappy.iloc[0].tolist() == [1.5, None, "left"]
    assert example_frame(SERVING | {"example": []}) is None


def test_requirements_are_exact_and_known_to_an_index() -> None:
    """Every requirement is pinned, none has a local part such as +cpu."""
    assert [line.split("==")[0] for line in requirements("mlp")] == [
        "mlflow",
        "torch",
        "numpy",
        "pandas",
        "safetensors",
    ]
    assert all("+" not in line and "==" in line for line in requirements("mlp"))
