"""Collects what the scored result rests on: specs, records, the model, looks, predictions, reports, the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tracker.bundling.archive import NAME, write_archive
from tracker.bundling.made_up import make_rows
from tracker.canonical import canonical_json, digest_bytes
from tracker.deriving.compare_models import describe_again
from tracker.deriving.find_trial import Recorded, recorded_key
from tracker.deriving.judge_final import scored_row
from tracker.errors import NotFoundError, StoreError
from tracker.evaluation.chosen_model import ChosenModel, load_chosen
from tracker.evaluation.compare import predict_again
from tracker.evaluation.confirm import MODEL
from tracker.evaluation.files import read_report
from tracker.evaluation.final import was_scored
from tracker.execution.executor import one_thread
from tracker.fields import final_report
from tracker.loading import loading
from tracker.paths import Paths
from tracker.remedies import run_again
from tracker.store.model_folder import model_key, write_model
from tracker.store.store import Store

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
HEAD, ENVIRONMENT, PREDICTIONS, MADE_UP, LABELS = (
    "bundle.json", "environment.json", "predictions.safetensors", "made_up_rows.json", "test_labels.json",
)  # fmt: skip
MODEL_FOLDER = "model"
# What there is of these goes along, as it lies there; of a model's folder only the records.
TAKEN = (
    "params.yaml", "dvc.yaml", "data/salts.json", "data/prepared/schema.json", "data/splits/*.json", "data/sealed/*.json",
    "reports/*.json", "reports/index.*", "reports/*.csv", "reports/studies/*.json", "reports/curves/*.csv",
    "reports/confirm/*/trials.jsonl", "models/*/trials.jsonl",
)  # fmt: skip
# Of what was recorded beside the trial: what it was computed with. No user, host, folder or command line.
ABOUT = (
    "environment", "libraries", "python", "python_build", "packages", "platform", "system", "libc", "cpu", "cpu_flags",
    "commit", "dirty", "diff", "package", "sources",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundled:
    """What was written where: the trial, the size, how many files, and whether labels of test rows are among them."""

    path: Path
    name: str
    size: int
    files: int
    labels: bool


def write_bundle(paths: Paths, out: Path, *, labels: bool = False, trust: str | None = None) -> Bundled:
    """Writes the bundle of the result in `reports/final.json`; the test rows were looked at before, no look is taken.

    No row of the table is in it. The class probabilities of the test rows are, their labels only with `labels`. Raises
    NotFoundError where nothing was scored or the scored model is gone, and as `load_chosen`.
    """
    final = read_report(paths.reports / "final.json", run_again(paths.root), final_report)
    if not was_scored(final):
        raise NotFoundError(f"{paths.reports / 'final.json'}: nothing was scored: {final['because']}")
    name = f"{final['study']}/{final['trial']}"
    recorded = recorded_key(paths, str(final["key"]), name)
    with loading(), _model_folder(paths, recorded) as folder:
        model = load_chosen(folder, scored_row(recorded, final), paths, trust)
        files = {f"{MODEL_FOLDER}/{path.name}": path.read_bytes() for path in _model_files(folder)}
        truth, on_test = predict_again(paths, scored_row(recorded, final), model, str(final["test_digest"]))
        files |= _predictions(model, on_test)
    files |= {name: (paths.root / name).read_bytes() for name in _taken(paths.root)}
    files |= {
        f"reports/looks/{path.relative_to(paths.looks)}": path.read_bytes() for path in paths.looks.rglob("*.json")
    }
    files[ENVIRONMENT] = _json({name: recorded.provenance[name] for name in ABOUT if name in recorded.provenance})
    files |= {LABELS: _json(list(truth))} if labels else {}
    size = write_archive(out, files | {HEAD: _json(_head(recorded, final, files))})
    return Bundled(out, name, size, len(files) + 1, labels)


def _head(recorded: Recorded, final: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What the bundle is of, and the size and SHA-256 of every other file in it."""
    listed = {name: {"bytes": len(files[name]), "sha256": digest_bytes(files[name])} for name in sorted(files)}
    return {
        "format": FORMAT,
        "release": version("repro-tracker"),
        **{name: final[name] for name in ("study", "trial", "key", "test_digest", "test_rows")},
        "environment": recorded.spec.environment,
        "code": dict(recorded.spec.code),
        "files": listed,
    }


def _json(value: Any) -> bytes:
    return canonical_json(value) + b"\n"


def _taken(root: Path) -> Iterator[str]:
    for pattern in TAKEN:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if path.is_file() and NAME.fullmatch(name):
                yield name


def _model_files(folder: Path) -> list[Path]:
    return [folder / "model.json", folder / "weights.safetensors"]


@contextmanager
def _model_folder(paths: Paths, recorded: Recorded) -> Iterator[Path]:
    """The folder of the scored model: of the confirmation, of its study, or made again of the weights in the store."""
    key, study = recorded.outcome.key, recorded.name.partition("/")[0]
    for folder in (paths.confirmed / MODEL, paths.models / study):
        if model_key(folder) == key:
            yield folder
            return
    with TemporaryDirectory(prefix="tracker-") as scratch, Store.opened_if_there(paths.store) as store:
        digest = recorded.outcome.weights
        if store is None or digest is None or not store.has_weights(digest):
            raise NotFoundError(
                f"the model of {recorded.name}, which was scored, is neither in {paths.models} nor in {paths.store}; "
                f"{run_again(paths.root)}"
            )
        folder = Path(scratch) / MODEL
        write_model(folder, describe_again(recorded, paths), store.weights(digest))
        yield folder


def _predictions(model: ChosenModel, on_test: np.ndarray) -> dict[str, bytes]:
    """Class probabilities of the test rows and of made-up rows, and the made-up rows."""
    from safetensors.numpy import save

    rows = make_rows(model.loaded.description["preprocessing"])
    found = predicted(model.loaded, rows)
    return {MADE_UP: _json(rows), PREDICTIONS: save({"made_up": found, "test": on_test})}


def predicted(loaded: Any, rows: list[dict[str, Any]]) -> np.ndarray:
    """Class probabilities (rows, classes), float64, of a model for raw rows, on one thread. Raises StoreError."""
    import numpy as np
    import pandas as pd

    try:
        with one_thread():
            return np.ascontiguousarray(loaded.predict_proba(pd.DataFrame(rows)), dtype=np.float64)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise StoreError(f"the model cannot read rows made of its own preprocessing ({error})") from None
