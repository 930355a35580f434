"""MLflow's server as `tracker ui` starts it: a fresh browser stays in the mode for training, and opens no assistant.

MLflow's page keeps both in the browser, and begins with its mode for language models: an address can say another mode for one
page, but links of the tables lead back. So the page that MLflow sends gets a line that writes what nobody has chosen yet.
What people choose later stays theirs. MLflow calls `app` by the entry point `mlflow.app` of this package.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tracker.tracking.views import MODE

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Server = Callable[[Message, Receive, Send], Awaitable[None]]

NAME = "tracker"
HERE = Path(__file__).resolve().parents[1]
GUNICORN = "MLFLOW_GUNICORN_OPTS"  # MLflow then serves by it
KEPT = {"mlflow.workflowType_v1": MODE, "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True}  # MLflow's own names
LINE = (
    f"<script>try {{ for (const [name, value] of {json.dumps([[name, json.dumps(value)] for name, value in KEPT.items()])})"
    " localStorage.getItem(name) ?? localStorage.setItem(name, value); } catch {}</script>"
)
HEAD = b"<head>"
ABOUT_COPIES = {b"if-none-match", b"if-modified-since"}  # a copy from an MLflow without the line would do


def arguments(environ: Mapping[str, str], folder: Path) -> list[str]:
    """The arguments with which `mlflow server` serves so, with these variables in this folder; none where it could not.

    That is where this package was installed without its entry point, where a file or folder there has the package's name,
    which Python would import instead, and where gunicorn serves, for which the application is none.
    """
    known = any(one.name == NAME for one in entry_points(group="mlflow.app"))
    return ["--app-name", NAME] if known and _imports_us(folder) and not environ.get(GUNICORN) else []


def _imports_us(folder: Path) -> bool:
    """Whether a process that begins in a folder imports this package, not something else of its name that lies there."""
    there = PathFinder.find_spec(NAME, [str(folder.resolve())])
    return there is None or there.origin is None or Path(there.origin).samefile(HERE / "__init__.py")


def app() -> Server:
    """MLflow's application, with the line in its page."""
    from mlflow.server.fastapi_app import app as served

    return with_line(served)


def with_line(served: Server) -> Server:
    """An ASGI application whose page at `/` has the line; everything else is passed on as it is."""

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await served(scope, receive, send)
            return
        asked = [pair for pair in scope["headers"] if pair[0].lower() not in ABOUT_COPIES]
        told: list[Message] = []

        async def keep(message: Message) -> None:
            told.append(message)

        await served({**scope, "headers": asked}, receive, keep)
        page = b"".join(message.get("body", b"") for message in told[1:]).replace(HEAD, HEAD + LINE.encode(), 1)
        headers = [pair for pair in told[0].get("headers", ()) if pair[0].lower() not in {b"content-length", b"etag"}]
        headers.append((b"content-length", str(len(page)).encode()))
        await send({**told[0], "headers": headers})
        await send({"type": "http.response.body", "body": page})

    return answer
