"""The statistics of numeric columns, fitted as a block, have the bits that scikit-learn's own objects give one by one."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from tracker.config import Numeric
from tracker.datasets.scaling import fit_numbers

IMPUTES = ("median", "mean", "most_frequent", "none")
SCALES = ("standard", "minmax", "robust", "none")
LARGEST = 1e30  # beyond it a table is refused
KINDS = {
    "any": st.floats(-LARGEST, LARGEST),
    "small": st.floats(-1e-300, 1e-300, allow_subnormal=True),
    "zeros": st.sampled_from([0.0, -0.0, 1.0, -1.0]),
    "whole": st.integers(-3, 3).map(float),
    "near": st.sampled_from([1e15, np.nextafter(1e15, 2e15), 1e15 + 1]),
    "constant": st.just(0.1),
}


def by_scikit_learn(cells: pd.Series[Any], impute: str, scale: str) -> dict[str, float | None]:
    """The same statistics from one imputer and one scaler for the column alone."""
    values, fill = cells.to_numpy(dtype=np.float64, na_value=np.nan)[:, None], None
    if impute != "none":
        imputer = SimpleImputer(strategy=impute).fit(values)
        values, fill = imputer.transform(values), float(imputer.statistics_[0])
    center, extent = 0.0, 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes the root of a variance that rounding made negative, then drops it
        if scale == "standard":
            standard = StandardScaler().fit(values)
            center, extent = float(standard.mean_[0]), float(standard.scale_[0])
        elif scale == "minmax":
            minmax = MinMaxScaler().fit(values)
            center, extent = float(minmax.data_min_[0]), float(minmax.data_range_[0]) or 1.0
        elif scale == "robust":
            robust = RobustScaler().fit(values)
            center, extent = float(robust.center_[0]), float(robust.scale_[0])
    return {"fill": fill, "center": center, "scale": extent}


def bits(fitted: dict[str, float | None]) -> dict[str, str | None]:
    """Every number to its last bit, the sign of zero included."""
    return {name: None if value is None else value.hex() for name, value in fitted.items()}


def held_against(columns: list[pd.Series[Any]], impute: str, scale: str) -> None:
    """Asserts that all columns of a block have the bits that scikit-learn gives each."""
    numeric = Numeric.model_validate({"impute": impute, "scale": scale})
    expected = [bits(by_scikit_learn(cells, impute, scale)) for cells in columns]
    assert expected == [bits(found) for found in fit_numbers(columns, numeric)]


@st.composite
def columns_of_one_length(draw: st.DrawFn) -> list[pd.Series[Any]]:
    """One to five columns of different kinds, each with a value and, at will, gaps."""
    rows = draw(st.integers(1, 40))
    columns = []
    for _ in range(draw(st.integers(1, 5))):
        kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
        cells = np.array(draw(st.lists(kind, min_size=rows, max_size=rows)))
        gaps = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
        gaps[draw(st.integers(0, rows - 1))] = False
        columns.append(pd.Series(np.where(gaps, np.nan, cells)))
    return columns


@pytest.mark.parametrize(("impute", "scale"), list(itertools.product(IMPUTES, SCALES)))
@settings(max_examples=50, deadline=None)
@given(columns=columns_of_one_length())
def test_a_block_has_the_bits_of_single_columns(columns: list[pd.Series[Any]], impute: str, scale: str) -> None:
    """Short columns of every kind: extremes, signed zeros, ties, constants, values that differ in their last bit, gaps."""
    if impute == "none":
        columns = [cells.fillna(0.5) for cells in columns]
    held_against(columns, impute, scale)


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 127, 128, 129, 599, 600, 601, 8191, 8192, 8193, 20_011])
def test_long_columns_have_the_bits_of_single_columns(rows: int) -> None:
    """Around the lengths at which NumPy changes how it adds or selects, with and without gaps, in every setting."""
    rng = np.random.default_rng(rows)
    plain = [rng.normal(3, 2, rows), rng.lognormal(0, 20, rows), rng.integers(-5, 5, rows) * 0.1, np.full(rows, 7.3)]
    gappy = [np.where(rng.random(rows) < 0.3, np.nan, cells) for cells in plain]
    for cells, whole in zip(gappy, plain, strict=True):
        cells[0] = whole[0]
    for impute, scale in itertools.product(IMPUTES, SCALES):
        columns = plain if impute == "none" else plain + gappy
        held_against([pd.Series(cells) for cells in columns], impute, scale)


def test_a_table_of_several_blocks_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that do not fit into one block are fitted block by block; none is lost, none changes place."""
    rng = np.random.default_rng(5)
    columns = [pd.Series(rng.normal(place, 1, 30)) for place in range(50)]
    monkeypatch.setattr("tracker.datasets.scaling._CELLS", 100)
    held_against(columns, "median", "standard")


def test_whole_numbers_and_nullable_columns_are_fitted_too() -> None:
    """int64 and pandas' nullable numbers give what the same numbers give as float64."""
    columns = [pd.Series([1, 2, 4, 9]), pd.Series([1, None, 4, 9], dtype="Int64")]
    held_against(columns, "mean", "robust")


def test_no_columns_give_nothing() -> None:
    """A table without numeric features has nothing to fit."""
    assert [] == list(fit_numbers([], Numeric()))


def test_fitting_and_applying_load_no_scikit_learn() -> None:
    """A process that fits preprocessing and transforms rows has not imported scikit-learn or scipy."""
    code = (
        "import sys, pandas as pd\n"
        "from tracker.config import Preprocessing\n"
        "from tracker.datasets.preprocess import fit_preprocessing\n"
        "from tracker.standalone.transform import transform\n"
        "train = pd.DataFrame({'a': [1.0, 2.0, None], 'b': ['x', None, 'y']})\n"
        "kinds = {'a': 'numeric', 'b': 'categorical'}\n"
        "schema = {'columns': [{'name': n, 'role': 'feature', 'kind': k} for n, k in kinds.items()]}\n"
        "for scale in ('standard', 'minmax', 'robust', 'none'):\n"
        "    settings = Preprocessing.model_validate({'numeric': {'scale': scale}})\n"
        "    transform(fit_preprocessing(train, schema, settings), train)\n"
        "print(sorted(name for name in ('sklearn', 'scipy', 'torch') if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
