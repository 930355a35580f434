"""What is fitted on train, and what it makes of rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from tests.datasets.place import make_table
from tracker.canonical import canonical_json, parse_canonical
from tracker.config import Preprocessing
from tracker.datasets.preprocess import fit_preprocessing
from tracker.errors import DataError
from tracker.standalone.transform import transform, unknown_categories

KINDS = {"age": "numeric", "income": "numeric", "city": "categorical", "member": "boolean"}
SCHEMA = {"columns": [{"name": name, "role": "feature", "kind": kind} for name, kind in KINDS.items()]}


@pytest.fixture
def table() -> pd.DataFrame:
    """Rows as they lie in a split."""
    table = make_table()
    city = table["city"].where(table["city"] != "", None).astype("str")
    return table.assign(city=city, member=(table["member"] == "true").astype("boolean"))


def settings(impute: str = "median", scale: str = "standard", gaps: str = "most_frequent") -> Preprocessing:
    return Preprocessing.model_validate(
        {"numeric": {"impute": impute, "scale": scale}, "categorical": {"impute": gaps}}
    )


@pytest.mark.parametrize("scale", ["standard", "minmax", "robust", "none"])
@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
@pytest.mark.parametrize("gaps", ["most_frequent", "missing"])
def test_equals_the_pipeline_of_scikit_learn(table: pd.DataFrame, scale: str, impute: str, gaps: str) -> None:
    """Fitted on train and applied to other rows, the matrix is the one of scikit-learn's own pipeline."""
    train, other = table.iloc[:150], table.iloc[150:]
    scalers = {"standard": StandardScaler(), "minmax": MinMaxScaler(), "robust": RobustScaler(), "none": "passthrough"}
    fill = {"fill_value": "missing", "strategy": "constant"} if gaps == "missing" else {"strategy": gaps}
    pipeline = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(strategy=impute), scalers[scale]), ["age", "income"]),
            (
                "c",
                make_pipeline(
                    SimpleImputer(missing_values=None, **fill),
                    OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                ),
                ["city"],
            ),
            ("b", "passthrough", ["member"]),
        ]
    )
    plain = table.assign(
        city=np.array([None if pd.isna(cell) else cell for cell in table["city"]], dtype=object),
        member=table["member"].astype("float64"),
    ).astype({"city": "object"})
    plain["city"] = plain["city"].where(table["city"].notna(), None)
    pipeline.fit(plain.iloc[:150])
    expected = np.asarray(pipeline.transform(plain.iloc[150:]), dtype=np.float64).astype(np.float32)
    state = fit_preprocessing(train, SCHEMA, settings(impute, scale, gaps))
    actual = transform(state, other)
    assert np.float32 == actual.dtype
    assert (len(other), len(state["features"])) == actual.shape
    np.testing.assert_allclose(actual, expected, rtol=2e-7, atol=1e-7 if scale == "minmax" else 0)


def test_state_is_plain_json_and_exact(table: pd.DataFrame) -> None:
    """The state survives JSON to the last bit."""
    state = fit_preprocessing(table, SCHEMA, settings())
    again = parse_canonical(canonical_json(state))
    assert state == again
    assert transform(state, table).tobytes() == transform(again, table).tobytes()


def test_fit_sees_train_alone(table: pd.DataFrame) -> None:
    """Rows beyond train change nothing: the fit is of the frame that is given, and only of it."""
    first = fit_preprocessing(table.iloc[:100], SCHEMA, settings())
    table.loc[table.index[100:], "age"] = 1e6
    assert first == fit_preprocessing(table.iloc[:100], SCHEMA, settings())


