"""Delivery in this process, for tests to which a process of its own, which loads MLflow again, would show nothing more."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from tracker.store.store import Store
from tracker.tracking.mlflow_settings import settle
from tracker.tracking.report import Delivered, Policy

settle(os.environ)


def sync(store_folder: Path, uri: str, experiment: str, policy: Policy = "all") -> Delivered:
    """What `tracker.tracking.outbox.sync` does, and says."""
    from tracker.tracking.delivery import Delivery
    from tracker.tracking.mlflow_recorder import MlflowRecorder

    with (
        closing(MlflowRecorder(uri, experiment)) as recorder,
        Store.open(store_folder) as store,
        Delivery(store, recorder, policy) as delivery,
    ):
        return delivery.deliver(None)
