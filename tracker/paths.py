"""Where everything lies, from the project's folder and the home that outlives a temporary DVC workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders and files of one project.

    `root` holds params.yaml, data/ and reports/. `home` holds what must survive `dvc exp run --temp`: the store, the looks,
    the salts and the default MLflow database.
    """

    root: Path
    home: Path

    @classmethod
    def of(cls, root: Path, environ: Mapping[str, str]) -> Paths:
        """The paths of the project at `root`; `home` is DVC_ROOT when DVC set it."""
        home = environ.get("DVC_ROOT")
        return cls(root.resolve(), Path(home).resolve() if home else root.resolve())

    @property
    def params(self) -> Path:
        """The configuration."""
        return self.root / "params.yaml"

    @property
    def prepared(self) -> Path:
        """The checked table."""
        return self.root / "data" / "prepared"

    @property
    def splits(self) -> Path:
        """Train and validation rows."""
        return self.root / "data" / "splits"

    @property
    def sealed(self) -> Path:
        """The test rows."""
        return self.root / "data" / "sealed"

    @property
    def salts(self) -> Path:
        """The salt of each split, to be committed."""
        return self.home / "data" / "salts.json"

    @property
    def models(self) -> Path:
        """Each study's best model and its trial records."""
        return self.root / "models"

    @property
    def reports(self) -> Path:
        """What people and DVC read."""
        return self.root / "reports"

    @property
    def pictures(self) -> Path:
        """Pictures of some training rows, which `tracker check` draws."""
        return self.reports / "rows"

    @property
    def study_reports(self) -> Path:
        """One report per study."""
        return self.reports / "studies"

    @property
    def confirmed(self) -> Path:
        """What confirms the choice: the records of its studies, and the model that is served."""
        return self.reports / "confirm"

    def records(self, study: str) -> Path:
        """The exact records of a study; those that confirm, which have a dot in their names, lie apart."""
        return (self.confirmed if "." in study else self.models) / study / "trials.jsonl"

    @property
    def looks(self) -> Path:
        """One file per look at the test split."""
        return self.home / "reports" / "looks"

    @property
    def retunes(self) -> Path:
        """A line per decision of `tracker retune`, to be committed."""
        return self.home / "reports" / "retunes.jsonl"

    @property
    def profiles(self) -> Path:
        """What the table was like that was tuned on last, to be committed."""
        return self.home / "reports" / "retune"

    @property
    def warm_start(self) -> Path:
        """The configurations that studies try first, which `tracker retune` puts there."""
        return self.root / "warm_start.yaml"

    @property
    def store(self) -> Path:
        """The durable store."""
        return self.home / ".tracker"

    def tracking_uri(self, environ: Mapping[str, str]) -> str:
        """Where MLflow records go: MLFLOW_TRACKING_URI, else a SQLite file at home."""
        return environ.get("MLFLOW_TRACKING_URI") or sqlite_address(self.home / "mlflow.db")


def sqlite_address(path: Path) -> str:
    """The address of a SQLite file; what has a meaning in an address is quoted, so that any folder's name will do."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def project_paths() -> Paths:
    """The paths of the project in the current folder, read from the world; for `cli` and `pipelines`."""
    return Paths.of(Path.cwd(), os.environ)
