"""A registered model's weights are fetched by alias or version; what is not there is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.errors import ConfigError, NotFoundError, TrackerError
from tracker.tracking.fetch_model import fetch_model

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own


@pytest.fixture
def registry(uri: str, tmp_path: Path) -> str:
    """A registry in which `low` has one version of ours, its champion, and `other` one without weights of ours."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    for name, files in (("low", {"weights.safetensors": b"weights", "model.json": b"{}"}), ("other", {"x.bin": b"x"})):
        folder = tmp_path / name / "data" / "model"
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        client.create_registered_model(name)
        version = client.create_model_version(name, str(tmp_path / name))
        client.set_registered_model_alias(name, "champion", version.version)
    return uri


def test_weights_are_fetched_by_alias_and_by_version(registry: str, tmp_path: Path) -> None:
    """Both files of the version arrive as they are in the registry."""
    for place, address in enumerate(("models:/low@champion", "models:/low/1")):
        folder = tmp_path / f"fetched-{place}"
        folder.mkdir()
        fetch_model(registry, address, folder)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
            "weights.safetensors": b"weights",
            "model.json": b"{}",
        }


@pytest.mark.parametrize(
    ("address", "kind", "told"),
    [
        ("models:/low", ConfigError, "expected models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/low@nobody", NotFoundError, "MLflow has no models:/low@nobody"),
        ("models:/absent/1", NotFoundError, "MLflow has no models:/absent/1"),
        ("models:/other@champion", NotFoundError, "holds no data/model/weights.safetensors"),
    ],
)
def test_what_is_not_there_is_told(
    registry: str, tmp_path: Path, address: str, kind: type[TrackerError], told: str
) -> None:
    """A name, alias or version that MLflow does not have, or a model of another program: nothing is written."""
    with pytest.raises(kind, match=told):
        fetch_model(registry, address, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
