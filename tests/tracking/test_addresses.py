"""Addresses as they are shown: nobody reads a password on a screen or in a log."""

from __future__ import annotations

import pytest

from tracker.tracking.addresses import hide_secrets, public_address, refuse_local_artifacts, shown_address

ADDRESSES = {
    "http://mlflow.example:5000": "http://mlflow.example:5000",
    "https://ada:hunter2@mlflow.example/x": "https://***@mlflow.example/x",
    "https://ada:hunter2%40@mlflow.example": "https://***@mlflow.example",
    "https://ada:hunter2@x/y@mlflow.example": "https://***@mlflow.example",
    "postgresql://db.example/mlflow?user=ada&password=hunter2&sslmode=require": (
        "postgresql://db.example/mlflow?user=ada&password=***&sslmode=require"
    ),
    "sqlite:////data/a@b/mlflow.db": "sqlite:////data/a@b/mlflow.db",
    "sqlite:////data/x.db?key=hunter2&timeout=3": "sqlite:////data/x.db?key=***&timeout=3",
    "http://mlflow.example/#hunter2": "http://mlflow.example/#***",
    "http://[::1:5000/#token=hunter2": "http://[::1:5000/#***",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_passwords_are_not_shown(address: str) -> None:
    """Neither in the address nor in what a library says about it, written out or percent-encoded."""
    assert ADDRESSES[address] == shown_address(address)
    assert "***@" not in public_address(address)
    assert "hunter2" not in shown_address(address) + public_address(address) + hide_secrets(f"no {address}", address)


def test_a_secret_is_found_however_it_is_written() -> None:
    """Percent-encoded in the address, written out by a library."""
    assert "denied: ***" == hide_secrets("denied: p@ss", "https://ada:p%40ss@mlflow.example")


def test_a_message_without_secrets_stays() -> None:
    """Files have none."""
    assert "cannot open a@b" == hide_secrets("cannot open a@b", "sqlite:////data/a@b/mlflow.db")


@pytest.mark.parametrize(
    "artifacts", ["file:///srv/ada/.ssh", "FILE:///srv/ada", "/srv/ada/.ssh", "mlruns/0", "file:relative"]
)
def test_a_server_names_no_folder_of_this_machine(artifacts: str) -> None:
    """A database that this machine opened may; a server may name stores that everybody reaches."""
    for server in ("http://127.0.0.1:5000", "HTTPS://mlflow.example", "databricks://PROFILE"):
        assert "--serve-artifacts" in str(refuse_local_artifacts(server, artifacts))
        assert refuse_local_artifacts(server, "mlflow-artifacts:/0/run") is None
        assert refuse_local_artifacts(server, "s3://bucket/run") is None
    for local in ("sqlite:////data/mlflow.db", "postgresql://db.example/mlflow"):
        assert refuse_local_artifacts(local, artifacts) is None
