"""An MLflow model folder, from a model description and its weights, that opens without this project.

`mlflow.pyfunc.save_model` takes 15 ms, so it runs once per kind of data; each trial then gets a copy with its own stamp.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

import tracker.standalone
from tracker.errors import TrackingError
from tracker.hyperparameters import FAMILIES
from tracker.store.model_folder import fill_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns about type hints of its own while it is imported
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

REQUIREMENTS = ("mlflow", "torch", "numpy", "pandas", "safetensors")
DATA = "data/model"
WRITTEN = {"gaps", "decimal", "thousands", "signs"}  # entries of a column whose raw cells may be texts
_BLANKS = {name: f"BLANK-{name}" for name in ("run_id", "model_uuid", "utc_time_created", "model_size_bytes")}


class ModelTemplate:
    """An MLflow model folder without weights, for one kind of data; `write` makes it the model of one trial.

    `code` are the files of the user's own network, by place: they lie beside the loader, where people look for them. What
    runs is their text in `model.json`.
    """

    def __init__(
        self, folder: Path, family: str, serving: Mapping[str, Any], code: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder / "model"
        package = _copy_sources(folder / "code", family)
        own = _write_own(folder / "own_code", code or {})
        (folder / "empty" / "model").mkdir(parents=True)
        (folder / "empty" / "model" / "model.json").write_text("{}")
        _save(
            path=str(self._folder),
            loader_module=f"{package.name}.load",
            data_path=str(folder / "empty" / "model"),
            code_paths=[str(package), *own],
            signature=signature(serving),
            input_example=example_frame(serving),
            pip_requirements=requirements(family),
        )
        archive = _zip(self._folder / "code" / package.name).relative_to(self._folder)
        self._files = {
            path.relative_to(self._folder): path.read_bytes()
            for path in sorted(self._folder.rglob("*"))
            if path.is_file() and path.name not in {"MLmodel", "model.json"}
        }
        self._description = _describe(self._folder / "MLmodel", archive)

    def write(self, folder: Path, run_id: str, created: float, description: Mapping[str, Any], weights: bytes) -> None:
        """Writes the model of a trial; `created` are Unix seconds. Equal arguments give equal bytes."""
        for place in sorted({(folder / name).parent for name in [*self._files, Path(DATA) / "model.json"]}):
            place.mkdir(parents=True, exist_ok=True)
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        fill_model(folder / DATA, description, weights)
        own = hashlib.sha256(f"{run_id}:{description['weights']}".encode()).hexdigest()[:32]
        stamps = {
            "run_id": f"'{run_id}'",  # quoted, because YAML takes 1e5 for a number
            "model_uuid": f"'{own}'",
            "utc_time_created": f"'{datetime.fromtimestamp(created, UTC).replace(tzinfo=None)}'",
            "model_size_bytes": str(len(weights)),
        }
        text = self._description
        for field, value in stamps.items():
            text = text.replace(_BLANKS[field], value)
        (folder / "MLmodel").write_text(text)


def _write_own(folder: Path, code: Mapping[str, str]) -> list[str]:
    for place, text in code.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [str(folder)] if code else []


def _save(**model: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own use of pandas
        try:
            mlflow.pyfunc.save_model(**model)
        except MlflowException as error:
            raise TrackingError(
                f"MLflow refuses the model of this data ({str(error).splitlines()[0][:300]}); "
                "set tracking.models: none, then `tracker sync`"
            ) from error


def _zip(package: Path) -> Path:
    """The loader as one file, from which Python imports as from a folder: to a server, each file of each model is a request.

    Stored, not compressed, and without times, so that equal loaders give equal bytes.
    """
    archive = package.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(package.iterdir()):
            file.writestr(zipfile.ZipInfo(f"{package.name}/{path.name}"), path.read_bytes())
    shutil.rmtree(package)
    return archive


def _describe(path: Path, archive: Path) -> str:
    """The MLmodel file with its loader's place, and a mark where each trial has something of its own.

    Writing YAML anew costs a millisecond, so a trial fills in the marks.
    """
    model = Model.load(str(path))
    model.artifact_path = "model"
    model.flavors["python_function"]["code"] = archive.as_posix()  # what MLflow puts on the path of modules
    for name, blank in _BLANKS.items():
        setattr(model, name, blank)
    model.save(str(path))
    return path.read_text()


def signature(serving: Mapping[str, Any]) -> ModelSignature:
    """Raw columns in, all of which must be there; label and one probability per class out.

    MLflow refuses int64 where `double` is declared, and a column of whole numbers is int64 or float64 depending on gaps:
    only columns that show fractions are declared `double`, and none in which words may stand for gaps or numbers are written
    with signs: pandas reads such cells as texts. A category may be a text, a number, a truth value or pandas'
    own type, and a column of gaps is float64, none of which MLflow takes for `string`: the loader reads and checks them.
    """
    rows = serving.get("example") or []
    written = {entry["name"] for entry in serving["preprocessing"]["columns"] if WRITTEN & entry.keys()}
    inputs = [
        ColSpec(
            AnyType() if column["name"] in written else _input_type(column, [row.get(column["name"]) for row in rows]),
            column["name"],
        )
        for column in serving["columns"]
    ]
    outputs = [ColSpec("float", f"probability_{label}") for label in serving["labels"]]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("string", "label"), *outputs]))


def example_frame(serving: Mapping[str, Any]) -> pd.DataFrame | None:
    """The raw rows that users see as input example, those without gaps if there are any."""
    rows = serving.get("example") or []
    names = [column["name"] for column in serving["columns"]]
    whole = [row for row in rows if all(not _is_gap(row.get(name)) for name in names)]
    if not rows:
        return None
    values = [[None if _is_gap(row.get(name)) else row[name] for name in names] for row in (whole or rows)]
    return pd.DataFrame(values, columns=names) if whole else pd.DataFrame(values, columns=names, dtype=object)


def requirements(family: str) -> list[str]:
    """Exact versions of what opens a model of the family, without the local part (`+cpu`) that no index knows."""
    names = (*REQUIREMENTS, *FAMILIES[family].packages)
    return [f"{name}=={metadata.version(name).split('+')[0]}" for name in names]


def _input_type(column: Mapping[str, Any], cells: list[Any]) -> Any:
    present = [cell for cell in cells if not _is_gap(cell)]
    if column["kind"] == "numeric" and any(isinstance(cell, float) and not cell.is_integer() for cell in present):
        return "double"
    return AnyType()


def _is_gap(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _copy_sources(folder: Path, family: str) -> Path:
    """The loader as a package whose name tells its content, so that models of two releases open in one process.

    Only what opens a model of the family goes along.
    """
    origin = Path(tracker.standalone.__file__).parent
    names = sorted(f"{name}.py" for name in _needed(origin, ["__init__", "load", family]))
    contents = {name: (origin / name).read_bytes() for name in names}
    content_digest = hashlib.sha256(b"\0".join(contents[name] for name in names)).hexdigest()
    package = folder / f"tracker_model_{content_digest[:12]}"
    package.mkdir(parents=True)
    for name, content in contents.items():
        (package / name).write_bytes(content)
    return package


def _needed(origin: Path, modules: list[str]) -> set[str]:
    """Modules with those that they import as they are loaded."""
    found: set[str] = set()
    while modules:
        module = modules.pop()
        if module not in found:
            found.add(module)
            modules += re.findall(r"^from \.(\w+) import", (origin / f"{module}.py").read_text(), re.MULTILINE)
    return found