@given(
    texts=st.lists(st.none() | st.sampled_from(["a", "b", "B", "missing", "é", "10", "9"]) | st.text(min_size=1)),
    gaps=st.sampled_from(["most_frequent", "missing"]),
)
def test_categories_are_those_of_scikit_learn(texts: list[str | None], gaps: str) -> None:
    """The fill of gaps, ties included, and the categories with their order, for any texts."""
    texts = [*texts, "x"]
    fill = {"fill_value": "missing", "strategy": "constant"} if gaps == "missing" else {"strategy": gaps}
    cells = np.array(texts, dtype=object)[:, None]
    imputer = SimpleImputer(missing_values=None, **fill).fit(cells)
    encoder = OneHotEncoder().fit(imputer.transform(cells))
    schema = {"columns": [{"name": "t", "role": "feature", "kind": "categorical"}]}
    column = fit_preprocessing(pd.DataFrame({"t": texts}, dtype="str"), schema, settings(gaps=gaps))["columns"][0]
    assert (imputer.statistics_[0], list(encoder.categories_[0])) == (column["fill"], column["categories"])


def test_unseen_category_gives_zeros(table: pd.DataFrame) -> None:
    """A category that train does not have lights no feature."""
    state = fit_preprocessing(table, SCHEMA, settings())
    row = table.iloc[:1].assign(city="Paris")
    assert [0.0] * 4 == transform(state, row)[0, 2:6].tolist()


def test_users_rows_may_be_texts(table: pd.DataFrame) -> None:
    """Numbers and truth values that arrive as text, with extra columns and in another order, are read as what they are."""
    state = fit_preprocessing(table, SCHEMA, settings())
    rows = table[["member", "city", "income", "age"]].iloc[:20]
    texts = rows.assign(age=rows["age"].astype(str), member=[str(cell).upper() for cell in rows["member"]], extra="x")
    assert transform(state, rows).tobytes() == transform(state, texts).tobytes()


def test_codes_may_be_numbers_or_texts() -> None:
    """A declared code is one category, whether it comes as 7, 7.0 or "7"."""
    schema = {"columns": [{"name": "zip", "role": "feature", "kind": "categorical"}]}
    train = pd.DataFrame({"zip": ["7", "12", "7"]})
    state = fit_preprocessing(train, schema, settings())
    assert ["zip=12", "zip=7"] == state["features"]
    for cells in ([7, 12], [7.0, 12.0], ["7", "12"], ["7.0", "12"]):
        assert [[0.0, 1.0], [1.0, 0.0]] == transform(state, pd.DataFrame({"zip": cells})).tolist()


def codes_state(*categories: str) -> dict[str, Any]:
    return {"columns": [{"name": "zip", "kind": "categorical", "fill": categories[0], "categories": list(categories)}]}


def test_a_number_is_the_code_that_pandas_made_it_of() -> None:
    """A number finds the category with leading zeros, where one alone has that number; another text does not."""
    state = codes_state("00123", "00456", "456", "x")
    cells: list[Any] = ["00123", 123, 123.0, "123", 456, "00456", 7, None]
    expected = [0, 0, 0, None, 2, 1, None, 0]
    actual = transform(state, pd.DataFrame({"zip": pd.Series(cells, dtype=object)}))
    assert expected == [int(np.argmax(row)) if row.any() else None for row in actual]
    both = transform(codes_state("0456", "00456"), pd.DataFrame({"zip": [456]}))
    assert not both.any()


def test_a_gap_where_na_is_a_category_is_doubted() -> None:
    """Gaps in a column of which `NA` is a category are told, unless the rows show that they were read as texts."""
    state = codes_state("NA", "left")
    [line] = unknown_categories(state, pd.DataFrame({"zip": ["left", None]}))
    assert line.startswith("column 'zip': cells are gaps, but 'NA' is a category, no gap; were texts read as texts")
    assert [] == unknown_categories(state, pd.DataFrame({"zip": ["left", None, "NA"]}))
    assert [] == unknown_categories(codes_state("right", "left"), pd.DataFrame({"zip": ["left", None]}))


def test_gaps_of_truth_values() -> None:
    """Gaps in truth values become the more frequent one, or a category of their own."""
    schema = {"columns": [{"name": "b", "role": "feature", "kind": "boolean"}]}
    train = pd.DataFrame({"b": pd.array([True, True, None, False], dtype="boolean")})
    assert [1.0] == transform(fit_preprocessing(train, schema, settings()), train)[2].tolist()
    state = fit_preprocessing(train, schema, settings(gaps="missing"))
    assert ["b=False", "b=True", "b=missing"] == state["features"]
    assert [0.0, 0.0, 1.0] == transform(state, train)[2].tolist()
    assert (
        transform(state, train).tolist() == transform(state, pd.DataFrame({"b": ["true", True, "", "False"]})).tolist()
    )


