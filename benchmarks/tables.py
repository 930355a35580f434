"""Public tables end to end, from `tracker init` to the look, beside scikit-learn's classifiers on the same rows.

    python benchmarks/tables.py FOLDER [NAME ...]

FOLDER holds the CSV files that TABLES names, as they are found in public collections; they are no part of this project. Of
each table it prints the words of `tracker init`, what had to be edited, the F1 on the test rows with its 95 % interval, and
that of four classifiers which were fitted on train and validation rows together, with scikit-learn's own defaults. Behind
each of these stands whether ours is better (`<`) or worse (`>`) than it on the same rows, by the rule of `tracker compare A B`
with 95 %, or neither (`~`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tracker.api import Project, load_model
from tracker.evaluation.paired import BETTER, UNKNOWN, WORSE, Question, compare_pair
from tracker.paths import Paths

SEED = 2026
SIGNS = {BETTER: "<", WORSE: ">", UNKNOWN: "~"}


@dataclass(frozen=True)
class Table:
    """A public table: the words of `tracker init` after its name, and lines that params.yaml had to get besides."""

    words: Sequence[str]
    edits: Mapping[str, str] | None = None  # text of params.yaml to its replacement


TABLES = {
    "german": Table(["--target", "c21"]),
    "horse-colic": Table(["--target", "c24"]),
    "breast-cancer": Table(["--target", "c10"]),
    "mammography": Table(["--target", "c7"]),
    "sonar": Table(["--target", "c61"]),
    "glass": Table(["--target", "c10"]),
    "titanic": Table(["--target", "survived", "--drop", "alive"]),
    "winequality-white": Table(["--target", "c12"]),
    "LetterRecognition": Table(["--target", "lettr"]),
    "car": Table(["--target", "class"]),
    "mushrooms": Table(["--target", "poisonous"]),
    "penguins_raw": Table(["--target", "Species", "--id", "rownames"]),
}
CLASSIFIERS = {
    "logistic": lambda: LogisticRegression(max_iter=2000),
    "balanced": lambda: LogisticRegression(max_iter=2000, class_weight="balanced"),
    "boosted": lambda: HistGradientBoostingClassifier(random_state=SEED),
    "network": lambda: MLPClassifier(random_state=SEED),
}


def main() -> None:
    """Prints a row per table."""
    folder, *names = sys.argv[1:]
    print(
        f"{'table':18} {'rows':>6} {'minutes':>7} {'ours':>7} {'95 %':>15}  "
        + "  ".join(f"{name:>8}" for name in CLASSIFIERS)
    )
    for name in names or TABLES:
        with tempfile.TemporaryDirectory() as place:
            print(row(name, Path(folder).resolve() / f"{name}.csv", Path(place)), flush=True)


def row(name: str, source: Path, root: Path) -> str:
    """Runs one table in an empty folder."""
    begun = time.perf_counter()
    table = TABLES[name]
    done = tracker(root, "init", str(source), *table.words)
    if done.returncode:
        return f"{name:18} tracker init: {done.stderr.strip()}"
    params = root / "params.yaml"
    for old, new in (table.edits or {}).items():
        assert old in params.read_text(), f"{name}: {old!r} is not in params.yaml"
        params.write_text(params.read_text().replace(old, new))
    done = tracker(root, "run")
    minutes = (time.perf_counter() - begun) / 60
    final_path = root / "reports/final.json"
    if done.returncode or not final_path.is_file():
        return f"{name:18} tracker run: {(done.stderr or done.stdout).strip()[-600:]}"
    final = json.loads(final_path.read_text())
    scores, marks = {}, {}
    for other, found, mark in baselines(root):
        scores[other], marks[other] = found, mark
    test = final["test"]
    low, high = test["intervals"]["f1"]
    said = "  ".join(f"{marks[one]}{scores[one]:7.3f}" for one in CLASSIFIERS)
    return f"{name:18} {rows_of(root):>6} {minutes:7.1f} {test['f1']:7.3f} {f'{low:.3f} to {high:.3f}':>15}  {said}"


def tracker(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracker.cli", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def rows_of(root: Path) -> int:
    return len(pd.read_parquet(root / "data/prepared/table.parquet"))


def baselines(root: Path) -> Iterator[tuple[str, float, str]]:
    """F1 on the test rows of classifiers fitted on all other rows: of the positive class, or the mean over classes.

    With it how ours compares on these rows.
    """
    schema = json.loads((root / "data/prepared/schema.json").read_text())
    features, target = features_of(schema), schema["target"]
    fitted_on = pd.concat(pd.read_parquet(root / f"data/splits/{name}.parquet") for name in ("train", "validation"))
    test = pd.read_parquet(root / "data/sealed/test.parquet")
    numeric = [name for name in features if pd.api.types.is_numeric_dtype(fitted_on[name])]
    texts = [name for name in features if name not in numeric]
    project = Project.now(Paths.of(root, {}))
    ours = load_model("final", project=project).predict(test[features])["label"]
    for name, make in CLASSIFIERS.items():
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            (
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
                ),
                texts,
            ),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = make_pipeline(columns, make()).fit(fitted_on[features], fitted_on[target].astype(str))
            said = model.predict(test[features])
        truth, positive = test[target].astype(str), schema.get("positive")
        yield name, score(truth, said, positive), compared(truth, ours, said, positive)


def compared(truth: pd.Series, ours: pd.Series, theirs: Any, positive: str | None) -> str:
    """A sign of SIGNS: ours against theirs."""
    labels = sorted(set(truth))
    number = {label: place for place, label in enumerate([*labels, *sorted({*ours, *theirs} - set(labels))])}
    codes = [np.array([number[label] for label in called], np.int64) for called in (truth, ours, theirs)]
    question = Question("f1", len(number), None if positive is None else number[positive])
    answer = compare_pair(question, codes[0], codes[1][None], codes[2][None])
    return SIGNS[answer.verdict] if answer else "?"


def score(truth: pd.Series, said: Any, positive: str | None) -> float:
    if positive is None:
        return float(f1_score(truth, said, average="macro", labels=sorted(set(truth)), zero_division=0))
    return float(f1_score(truth, said, pos_label=positive, zero_division=0))


def features_of(schema: Mapping[str, Any]) -> list[str]:
    return [column["name"] for column in schema["columns"] if column["role"] == "feature"]


if __name__ == "__main__":
    main()
