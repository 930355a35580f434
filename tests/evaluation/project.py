"""A small project on disk for the tests here: a real table, prepared and split, with real models and study reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save

from tracker.canonical import canonical_json, digest, digest_bytes
from tracker.config import Compare, Data, Preprocessing, Split
from tracker.confusion import count_confusion
from tracker.datasets.prepare import prepare
from tracker.datasets.split import split
from tracker.datasets.training_data import load_training_data
from tracker.evaluation.compare import compare
from tracker.evaluation.ranking import Ranking
from tracker.metrics import scores
from tracker.paths import Paths

F1 = {"metric": "val_f1", "direction": "maximize"}


def trial(number: int, value: Any, *, state: str = "complete", loss: Any = 0.1, **entries: Any) -> dict[str, Any]:
    """A trial of a study report."""
    return {
        "number": number,
        "key": digest("key", [number, str(value), entries.get("study", "")]),
        "state": state,
        "params": {},
        "seed": 1,
        "value": value,
        "best_epoch": 1,
        "epochs": 1,
        "metrics": {"val_loss": loss, "val_accuracy": 0.5, "val_f1": value},
        "weights": None,
        "candidate": digest("candidate", [number, str(value)]),
    } | entries


def report(study: str, trials: Iterable[Mapping[str, Any]], objective: Mapping[str, str] = F1) -> dict[str, Any]:
    """A study report."""
    return {"study": study, "key": "k", "digest": "d", "sampler": "random", "objective": objective, "trials": [*trials]}


def write_study(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes `NAME.json` as the studies do."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{content['study']}.json").write_bytes(canonical_json(content) + b"\n")


@dataclass
class Project:
    """A project whose trials are linear models of rising penalty; trial 0 of each study is its best."""

    paths: Paths
    hour: int = 0

    def write_table(self, rows: int = 240, classes: int = 2, extra: int = 0) -> None:
        """Writes and splits a table; `extra` rows come behind the same first rows."""
        rng = np.random.default_rng(5)
        x = rng.normal(size=(rows + extra, 3))
        noisy = x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=rows + extra)
        names = np.array(["ham", "spam", "wurst"])
        y = names[np.digitize(noisy, [0.0] if classes == 2 else [-0.7, 0.7])]
        lines = [f"{i},{a!r},{b!r},{c!r},{name}" for i, ((a, b, c), name) in enumerate(zip(x.tolist(), y, strict=True))]
        (self.paths.root / "table.csv").write_text("\n".join(["who,a,b,c,kind", *lines]) + "\n")
        self.resplit()

    def resplit(self) -> None:
        """Prepares and splits the table as it lies there."""
        data = Data(source="table.csv", target="kind", id="who")
        prepare(data, Preprocessing(), self.paths.root, self.paths.prepared)
        split(Split(), 3, self.paths.prepared, self.paths.splits, self.paths.sealed, self.paths.salts)

    def tune(self, study: str, flavour: str = "", units: int = 0) -> None:
        """Writes a study of two trials and the model of its better one; another flavour is another candidate."""
        data = load_training_data(self.paths.splits, Preprocessing())
        tensors = fit_linear(data.x_train, data.y_train, len(data.labels), steps=40 + units)
        weights = save(tensors)
        logits = data.x_validation @ tensors["output.weight"].T + tensors["output.bias"]
        guess = logits.argmax(axis=1)
        positive = None if data.positive is None else data.labels.index(data.positive)
        found = scores(count_confusion(data.y_validation, guess, len(data.labels)), positive)
        metrics = {"val_loss": 0.3, **{f"val_{name}": value for name, value in found.items()}}
        params = {"hidden_layers": 0, "units": 64, "activation": "relu", "dropout": 0.0, "batch_norm": False}
        identity = [study, flavour, units, data.digests]
        best = trial(
            0,
            found["f1"] + (0.001 if flavour == "better" else 0.0),
            metrics=metrics,
            params={**params, "learning_rate": float(len(flavour))},
            weights=digest_bytes(weights),
            key=digest("key", identity),
            candidate=digest("candidate", identity),
        )
        write_study(self.paths.study_reports, report(study, [best, trial(1, 0.05, study=study)]))
        described = {
            "format": 2,
            "family": "mlp",
            "params": best["params"],
            "labels": list(data.labels),
            "positive": data.positive,
            "columns": [
                {"name": c["name"], "kind": c["kind"]} for c in data.schema["columns"] if c["role"] == "feature"
            ],
            "preprocessing": data.preprocessing,
            "key": best["key"],
            "weights": best["weights"],
        }
        folder = self.paths.models / study
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_bytes(canonical_json(described))
        (folder / "weights.safetensors").write_bytes(weights)

    def compare(self, looks: int = 1, studies: Iterable[str] | None = None) -> Ranking:
        """Compares with a clock that strikes once more each time."""
        self.hour += 1
        now = 1_800_000_000.0 + 3600 * self.hour
        return compare(self.paths, Compare(test_looks=looks), clock=lambda: now, user="ada", studies=studies)

    def correct_labels(self) -> None:
        """Corrects some labels in the test split, and splits again; train and validation stay as they are."""
        table = pd.read_csv(self.paths.root / "table.csv")
        sealed = pd.read_parquet(self.paths.sealed / "test.parquet")["who"].astype(int)
        wrong = table["who"].isin(sealed) & (table["kind"] == "ham") & (table["who"] % 2 == 0)
        table.loc[wrong, "kind"] = "spam"
        table.to_csv(self.paths.root / "table.csv", index=False)
        self.resplit()

    def final(self) -> dict[str, Any]:
        """What reports/final.json says."""
        content: dict[str, Any] = json.loads((self.paths.reports / "final.json").read_bytes())
        return content

    def looks(self) -> list[Path]:
        """The look files."""
        return sorted(self.paths.looks.glob("*.json"))


def fit_linear(x: np.ndarray, y: np.ndarray, classes: int, steps: int) -> dict[str, np.ndarray]:
    """Softmax regression by gradient descent, as the tensors of a network without hidden layers."""
    weight, bias = np.zeros((classes, x.shape[1])), np.zeros(classes)
    for _ in range(steps):
        odds = np.exp(x @ weight.T + bias)
        error = odds / odds.sum(axis=1, keepdims=True) - np.eye(classes)[y]
        weight -= 0.5 * error.T @ x / len(x)
        bias -= 0.5 * error.mean(axis=0)
    return {"output.weight": weight.astype(np.float32), "output.bias": bias.astype(np.float32)}
