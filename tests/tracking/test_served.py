"""A served model beside the record: raw rows as tables, pandas and MLflow's server hand them over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.studies.project import SmallProject
from tests.studies.project import make_table as small_table

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MLflow's own
PARAMS = """
seed: 7
data: {source: table.csv, target: kind, id: who, gaps: {a: ["?"]}}
training: {epochs: 2}
studies: {m: {sampler: manual, configurations: [{}]}}
"""


def make_table() -> pd.DataFrame:
    """Fractions with a word for gaps, codes with leading zeros, whole numbers, truth values, and a category `NA`."""
    table, rng = small_table(), np.random.default_rng(3)
    words = table["a"].map(repr).where(rng.random(len(table)) > 0.1, "?")
    codes = rng.choice(["00123", "00456", "99000"], len(table))
    return table.assign(
        a=words, zip=codes, whole=rng.integers(0, 9, len(table)), member=rng.random(len(table)) > 0.5,
        side=rng.choice(["NA", "left", "right"], len(table)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `benchmarks/served.py` says of each way in which rows are handed over."""
    import tracker
    from benchmarks.served import Served, answers_of, as_pandas_reads, places_of_validation, recorded_digest
    from tracker.store.model_folder import describe_model
    from tracker.tracking.mlflow_model import ModelTemplate, mlflow  # whose warnings it keeps in while it is imported

    root: Path = tmp_path_factory.mktemp("served")
    project = SmallProject.made(root, make_table(), PARAMS)
    result = project.run(project.plan("m"))
    project.report(result)
    [trial] = result.trials
    serving = project.serving()
    weights = (root / "models/m/weights.safetensors").read_bytes()
    description = describe_model(trial.spec, trial.outcome, serving)
    ModelTemplate(root / "made", "mlp", serving).write(root / "logged", "run", 0.0, description, weights)
    model = tracker.load_model(root / "models/m")
    rows = tracker.read_table(root / "table.csv", project.config)
    places = places_of_validation(root, rows, "kind", model)
    [line] = (root / "models/m/trials.jsonl").read_text().splitlines()[1:]
    read, seen = rows.iloc[places], as_pandas_reads(root / "table.csv", project.config, rows).iloc[places]
    return dict(
        answers_of(
            Served(
                model,
                mlflow.pyfunc.load_model(str(root / "logged")),
                recorded_digest(json.loads(line)),
                model.description["preprocessing"]["columns"],
                read.reset_index(drop=True),
                seen.reset_index(drop=True),
            )
        )
    )


def test_rows_read_as_training_read_them_get_the_recorded_predictions(answers: dict[str, str]) -> None:
    """With `tracker.read_table`, the folder and MLflow's model give the recorded probabilities bit for bit."""
    assert "same" == answers["read_table"]


@pytest.mark.parametrize("way", ["pandas", "json", "parquet"])
def test_rows_as_others_read_them_are_told_where_they_differ(answers: dict[str, str], way: str) -> None:
    """pandas makes a gap of the category `NA`: the one column is named; codes, words for gaps and numbers are as they were."""
    assert answers[way].startswith("warned: column 'side': cells are gaps, but 'NA' is a category, no gap;")


def test_what_cannot_be_predicted_is_one_line(answers: dict[str, str]) -> None:
    """A missing column is named, a category that was never seen is warned of, and MLflow's CSV reader refuses in a line."""
    assert "refused: missing columns: 'side'" == answers["no column"]
    assert answers["unseen"].startswith("warned: column 'city': no cell is a category that the model was trained on")
    assert answers["csv"].startswith("refused: Failed to parse input as a Pandas DataFrame.")