def test_column_constant_in_train_stays_finite(table: pd.DataFrame) -> None:
    """A column that is constant in train gets scale 1, with every scaler."""
    train = table.iloc[:50].assign(age=3.0)
    for scale in ("standard", "minmax", "robust"):
        matrix = transform(fit_preprocessing(train, SCHEMA, settings(scale=scale)), table)
        assert np.isfinite(matrix).all()


def test_column_without_values_in_train_is_an_error(table: pd.DataFrame) -> None:
    """A feature that has no value in train cannot be fitted."""
    with pytest.raises(DataError, match=r"'income' has no values in train; drop it: data\.drop: \[income\]"):
        fit_preprocessing(table.assign(income=np.nan), SCHEMA, settings())


def test_gaps_without_imputer_are_an_error(table: pd.DataFrame) -> None:
    """Every feature with gaps and no imputer is named."""
    with pytest.raises(DataError) as caught:
        fit_preprocessing(table, SCHEMA, settings(impute="none", gaps="none"))
    assert 2 == len(caught.value.faults)
    whole = table.dropna()
    state = fit_preprocessing(whole, SCHEMA, settings(impute="none", gaps="none"))
    for column in ("age", "city", "member"):
        with pytest.raises(ValueError, match=f"'{column}', row 2: a gap"):
            transform(state, whole.head(3).assign(**{column: whole[column].head(3).where([True, False, True])}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": ["x"]}, "'age', row 1: expected a number, found 'x'"),
        ({"age": ["inf"]}, "'age', row 1: infinite"),
        ({"member": ["perhaps"]}, "'member', row 1: expected true or false"),
    ],
)
def test_cells_that_cannot_be_read(table: pd.DataFrame, change: dict[str, list[str]], message: str) -> None:
    """A cell that is not of its kind is named."""
    state = fit_preprocessing(table, SCHEMA, settings())
    with pytest.raises(ValueError, match=message):
        transform(state, table.iloc[:1].assign(**change))


def test_missing_and_double_columns_are_named(table: pd.DataFrame) -> None:
    """Missing columns are named together, of many the first few; a column given twice is refused."""
    state = fit_preprocessing(table, SCHEMA, settings())
    with pytest.raises(ValueError, match="missing columns: 'age', 'city'"):
        transform(state, table.drop(columns=["age", "city"]))
    many = {"columns": [{"name": f"c{place}", "kind": "numeric"} for place in range(64)]}
    with pytest.raises(ValueError, match=r"^missing columns: 'c0', 'c1', 'c2', 'c3', 'c4' and 59 more$"):
        transform(many, table)
    with pytest.raises(ValueError, match="more than once: 'age'"):
        transform(state, pd.concat([table, table[["age"]]], axis=1))


def test_beyond_float32_is_clipped(table: pd.DataFrame) -> None:
    """A number beyond float32 becomes its largest value, not infinity."""
    state = fit_preprocessing(table, SCHEMA, settings(scale="none"))
    assert np.isfinite(transform(state, table.assign(age=1e300))).all()


def test_too_many_categories_are_refused() -> None:
    """One-hot features are limited, and the widest column is named."""
    schema = {"columns": [{"name": "w", "role": "feature", "kind": "categorical"}]}
    with pytest.raises(DataError, match=r"data\.drop: \[w\]"):
        fit_preprocessing(pd.DataFrame({"w": [str(n) for n in range(10_001)]}), schema, settings())


