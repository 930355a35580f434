"""Environment variables in which MLflow is quiet, tells nobody, and gives up on a dead server soon."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping

RUNS_AT_ONCE = 8  # on their way to a server
FILES_AT_ONCE = 2  # of each of them, where each file is a request of its own
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_POOL_MAXSIZE": str(RUNS_AT_ONCE * FILES_AT_ONCE),  # connections that are kept open
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
ASKED_FOR = ("dbruntime", "pyspark", "IPython")  # modules that MLflow tries to import at each request


def settle(environ: MutableMapping[str, str]) -> None:
    """Sets what the user has not set; must come before the first import of mlflow in a process."""
    for name, value in SETTINGS.items():
        environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
