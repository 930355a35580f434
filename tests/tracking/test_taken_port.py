"""A port that somebody has is refused before an address is told that opens another's page."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tracker.errors import TrackerError
from tracker.tracking.server import serve_ui


def test_a_taken_port_is_refused_before_any_address(tmp_path: Path) -> None:
    """One line says what was found and what to do; nothing is said, and no server starts."""
    said: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(TrackerError) as refused:
            serve_ui(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "params.yaml", port, said.append, browser=False)
    assert f"127.0.0.1:{port}" in str(refused.value)
    assert str(refused.value).endswith("leave --port out, or take another")
    assert "\n" not in str(refused.value)
    assert said == []