def test_transform_stands_alone(table: pd.DataFrame, tmp_path: Path) -> None:
    """The file works where neither this project nor scikit-learn can be imported."""
    import tracker.standalone.transform as module

    (tmp_path / "alone").mkdir()
    for name in ("transform.py", "writings.py"):
        (tmp_path / "alone" / name).write_text(Path(module.__file__).with_name(name).read_text())
    state = fit_preprocessing(table, SCHEMA, settings())
    (tmp_path / "state.json").write_text(json.dumps(state))
    table.to_parquet(tmp_path / "t.parquet")
    code = (
        "import sys, json\n"
        "sys.modules.update({'tracker': None, 'sklearn': None, 'torch': None})\n"
        "import pandas as pd\nfrom alone.transform import transform\n"
        "print(transform(json.load(open('state.json')), pd.read_parquet('t.parquet')).tobytes().hex())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert transform(state, table).tobytes().hex() == done.stdout.strip()


def dates(cells: list[str | None], **reading: object) -> tuple[dict[str, Any], pd.DataFrame]:
    """What is fitted on a column of dates, unscaled, and the column."""
    schema = {"columns": [{"name": "d", "role": "feature", "kind": "date", "reading": reading}]}
    train = pd.DataFrame({"d": pd.array(cells, dtype="str")})
    return fit_preprocessing(train, schema, settings(scale="none")), train


def test_dates_become_numbers() -> None:
    """Year, month, weekday (Monday is 0), hour and days since the first date of train, whichever varies; gaps are filled."""
    state, train = dates(["2024-03-01", "2024-03-04 12:30", None, "2025-02-28"])
    assert ["d:year", "d:month", "d:weekday", "d:hour", "d:days"] == state["features"]
    expected = [
        [2024, 3, 4, 0, 0],
        [2024, 3, 0, 12.5, 3 + 12.5 / 24],
        [2024, 3, 4, 0, 3 + 12.5 / 24],
        [2025, 2, 4, 0, 364],
    ]
    assert np.array(expected, np.float32).tolist() == transform(state, train).tolist()
    later = pd.DataFrame({"d": ["March 2, 2024", "29.02.2024"]})
    assert [1.0, -1.0] == transform(state, later)[:, 4].tolist()


def test_days_count_from_the_first_date_of_train() -> None:
    """Earlier dates of other rows move nothing: they get negative numbers."""
    state, _ = dates(["2024-01-10", "2024-01-20"])
    assert ["d:weekday", "d:days"] == state["features"]
    assert [-9.0] == transform(state, pd.DataFrame({"d": ["2024-01-01"]}))[:, 1].tolist()


def test_times_of_day_are_hours() -> None:
    """A column of times alone gives the hour; a day that none has is no feature."""
    state, train = dates(["0:30", "3:15 pm", "12:00"])
    assert ["d:hour"] == state["features"]
    assert [[0.5], [15.25], [12.0]] == transform(state, train).tolist()


def test_the_day_may_come_first() -> None:
    """`03/04/2024` is the third of April where the column says so, else the fourth of March."""
    assert "2024-04-03T00:00:00+00:00" == dates(["03/04/2024", "13/04/2024"], day_first=True)[0]["columns"][0]["first"]
    assert "2024-03-04T00:00:00+00:00" == dates(["03/04/2024", "04/13/2024"])[0]["columns"][0]["first"]


def test_no_date_is_named_with_its_row() -> None:
    """A cell of a later row that is no date ends in one line that names it; a declared word is a gap."""
    state, _ = dates(["2024-01-10", "2024-02-20"], gaps=["?"])
    rows = pd.DataFrame({"d": ["2024-01-11", "?", "soon"]})
    with pytest.raises(ValueError, match=r"column 'd', row 3: expected a date, found 'soon'"):
        transform(state, rows)
    assert transform(state, rows[:2]).shape == (2, len(state["features"]))


def test_an_indicator_says_where_gaps_were(table: pd.DataFrame) -> None:
    """A column with gaps in train gets a second feature, 1 where a cell is a gap; a column without gets none."""
    numeric = Preprocessing.model_validate({"numeric": {"indicator": True}})
    state, plain = fit_preprocessing(table, SCHEMA, numeric), fit_preprocessing(table, SCHEMA, settings())
    assert ["age", "income", "income:missing"] == state["features"][:3]
    matrix, without = transform(state, table), transform(plain, table)
    assert table["income"].isna().astype(float).tolist() == matrix[:, 2].tolist()
    assert without.tobytes() == np.delete(matrix, 2, axis=1).tobytes()
