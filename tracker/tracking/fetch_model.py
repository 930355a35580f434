"""Fetches a registered model's weights and description from MLflow into a folder; MLflow's errors end here."""

from __future__ import annotations

import re
from pathlib import Path

from tracker.errors import ConfigError, NotFoundError, TrackingError
from tracker.tracking.addresses import refuse_local_artifacts, shown_address
from tracker.tracking.mlflow_database import beside, database_path
from tracker.tracking.recorder import MOST_RECORD
from tracker.tracking.verdicts import open_client, translated

ADDRESS = re.compile(r"models:/([^/@]+)(?:@([^/@]+)|/([0-9]+))")
MOST_WEIGHTS = 2 * 1024**3
DATA, WEIGHTS = "data/model", "weights.safetensors"
FILES = {WEIGHTS: MOST_WEIGHTS, "model.json": MOST_RECORD}


def fetch_model(tracking_uri: str, address: str, folder: Path) -> None:
    """Writes `weights.safetensors` and `model.json` of `models:/NAME@ALIAS` or `models:/NAME/VERSION` into a folder.

    Raises ConfigError where the address is none, NotFoundError where there is no such model, TrackingError.
    """
    if (found := ADDRESS.fullmatch(address)) is None:
        raise ConfigError(f"{address}: expected models:/NAME@ALIAS or models:/NAME/VERSION")
    name, alias, number = found.groups()
    client = open_client(tracking_uri)
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from tracker.tracking.download import download

    with translated(tracking_uri, f"fetch {address}"):
        try:
            version = client.get_model_version_by_alias(name, alias).version if alias else number
            place = client.get_model_version_download_uri(name, version)
        except MlflowException as error:
            told = str(error).splitlines()[0][:200]
            raise NotFoundError(f"MLflow has no {address} ({told}; {shown_address(tracking_uri)})") from None
        if why := refuse_local_artifacts(tracking_uri, place):
            raise TrackingError(f"MLflow at {shown_address(tracking_uri)}: {address}: {why}")
        path = database_path(tracking_uri)
        for spot in dict.fromkeys([place] if path is None else [beside(place, path), place]):
            files = get_artifact_repository(spot, tracking_uri=tracking_uri)
            if any(entry.path == f"{DATA}/{WEIGHTS}" for entry in files.list_artifacts(DATA)):
                for file, most in FILES.items():
                    (folder / file).write_bytes(download(files, f"{DATA}/{file}", most))
                return
    raise NotFoundError(f"{address}: holds no {DATA}/{WEIGHTS}; give a model of this program, or a .safetensors file")
