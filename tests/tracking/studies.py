"""Small studies with real weights, as a runner would store them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from tracker.hyperparameters import active
from tracker.records import Proposal, StudySpec, Timing, TrialOutcome, TrialSpec
from tracker.store.store import Store
from tracker.store.stored import Finished

DATA = {
    "train": "a" * 64,
    "validation": "b" * 64,
    "schema": "c" * 64,
    "preprocessing": {
        "numeric": {"impute": "median", "scale": "standard", "indicator": False},
        "categorical": {"impute": "most_frequent", "encode": "onehot"},
    },
}
TRAINING = {
    "epochs": 3,
    "early_stopping": None,
    "device": "cpu",
    "numerics": "native",
    "metrics": [],
    "threshold": "argmax",
    "hypergradients": [],
    "own_metrics": {},
    "robustness": None,
    "costs": [],
}
ENVIRONMENT = "e" * 64
PROVENANCE = {"user": "ada", "source": "pipelines/tune.py", "commit": "f" * 40, "dirty": False, "host": "here"}
EXPERIMENT = "breast-cancer"
STARTED = 1_700_000_000.0
SERVING: dict[str, Any] = {
    "labels": ["benign", "malignant"],
    "positive": "malignant",
    "columns": [
        {"name": "radius", "kind": "numeric"},
        {"name": "count", "kind": "numeric"},
        {"name": "site", "kind": "categorical"},
    ],
    "preprocessing": {
        "format": 1,
        "columns": [
            {"name": "radius", "kind": "numeric", "fill": 14.0, "center": 14.25, "scale": 3.5},
            {"name": "count", "kind": "numeric", "fill": 2.0, "center": 0.0, "scale": 1.0},
            {"name": "site", "kind": "categorical", "fill": "left", "categories": ["left", "right"]},
        ],
        "features": ["radius", "count", "site=left", "site=right"],
    },
    "example": [
        {"radius": 17.99, "count": 3, "site": "left"},
        {"radius": None, "count": 2, "site": None},
        {"radius": 11.5, "count": 7, "site": "right"},
    ],
}


def study_spec(name: str = "tpe", **changes: Any) -> StudySpec:
    """A study over the learning rate."""
    fields: dict[str, Any] = {
        "name": name,
        "family": "mlp",
        "sampler": {"name": "tpe"},
        "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}},
        "fixed": {"hidden_layers": 1, "units": 8},
        "training": TRAINING,
        "objective": {"metric": "val_f1", "direction": "maximize"},
        "generation": 4,
        "seed": 2026,
        "data": DATA,
        "environment": ENVIRONMENT,
        "numerics": 2,
        "versions": {"optuna": "5.0.0"},
    }
    return StudySpec(**(fields | changes))


def proposal(number: int, study: str = "tpe", **params: Any) -> Proposal:
    """One planned trial; its seed differs by study and number, as real ones do."""
    rate = 0.001 * (number + 1)
    seed = int(hashlib.sha256(f"{study}/{number}".encode()).hexdigest()[:8], 16)
    values = {"hidden_layers": 1, "units": 8, "dropout": 0.1}
    spec = TrialSpec(
        family="mlp",
        params={**active("mlp", {**values, "learning_rate": rate}), **params},
        training=TRAINING,
        seed=seed,
        data=DATA,
        environment=ENVIRONMENT,
        numerics=2,
    )
    return Proposal(number, number // 4, {"learning_rate": rate}, (spec,))


def weights(seed: int) -> bytes:
    """A weights file of a network with four features, eight units and two classes."""
    draw = np.random.default_rng(seed)
    shapes = {"hidden_0.weight": (8, 4), "hidden_0.bias": (8,), "output.weight": (2, 8), "output.bias": (2,)}
    return save({name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})


def finished(planned: Proposal, epochs: int = 3, **changes: Any) -> Finished:
    """The end of a trial: its curve, kept epoch 2, true times one second apart."""
    content = weights(planned.number)
    history = tuple(_epoch(planned.number, epoch) for epoch in range(1, epochs + 1))
    kept = {name: value for name, value in history[1].items() if name not in {"epoch", "confusion_matrix"}}
    fields: dict[str, Any] = {
        "key": planned.spec.key,
        "state": "complete",
        "epochs": epochs,
        "best_epoch": 2,
        "metrics": kept,
        "history": history,
        "weights": hashlib.sha256(content).hexdigest(),
        "predictions": "9" * 64,
        "reason": None,
    } | changes
    start = STARTED + 100 * planned.number
    timing = Timing(start, start + epochs + 0.5, tuple(start + epoch for epoch in range(1, epochs + 1)))
    return Finished(planned.spec, TrialOutcome(**fields), timing, content if fields["weights"] else None, PROVENANCE)


def failed(planned: Proposal) -> Finished:
    """The end of a trial that diverged in its first epoch."""
    return finished(
        planned, 2, state="failed", best_epoch=None, metrics={}, history=(), weights=None, predictions=None,
        reason="loss became nan in epoch 1",
    )  # fmt: skip


def _epoch(number: int, epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_loss": 1.0 / epoch + number / 7,
        "val_loss": 1.1 / epoch + number / 7,
        "val_accuracy": 0.9 + epoch / 100,
        "val_precision": None if epoch == 1 else 0.8,
        "val_recall": 0.1 * epoch,
        "val_f1": (number % 10) / 10 + epoch / 100,
        "confusion_matrix": [[5, 1], [2, 4]],
    }


def begin(folder: Path, name: str = "tpe") -> tuple[Store, str]:
    """A new store with one study and what its models need."""
    store = Store.open(folder, lambda: STARTED)
    key = store.put_study(study_spec(name), PROVENANCE)
    store.put_serving(DATA, SERVING)
    return store, key


def run_trials(store: Store, key: str, numbers: Iterable[int], name: str = "tpe") -> list[Proposal]:
    """Proposes trials and stores their ends."""
    planned = [proposal(number, name) for number in numbers]
    store.put_proposals(key, planned)
    settle(store, key, planned)
    return planned


def settle(store: Store, key: str, planned: Iterable[Proposal], **changes: Any) -> None:
    """Stores the ends of trials."""
    ends = [(one.number, finished(one, **changes)) for one in planned]
    store.put_outcomes(key, [end for _, end in ends], [number for number, _ in ends])


def end_study(store: Store, key: str, trials: int, best: int = 9) -> None:
    """Stores the summary of a study."""
    store.finish_study(key, {"best_trial": best, "best_value": 0.92, "trials": trials})
