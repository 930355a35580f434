"""Empty MLflow databases, made once, because MLflow takes a second for each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tracker.tracking.mlflow_settings import settle

settle(os.environ)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs."""
    from tracker.tracking.mlflow_recorder import MlflowRecorder

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowRecorder(f"sqlite:///{folder / 'mlflow.db'}", "unused").connect()
    return folder / "mlflow.db"


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    """The address of an empty MLflow database of the test's own."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
