"""A link that people open for a tracking URI: a server's own, or an MLflow server of ours on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path

from tracker.config import load_config
from tracker.errors import TrackerError
from tracker.tracking.addresses import public_address
from tracker.tracking.first_visit import arguments
from tracker.tracking.mlflow_database import database_path
from tracker.tracking.mlflow_settings import settle
from tracker.tracking.views import STUDIES, VIEW, address, plain_address, run_address

HOST = "127.0.0.1"
FIRST_PORT = 5000
PATIENCE_S = 60.0  # how long a browser waits for our server


def serve_ui(
    tracking_uri: str, params: Path, port: int | None, say: Callable[[str], None], browser: bool | None = None
) -> int:
    """Serves the UI until it is stopped; gives its exit code. One worker, no job runners: 2 processes instead of 15.

    Says the address of the studies, and opens it where `browser` says so (None: on a desktop).
    """
    experiment = _experiment_name(params)
    show = browser if browser is not None else sys.stdout.isatty() and is_desktop(os.environ)
    if tracking_uri.startswith(("http://", "https://")):
        link = results_address(tracking_uri, experiment, public_address(tracking_uri))
        say(f"MLflow UI: {link}")
        if show:
            webbrowser.open(link)
        return 0
    chosen = free_port() if port is None else _unless_taken(port)
    environ = dict(os.environ)
    settle(environ)
    environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    link = results_address(tracking_uri, experiment, f"http://{HOST}:{chosen}")
    say(f"MLflow UI: {link} (Ctrl-C ends it)")
    environ["MLFLOW_BACKEND_STORE_URI"] = tracking_uri  # not an argument: everybody can list those, with the password
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", HOST, "--port", str(chosen), "--workers", "1", *arguments(environ, Path())]
    with subprocess.Popen(command, env=environ) as server:  # noqa: S603 - our own arguments, no shell
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends us ends the server too
        if show:
            threading.Thread(target=_open_when_ready, args=(link, chosen, server), daemon=True).start()
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)


def results_address(tracking_uri: str, experiment: str | None, server: str) -> str:
    """The one address that shows the studies, best first; the server's own where the experiment is not known there."""
    if experiment is None:
        return server
    try:
        found = _experiment(tracking_uri, experiment)
    except (TrackerError, sqlite3.Error):
        found = None
    if found is None:
        return server
    number, tags = found
    return address(server, number) if f"{VIEW}{STUDIES}" in tags else plain_address(server, number)


def closing_line(tracking_uri: str, params: Path) -> str:
    """Where the studies are shown, for the end of `make repro`."""
    served = tracking_uri.startswith(("http://", "https://"))
    server = public_address(tracking_uri) if served else f"http://{HOST}:{FIRST_PORT}"
    link = results_address(tracking_uri, _experiment_name(params), server)
    return f"MLflow: {link}" if served else f"MLflow: `tracker ui` opens {link}"


def trial_line(tracking_uri: str, key: str, kind: str = "trial") -> str:
    """Where the run of a trial is shown; a server is not asked for it, which would take seconds, but can be searched."""
    try:
        path = database_path(tracking_uri)
        found = _run_of(path, key, kind) if path is not None and path.is_file() else None
    except sqlite3.Error:
        found = None
    if found is None:
        return f"search runs for: tags.`tracker.key` = '{key}'"
    experiment, run = found
    return f"`tracker ui`, then {run_address(experiment, run, f'http://{HOST}:{FIRST_PORT}')}"


def _run_of(path: Path, key: str, kind: str) -> tuple[str, str] | None:
    """Experiment and run of a key in a SQLite file; None where there is none, or none that was not deleted."""
    with contextlib.closing(sqlite3.connect(path)) as link:
        row = link.execute(
            "SELECT runs.experiment_id, runs.run_uuid FROM runs JOIN tags one ON one.run_uuid = runs.run_uuid "
            "JOIN tags other ON other.run_uuid = runs.run_uuid WHERE one.key = 'tracker.key' AND one.value = ? "
            "AND other.key = 'tracker.kind' AND other.value = ? AND runs.lifecycle_stage = 'active'",
            (key, kind),
        ).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))


def is_desktop(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether somebody sits in front of a screen on which a browser can open."""
    if environ.get("CI") or environ.get("SSH_CONNECTION"):
        return False
    return platform in {"darwin", "win32"} or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def free_port(first: int = FIRST_PORT) -> int:
    """The first port from `first` on that nobody listens to on 127.0.0.1."""
    for port in range(first, first + 100):
        with contextlib.suppress(OSError):
            _bind(port)
            return port
    raise OSError(f"no free port between {first} and {first + 99}")


def _unless_taken(port: int) -> int:
    """The port that was asked for, refused before its address is told: another project's page may answer there."""
    try:
        _bind(port)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TrackerError(
            f"--port {port}: cannot listen on {HOST}:{port} ({why}): leave --port out, or take another"
        ) from None
    return port


def _bind(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def _experiment_name(params: Path) -> str | None:
    """The experiment of a configuration; None where it says none, or cannot be read: the UI opens all the same."""
    try:
        return load_config(params).tracking.experiment
    except TrackerError:
        return None


def _experiment(tracking_uri: str, name: str) -> tuple[str, set[str]] | None:
    """The id of an experiment and the names of its tags; a SQLite file is asked without MLflow, which takes seconds."""
    path = database_path(tracking_uri)
    if path is None:
        from tracker.tracking.mlflow_recorder import MlflowRecorder

        settle(os.environ)
        recorder = MlflowRecorder(tracking_uri, name, create=False)
        return recorder.connect(), set(recorder.experiment_tags())
    if not path.is_file():
        return None
    with contextlib.closing(sqlite3.connect(path)) as link:
        row = link.execute("SELECT experiment_id FROM experiments WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        tags = link.execute("SELECT key FROM experiment_tags WHERE experiment_id = ?", row).fetchall()
    return str(row[0]), {tag for (tag,) in tags}


def _open_when_ready(link: str, port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            webbrowser.open(link)
            return
        time.sleep(0.2)
