"""A real browser with a fresh profile, and the UI that `tracker ui` serves."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import REPOSITORY

PARAMS = """
seed: 1
data: {source: table.csv, target: kind}
studies: {one: {sampler: manual, configurations: [{}]}}
tracking: {experiment: %s}
"""
START_S = 90.0


@contextlib.contextmanager
def tracker_ui(folder: Path, uri: str, experiment: str) -> Iterator[str]:
    """What `tracker ui` prints as the address, while it serves. `folder` becomes a project of that experiment."""
    (folder / "params.yaml").write_text(PARAMS % experiment)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "-P", "-c", "from tracker.cli import main; main()", "ui", "--port", port, "--no-browser"]
    places = os.pathsep.join([str(REPOSITORY), str(_entry_points(folder))])
    environ = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": places, "PYTHONUNBUFFERED": "1"}
    log = folder / "ui.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            words, cwd=folder, env=environ, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _await(int(port), process, log)
        line = next(line for line in log.read_text().splitlines() if line.startswith("MLflow UI: "))
        yield line.removeprefix("MLflow UI: ").removesuffix(" (Ctrl-C ends it)")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def fresh_page() -> Iterator[Any]:
    """A page of a browser that was never used before; skips where there is no browser."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1600, "height": 900})
            page.set_default_timeout(START_S * 1000)
            yield page
        finally:
            browser.close()


def column_names(page: Any) -> list[str]:
    """The columns of the table of runs, from left to right."""
    cells = "[...document.querySelectorAll('.ag-header-cell')]"
    script = f"{cells}.sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x).map(e => e.innerText.trim())"
    return [name for name in page.evaluate(script) if name]


def rows(page: Any) -> list[dict[str, str]]:
    """The table of runs as people see it: a row's cells by column, from top to bottom; a run's name follows its colour."""
    script = """() => {
      const rows = {};
      for (const cell of document.querySelectorAll('.ag-row .ag-cell')) {
        const row = cell.closest('.ag-row').getAttribute('row-index');
        (rows[row] ??= {})[cell.getAttribute('col-id')] = cell.innerText.trim().split('\\n').at(-1);
      }
      return Object.keys(rows).sort((a, b) => a - b).map(row => rows[row]);
    }"""
    found: list[dict[str, str]] = page.evaluate(script)
    return found


def _entry_points(folder: Path) -> Path:
    """A folder that says what pyproject.toml has MLflow serve, as an installation of this tree would."""
    told = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]["mlflow.app"]
    made = folder / "installed" / "entry_points_of_this_tree-1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: entry-points-of-this-tree\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in told.items()]
    (made / "entry_points.txt").write_text("\n".join(["[mlflow.app]", *lines]) + "\n")
    return made.parent


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"the UI did not start: {log.read_text()[-2000:]}")
