"""A link that people open for a tracking URI: a server's own, or an MLflow server of ours on 127.0.0.1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

from tracker.tracking.addresses import public_address
from tracker.tracking.mlflow_settings import settle

HOST = "127.0.0.1"
FIRST_PORT = 5000


def serve_ui(tracking_uri: str, port: int | None, say: Callable[[str], None]) -> int:
    """Serves the UI until it is stopped; gives its exit code. One worker, no job runners: 2 processes instead of 15."""
    if tracking_uri.startswith(("http://", "https://")):
        say(f"MLflow UI: {public_address(tracking_uri)}")
        return 0
    chosen = free_port() if port is None else port
    environ = dict(os.environ)
    settle(environ)
    environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    say(f"MLflow UI: http://{HOST}:{chosen} (Ctrl-C ends it)")
    environ["MLFLOW_BACKEND_STORE_URI"] = tracking_uri  # not an argument: everybody can list those, with the password
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", HOST, "--port", str(chosen), "--workers", "1"]
    with subprocess.Popen(command, env=environ) as server:  # noqa: S603 - our own arguments, no shell
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends us ends the server too
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)


def free_port(first: int = FIRST_PORT) -> int:
    """The first port from `first` on that nobody listens to on 127.0.0.1."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {first} and {first + 99}")
