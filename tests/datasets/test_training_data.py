"""What training and comparing are given, and that changed files are found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.datasets.place import Place
from tracker.config import Preprocessing
from tracker.datasets.sealed import open_test, test_identity
from tracker.datasets.training_data import identify_data, load_training_data, read_split
from tracker.errors import DataError


def test_csv_with_text_target_categories_and_gaps(place: Place, table: pd.DataFrame) -> None:
    """A user's own table becomes finite float32 arrays and codes of sorted label names."""
    report = place.split(table)
    data = load_training_data(place.splits, Preprocessing())
    assert (("no", "yes"), "yes") == (data.labels, data.positive)
    assert (np.float32, np.int64) == (data.x_train.dtype, data.y_train.dtype)
    assert 2 + 4 + 1 == data.x_train.shape[1] == data.x_validation.shape[1]
    assert report.counts["train"]["yes"] == int(data.y_train.sum())
    assert sum(report.counts["validation"].values()) == len(data.x_validation) == len(data.y_validation)
    assert np.isfinite(data.x_train).all()
    assert np.isfinite(data.x_validation).all()
    np.testing.assert_allclose(data.x_train[:, :2].mean(axis=0), 0, atol=1e-6)


def test_three_classes_have_no_positive(place: Place, table: pd.DataFrame) -> None:
    """With more than two classes there is no positive one, unless it is declared."""
    table["churn"] = np.arange(len(table)) % 3
    place.split(table)
    assert identify_data(place.splits, Preprocessing()).positive is None
    place.split(table, positive="1")
    assert "1" == identify_data(place.splits, Preprocessing()).positive


def test_digests_have_four_names(place: Place, table: pd.DataFrame) -> None:
    """The digests say train, validation and schema, beside the settings of preprocessing; no table is read for them."""
    place.split(table)
    digests = load_training_data(place.splits, Preprocessing()).digests
    assert ["preprocessing", "schema", "train", "validation"] == sorted(digests)
    assert Preprocessing().model_dump(mode="json") == digests["preprocessing"]
    assert digests == identify_data(place.splits, Preprocessing()).digests
    settings = Preprocessing.model_validate({"numeric": {"scale": "minmax"}})
    other = identify_data(place.splits, settings).digests
    assert {"preprocessing"} == {name for name in digests if digests[name] != other[name]}


def test_digests_need_no_heavy_library(place: Place, table: pd.DataFrame) -> None:
    """Asking for the digests imports neither torch nor scikit-learn nor pandas."""
    place.split(table)
    code = (
        "import sys; from pathlib import Path\n"
        "from tracker.config import Preprocessing; from tracker.datasets.training_data import identify_data\n"
        f"identify_data(Path({str(place.splits)!r}), Preprocessing())\n"
        "print([name for name in ('torch', 'sklearn', 'pandas', 'pyarrow') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert "[]" == done.stdout.strip()


def test_test_rows_do_not_touch_the_arrays(place: Place, table: pd.DataFrame) -> None:
    """Whatever happens to the sealed file, the arrays for training are the same; it is not even looked for."""
    place.split(table)
    before = load_training_data(place.splits, Preprocessing())
    for path in place.sealed.iterdir():
        path.unlink()
    after = load_training_data(place.splits, Preprocessing())
    assert before.x_train.tobytes() == after.x_train.tobytes()
    assert before.digests == after.digests


@pytest.mark.parametrize("name", ["train.parquet", "validation.parquet", "manifest.json", "schema.json"])
def test_changed_file_is_named(place: Place, table: pd.DataFrame, name: str) -> None:
    """A file that was exchanged, damaged, cut or removed is named together with what to do."""
    place.split(table)
    path = place.splits / name
    content = path.read_bytes()
    for changed in (content[: len(content) // 2], b"", content[:200] + b"\x00" + content[201:], None):
        path.unlink() if changed is None else path.write_bytes(changed)
        with pytest.raises(DataError, match=rf"{name}.*tracker split"):
            load_training_data(place.splits, Preprocessing())


def test_exchanged_table_is_found(place: Place, table: pd.DataFrame) -> None:
    """A valid file with one other cell differs from its digest."""
    place.split(table)
    train = read_split(place.splits, "train")
    train.loc[0, "age"] += 1e-9
    train.to_parquet(place.splits / "train.parquet", index=False)
    with pytest.raises(DataError, match=r"train.parquet: differs from its digest"):
        load_training_data(place.splits, Preprocessing())


def test_schema_of_another_split_is_found(place: Place, table: pd.DataFrame) -> None:
    """A schema that is whole but belongs to other data is refused."""
    place.split(table)
    old = (place.splits / "schema.json").read_bytes()
    place.split(table, positive="no")
    (place.splits / "schema.json").write_bytes(old)
    with pytest.raises(DataError, match=r"schema.json"):
        identify_data(place.splits, Preprocessing())


def test_gap_in_validation_without_imputer_is_named(place: Place, table: pd.DataFrame) -> None:
    """A gap that only validation has, without an imputer, is an error that says where."""
    place.split(table, id="customer")
    where = place.where()
    validation = table["customer"].map(where) == "validation"
    table["income"] = table["income"].fillna(20.0)
    table["city"] = table["city"].replace("", "Bern")
    table.loc[validation, "income"] = np.nan
    place.split(table, id="customer")
    with pytest.raises(DataError, match=r"validation: column 'income', row 1: a gap"):
        load_training_data(place.splits, Preprocessing.model_validate({"numeric": {"impute": "none"}}))


def test_sealed_rows_are_known_before_they_are_opened(place: Place, table: pd.DataFrame) -> None:
    """Digest, row names and counts come from the manifest alone; opening verifies them."""
    report = place.split(table, id="customer")
    identity = test_identity(place.sealed)
    test = open_test(place.sealed)
    assert report.counts["test"] == identity.classes
    assert (identity.digest, identity.row_keys, "churn") == (test.digest, test.row_keys, test.target)
    assert len(test.frame) == identity.rows == len(set(identity.row_keys))
    assert list(test.labels) == list(test.frame["churn"])
    training = load_training_data(place.splits, Preprocessing()).digests
    assert {name: training[name] for name in ("train", "validation")} == identity.beside
    (place.sealed / "test.parquet").unlink()
    assert identity == test_identity(place.sealed)


def test_row_keys_survive_growth(place: Place, table: pd.DataFrame) -> None:
    """Old test rows keep their names when rows are appended, so that a look at them still counts."""
    place.split(table.iloc[:200])
    before = set(test_identity(place.sealed).row_keys)
    place.split(table)
    after = set(test_identity(place.sealed).row_keys)
    assert before < after


def test_damaged_seal_is_refused(place: Place, table: pd.DataFrame) -> None:
    """A test split or manifest that differs from what was written is refused."""
    place.split(table)
    test = place.sealed / "test.parquet"
    whole = test.read_bytes()
    test.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"test.parquet"):
        open_test(place.sealed)
    pd.read_parquet(place.splits / "train.parquet").to_parquet(test, index=False)
    with pytest.raises(DataError, match=r"differs from its digest"):
        open_test(place.sealed)
    manifest = json.loads((place.sealed / "manifest.json").read_text())
    (place.sealed / "manifest.json").write_text(json.dumps(manifest | {"rows": 1}))
    with pytest.raises(DataError, match=r"manifest.json"):
        test_identity(place.sealed)
