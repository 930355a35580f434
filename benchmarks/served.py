"""Predictions of raw rows, as people and programs hand them over, beside those that the trial recorded.

    python -m benchmarks.served FOLDER [NAME ...]

For each table (see `benchmarks/tables.py`) a small model is trained from what `tracker init` writes. Its validation rows are
then handed over in six ways: as `tracker.read_table` reads them, as pandas does, as JSON and CSV through the code of MLflow's
server, without a column, and with a category that was never seen. What comes back must be the recorded predictions, bit for
bit, or one line that says what is wrong. Labels that differ are counted, and the command then leaves with 1.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

import tracker
from benchmarks.tables import TABLES
from benchmarks.tables import tracker as run_tracker
from tracker.canonical import digest_arrays

STUDY = {"m": {"sampler": "manual", "configurations": [{}]}}
WAYS = ("read_table", "pandas", "json", "csv", "parquet", "no column", "unseen")


@dataclass(frozen=True)
class Served:
    """A trained model, opened as a folder and by MLflow, with the raw validation rows in the order of the record."""

    model: Any
    logged: Any
    recorded: str
    columns: list[dict[str, Any]]
    read: pd.DataFrame
    pandas: pd.DataFrame

    def matches(self, found: pd.DataFrame) -> bool:
        """Whether the probabilities are the recorded ones, bit for bit."""
        names = [f"probability_{label}" for label in self.model.labels]
        probabilities = np.ascontiguousarray(found[names].to_numpy(np.float32))
        return digest_arrays({"probabilities": probabilities}) == self.recorded


def main() -> None:
    """Prints a row per table and a count of each answer."""
    folder, *names = sys.argv[1:]
    print("table".ljust(18), *(way.ljust(11) for way in WAYS))
    told, answers = [], []
    for name in names or list(TABLES):
        with tempfile.TemporaryDirectory() as place:
            found = dict(answers_of(serve(name, Path(folder).resolve() / f"{name}.csv", Path(place))))
        answers += [answer.partition(":")[0] for answer in found.values()]
        told += [f"{name}, {way}: {answer}" for way, answer in found.items() if answer != "same"]
        print(name.ljust(18), *(found[way].partition(":")[0].ljust(11) for way in WAYS), flush=True)
    print(*told, sep="\n")
    print(", ".join(f"{answer} {answers.count(answer)}" for answer in sorted(set(answers))))
    raise SystemExit("differs" in answers or "unclear" in answers)


def serve(name: str, source: Path, root: Path) -> Served:
    """Trains a small model on a table, in an empty folder, and opens it both ways."""
    done = run_tracker(root, "init", str(source), *TABLES[name].words)
    assert not done.returncode, done.stderr
    written = yaml.safe_load((root / "params.yaml").read_text())
    written |= {"studies": STUDY, "training": {"epochs": 5}, "decision": {"threshold": "argmax"}}
    (root / "params.yaml").write_text(yaml.safe_dump(written))
    for stage in (["prepare"], ["split"], ["tune", "m"]):
        done = run_tracker(root, *stage)
        assert not done.returncode, done.stderr
    return open_project(root)


def open_project(root: Path) -> Served:
    """What a project with the tuned study `m` serves."""
    import mlflow.pyfunc

    here = Path.cwd()
    os.chdir(root)
    try:
        config = tracker.load_config()
        [logged] = root.glob("mlruns/*/*/artifacts/model")
        model = tracker.load_model("models/m")
        [trial] = (root / "models/m/trials.jsonl").read_text().splitlines()[1:]
        rows = tracker.read_table(config.data.source, config)
        places = places_of_validation(root, rows, config.data.target, model)
        read, seen = rows.iloc[places], as_pandas_reads(root / config.data.source, config, rows)
        return Served(
            model,
            mlflow.pyfunc.load_model(str(logged)),
            recorded_digest(json.loads(trial)),
            model.description["preprocessing"]["columns"],
            read.reset_index(drop=True),
            seen.iloc[places].reset_index(drop=True),
        )
    finally:
        os.chdir(here)


def recorded_digest(trial: Any) -> str:
    """The digest of the validation probabilities in a trial's record."""
    [outcome] = trial["outcomes"]
    return str(outcome["predictions"])


