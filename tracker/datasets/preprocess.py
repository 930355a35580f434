"""Fits imputers, scalers and categories on the train split and exports them as plain numbers and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tracker.config import Categorical, Numeric, Preprocessing
from tracker.datasets.schema import as_text
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MAX_FEATURES = 10_000
MISSING = "missing"  # the category of gaps under `impute: missing`


def fit_preprocessing(train: pd.DataFrame, schema: Mapping[str, Any], settings: Preprocessing) -> dict[str, Any]:
    """The state that `tracker.standalone.transform` applies, fitted on `train` alone; plain JSON.

    Raises DataError where a feature has no value in train, or a gap without an imputer.
    """
    features = [(column["name"], column["kind"]) for column in schema["columns"] if column["role"] == "feature"]
    faults = list(_faults(train, features, settings))
    if faults:
        raise DataError(faults)
    columns = [_fit(name, kind, train[name], settings) for name, kind in features]
    names = [output for column in columns for output in _outputs(column)]
    if len(names) > MAX_FEATURES:
        widest = max(columns, key=lambda column: len(column.get("categories", ())))["name"]
        raise DataError(
            f"{len(names)} features after one-hot; at most {MAX_FEATURES}: data.drop: [{widest}] helps most"
        )
    return {"format": FORMAT, "columns": columns, "features": names}


def _faults(train: pd.DataFrame, features: Iterable[tuple[str, str]], settings: Preprocessing) -> Iterable[str]:
    for name, kind in features:
        gaps = train[name].isna()
        section = "numeric" if kind == "numeric" else "categorical"
        if gaps.all():
            yield f"train: column {name!r} has no values in train; drop it: data.drop: [{name}]"
        elif gaps.any() and getattr(settings, section).impute == "none":
            yield f"train: column {name!r}: {gaps.sum()} gaps, but preprocessing.{section}.impute is none"


def _fit(name: str, kind: str, cells: pd.Series[Any], settings: Preprocessing) -> dict[str, Any]:
    if kind == "numeric":
        return {"name": name, "kind": kind, **_fit_numeric(cells, settings.numeric)}
    texts = as_text(cells)
    if kind == "boolean" and not (settings.categorical.impute == MISSING and texts.isna().any()):
        return {"name": name, "kind": kind, "fill": _fit_truth(texts, settings.categorical)}
    return {"name": name, "kind": "categorical", **_fit_categories(texts, settings.categorical)}


def _fit_numeric(cells: pd.Series[Any], settings: Numeric) -> dict[str, Any]:
    import numpy as np
    from sklearn.impute import SimpleImputer

    values = cells.to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
    fill = None
    if settings.impute != "none":
        imputer = SimpleImputer(strategy=settings.impute).fit(values)
        values, fill = imputer.transform(values), float(imputer.statistics_[0])
    center, scale = _fit_scale(values, settings.scale)
    return {"fill": fill, "center": center, "scale": scale}


def _fit_scale(values: Any, scale: str) -> tuple[float, float]:
    # scikit-learn's scalers give 1 for the scale of a column that is constant in train
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    if scale == "standard":
        standard = StandardScaler().fit(values)
        return float(standard.mean_[0]), float(standard.scale_[0])
    if scale == "robust":
        robust = RobustScaler().fit(values)
        return float(robust.center_[0]), float(robust.scale_[0])
    if scale == "minmax":
        minmax = MinMaxScaler().fit(values)
        return float(minmax.data_min_[0]), float(minmax.data_range_[0]) or 1.0
    return 0.0, 1.0


def _fit_truth(texts: pd.Series[Any], settings: Categorical) -> float | None:
    return None if settings.impute == "none" else float(_impute(texts, "most_frequent").statistics_[0] == "True")


def _fit_categories(texts: pd.Series[Any], settings: Categorical) -> dict[str, Any]:
    from sklearn.preprocessing import OneHotEncoder

    values, fill = _objects(texts), None
    if settings.impute != "none":
        imputer = _impute(texts, settings.impute)
        values, fill = imputer.transform(values), str(imputer.statistics_[0])
    encoder = OneHotEncoder(handle_unknown="ignore").fit(values)
    return {"fill": fill, "categories": [str(category) for category in encoder.categories_[0]]}


def _impute(texts: pd.Series[Any], strategy: str) -> Any:
    from sklearn.impute import SimpleImputer

    options = {"strategy": "constant", "fill_value": MISSING} if strategy == MISSING else {"strategy": strategy}
    return SimpleImputer(missing_values=None, **options).fit(_objects(texts))


def _objects(texts: pd.Series[Any]) -> Any:
    import numpy as np

    return np.array([None if gap else cell for cell, gap in zip(texts, texts.isna(), strict=True)], dtype=object)[
        :, None
    ]


def _outputs(column: Mapping[str, Any]) -> list[str]:
    if column["kind"] != "categorical":
        return [column["name"]]
    return [f"{column['name']}={category}" for category in column["categories"]]
