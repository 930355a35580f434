"""Keeps a fitted scikit-learn estimator as bytes (skops), opens it, and gives its class probabilities.

Nothing that is read may execute: skops makes objects of types that are trusted, and of no others. Those are its own list
(scikit-learn's estimators, NumPy's types) and `TRUSTED`. Trees are walked without bounds checks in compiled code, so their
links are checked here. Equal estimators give equal bytes: numbers in place of addresses, fixed order, fixed times.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import torch

from .network import ROWS_AT_ONCE
from .own_code import CodeError
from .recorded_code import recorded_code

TENSOR = "estimator"  # uint8, the bytes
SCHEMA = "schema.json"
TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in ("ConstantKernel", "DotProduct", "Exponentiation", "Matern", "Product", "RBF", "RationalQuadratic")
    ),
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in ("ExpSineSquared", "Hyperparameter", "Sum", "WhiteKernel")
    ),
    *(f"sklearn.neural_network._stochastic_optimizers.{name}" for name in ("AdamOptimizer", "SGDOptimizer")),
)
NEAR = 1e-3  # how far from 1 the probabilities of a row may add up


class EstimatorNetwork:
    """An opened estimator; see `.network.Network`."""

    def __init__(self, module: Any, classes: int) -> None:
        self.module, self._classes = module, classes

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (rows, classes), of float32 rows (rows, features)."""
        return class_probabilities(self.module, x, self._classes)


def open_network(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> EstimatorNetwork:
    """The estimator of a description. None of the recorded code runs; it must be the one that the spec names, all the same.

    Raises ValueError where it is not, and where the estimator cannot be opened.
    """
    recorded_code(description)
    return EstimatorNetwork(unpack(tensors[TENSOR].numpy().tobytes()), len(description["labels"]))


@contextmanager
def pinned() -> Iterator[None]:
    """One thread of compiled code inside: the order of sums would depend on more."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def class_probabilities(estimator: Any, x: np.ndarray, classes: int) -> np.ndarray:
    """What `predict_proba` says of rows (rows, features), float32 (rows, classes); 0 for classes that no row was fitted to.

    Raises ValueError where it gives something else than probabilities.
    """
    places = [int(place) for place in getattr(estimator, "classes_", range(classes))]
    if not places or len(set(places)) < len(places) or not set(places) <= set(range(classes)):
        raise CodeError(f"the estimator's classes_ are {places}; expected places among the {classes} classes, as in y")
    found = np.zeros((len(x), classes), dtype=np.float32)
    with pinned():
        for start in range(0, len(x), ROWS_AT_ONCE):
            rows = x[start : start + ROWS_AT_ONCE]
            given = np.asarray(estimator.predict_proba(rows.copy()))
            found[start : start + len(rows), places] = _checked(given, (len(rows), len(places)))
    return found


def _checked(given: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if given.shape != shape:
        raise CodeError(f"predict_proba gives {given.shape} for {shape[0]} rows; expected {shape}, a column per class")
    if given.dtype.kind != "f" or not np.isfinite(given).all():
        raise CodeError(
            "predict_proba gives numbers that are not finite; fill gaps first (preprocessing.numeric.impute)"
        )
    if (given < 0).any() or (np.abs(given.sum(axis=1) - 1) > NEAR).any():
        raise CodeError("predict_proba gives rows that are no probabilities: each has to add up to 1, none below 0")
    return given


def pack(estimator: Any) -> bytes:
    """The bytes of a fitted estimator, equal for equal ones. Raises CodeError for what would not be opened again."""
    import skops.io

    try:
        content = _canonical(skops.io.dumps(estimator))
    except Exception as error:
        raise CodeError(f"skops cannot keep this estimator ({type(error).__name__}: {error})") from error
    unpack(content)
    return content


def unpack(content: bytes) -> Any:
    """The estimator of `pack`'s bytes. Raises CodeError, also for types that are not trusted, which it names."""
    try:
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException
    except ImportError:
        raise CodeError("this model needs skops and scikit-learn, which are not installed: pip install skops") from None
    try:
        _require_plain(content)
        found = skops.io.loads(content, trusted=list(TRUSTED))
        for tree, width in _trees(found, 0, set()):
            _require_sound(tree, width)
    except UntrustedTypesFoundException:
        others = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))
        raise CodeError(
            f"the estimator holds {', '.join(others)}, which nothing vouches for, so it is not opened: build it of "
            "scikit-learn's own parts (nearest neighbours: algorithm='brute'; no functions or classes of your own)"
        ) from None
    except Exception as error:
        raise CodeError(f"not an estimator that can be opened ({type(error).__name__}: {error})") from error
    return found


def _require_plain(content: bytes) -> None:
    """As `pack` writes it: nothing compressed, nothing twice, so what is read is no larger than what came."""
    with ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    plain = all(entry.compress_type == ZIP_STORED and entry.compress_size == entry.file_size for entry in entries)
    if not plain or sum(entry.file_size for entry in entries) > len(content):
        raise ValueError("its archive is not as it is written here")


def _trees(found: Any, width: int, seen: set[int]) -> Iterator[tuple[Any, int]]:
    """Every tree inside, with the number of features that the estimator that holds it reads."""
    if id(found) in seen or isinstance(found, str | bytes | int | float | type(None)):
        return
    seen.add(id(found))
    if type(found).__name__ in {"Tree", "TreePredictor"}:
        yield found, width
    if isinstance(found, np.ndarray):
        inside = found.ravel().tolist() if found.dtype == object else []
    elif isinstance(found, Mapping):
        inside = list(found.values())
    elif isinstance(found, list | tuple | set):
        inside = list(found)
    else:
        own = getattr(found, "__dict__", {})
        width, inside = int(own.get("n_features_in_", width)), list(own.values())
    for one in inside:
        yield from _trees(one, width, seen)


def _require_sound(tree: Any, width: int) -> None:
    """Raises ValueError unless every link leads on to a node that is there, and every feature is one of `width`."""
    if type(tree).__name__ == "Tree":
        if tree.node_count > tree.capacity or tree.n_features > width:
            raise ValueError("a tree has other nodes or features than it says")
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        inner = left != -1
    else:
        nodes = tree.nodes
        left, right, feature = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), nodes["feature_idx"]
        inner = nodes["is_leaf"] == 0
        if nodes["is_categorical"].any():
            raise ValueError("a tree splits by categories, which are not read here; leave categorical_features out")
    here = np.arange(len(left))[inner]
    for links in (left[inner], right[inner]):
        if (links <= here).any() or (links >= len(left)).any():
            raise ValueError("a tree has links that lead nowhere")
    if len(left) == 0 or (feature[inner] < 0).any() or (feature[inner] >= width).any():
        raise ValueError("a tree reads features that are not there")


def _canonical(content: bytes) -> bytes:
    """An archive of skops with addresses and random names replaced by numbers in order of appearance."""
    names: dict[str, str] = {}
    numbers: dict[int, int] = {}

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return [renamed(one) for one in node]
        if not isinstance(node, dict):
            return node
        told: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__" and isinstance(value, int):
                told[key] = numbers.setdefault(value, len(numbers) + 1)
            elif key == "file" and isinstance(value, str):
                told[key] = names.setdefault(value, f"{len(names) + 1}{value[value.rindex('.') :]}")
            else:
                told[key] = renamed(value)
        return told

    with ZipFile(io.BytesIO(content)) as archive:
        schema = json.dumps(renamed(json.loads(archive.read(SCHEMA))), separators=(",", ":")).encode()
        files = {SCHEMA: schema} | {new: archive.read(old) for old, new in names.items()}
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()