def places_of_validation(root: Path, rows: pd.DataFrame, target: str, model: Any) -> list[int]:
    """Where each row of `data/splits/validation.parquet` stands in the raw table; equal rows are interchangeable."""
    names = [column["name"] for column in model.description["preprocessing"]["columns"]]
    prepared = pd.read_parquet(root / "data/prepared/table.parquet")
    labelled = np.flatnonzero(rows[target].notna())
    assert len(labelled) == len(prepared)
    first: dict[Any, int] = {}
    for place, key in zip(labelled, keys(prepared[names]), strict=True):
        first.setdefault(key, int(place))
    return [first[key] for key in keys(pd.read_parquet(root / "data/splits/validation.parquet")[names])]


def keys(frame: pd.DataFrame) -> list[Any]:
    """Cells as comparable texts; a whole number is written alike with and without gaps in its column."""
    numbers = frame.select_dtypes("number").columns
    plain = frame.astype(dict.fromkeys(numbers, "float64")).astype("object")
    return list(map(tuple, plain.where(frame.notna(), None).astype(str).to_numpy()))


def as_pandas_reads(path: Path, config: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """The raw file by pandas alone: only what tells columns apart is said to it."""
    if path.suffix != ".csv":
        return pd.read_parquet(path)
    separator = "\t" if config.data.separator == "tab" else config.data.separator
    header = {"header": None, "names": list(rows.columns)} if config.data.header == "none" else {}
    return pd.read_csv(path, sep=separator, **header)


def answers_of(served: Served) -> Iterator[tuple[str, str]]:
    """Each way and what came of it: same, refused, warned, differs or unclear, with the line behind a colon."""
    raw, columns = served.pandas, served.columns
    yield "read_table", judged(served, lambda: [served.model.predict(served.read), served.logged.predict(served.read)])
    yield "pandas", judged(served, lambda: [served.model.predict(raw), served.logged.predict(raw)])
    records = {"dataframe_records": json.loads(raw.to_json(orient="records", double_precision=15))}
    by_column = {"dataframe_split": json.loads(raw.to_json(orient="split", double_precision=15))}
    bodies = [json.dumps(body) for body in (records, by_column)]
    yield "json", judged(served, lambda: [posted(served, body, "application/json") for body in bodies])
    yield "csv", judged(served, lambda: [posted(served, raw.to_csv(index=False), "text/csv")])
    parquet = raw.to_parquet(index=False)
    yield "parquet", judged(served, lambda: [posted(served, parquet, "application/vnd.apache.parquet")])
    last = columns[-1]["name"]
    yield "no column", judged(served, lambda: [served.model.predict(raw.drop(columns=last))])
    if last not in judged(served, lambda: [served.logged.predict(raw.drop(columns=last))]):
        yield "no column", f"unclear: MLflow does not name {last!r}"  # it shows the rows too, on many lines
    texts = [column["name"] for column in columns if column["kind"] == "categorical"]
    strange = raw.assign(**{(texts or [columns[0]["name"]])[0]: "never seen"})
    yield "unseen", judged(served, lambda: [served.model.predict(strange)], alike=False)


def posted(served: Served, body: Any, kind: str) -> pd.DataFrame:
    """What MLflow's scoring server answers to a request, by its own code without a socket."""
    from mlflow.pyfunc.scoring_server import invocations

    answer = invocations(body, kind, served.logged, served.logged.metadata.get_input_schema())
    assert answer.status == 200, answer.response
    return pd.DataFrame(json.loads(answer.response)["predictions"])


def judged(served: Served, predict: Callable[[], list[pd.DataFrame]], *, alike: bool = True) -> str:
    """One word about an answer, with its text where it is not the recorded prediction."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message="column ", category=UserWarning)
        try:
            found = predict()
        except Exception as error:
            line = str(error)
            return f"{'unclear' if chr(10) in line.strip() else 'refused'}: {line}"
    if caught:
        return f"warned: {caught[0].message}"
    if all(map(served.matches, found)):
        return "same"
    return "differs: other probabilities, and not a word" if alike else "unclear: no word about what was never seen"


if __name__ == "__main__":
    main()
