"""Tables that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tracker.config import Data, Preprocessing, Split
from tracker.datasets.prepare import prepare
from tracker.datasets.split import SplitReport, split


def make_table(rows: int = 240, seed: int = 1) -> pd.DataFrame:
    """Numbers, truth values, categories, gaps and a text target; every row has its own id."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, rows).round(3)
    income = np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(3, 1, rows).round(2))
    city = rng.choice(["Bern", "Ulm", "Łódź", "NA"], rows)
    return pd.DataFrame(
        {
            "customer": [f"c{number:05d}" for number in range(rows)],
            "age": age,
            "income": income,
            "city": np.where(rng.random(rows) < 0.05, "", city),
            "member": rng.choice(["true", "false"], rows),
            "churn": np.where(age + rng.normal(0, 8, rows) > 42, "yes", "no"),
        }
    )


class Place:
    """A project folder in which tables are prepared and split as the stages do it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prepared = root / "data" / "prepared"
        self.splits = root / "data" / "splits"
        self.sealed = root / "data" / "sealed"
        self.salts = root / "data" / "salts.json"

    def write(self, frame: pd.DataFrame, name: str = "table.csv") -> str:
        """Writes a table and returns its name as a source."""
        path = self.root / name
        frame.to_csv(path, index=False) if name.endswith(".csv") else frame.to_parquet(path, index=False)
        return name

    def split(self, frame: pd.DataFrame, settings: Split | None = None, seed: int = 7, **data: object) -> SplitReport:
        """Prepares and splits a table whose target is `churn`."""
        values = {"source": self.write(frame), "target": "churn", **data}
        prepare(Data.model_validate(values), Preprocessing(), self.root, self.prepared)
        return split(settings or Split(), seed, self.prepared, self.splits, self.sealed, self.salts)

    def files(self) -> dict[str, bytes]:
        """The bytes of every file of the splits."""
        folders = (self.splits, self.sealed)
        return {str(path.relative_to(self.root)): path.read_bytes() for folder in folders for path in folder.iterdir()}

    def tables(self) -> dict[str, bytes]:
        """The bytes of the tables of all splits, without what stands beside them."""
        return {name: content for name, content in self.files().items() if name.endswith(".parquet")}

    def where(self, column: str = "customer") -> dict[object, str]:
        """Which split each value of a column is in."""
        parts = {"train": self.splits, "validation": self.splits, "test": self.sealed}
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name, folder in parts.items()}
        return {value: name for name, frame in frames.items() for value in frame[column]}
