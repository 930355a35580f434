"""Addresses of MLflow servers as they may be shown: passwords stay out of messages."""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import unquote

HIDDEN = "***"
LONGEST = 300  # characters of a message of somebody else's
REMOTE = {"http", "https", "databricks"}  # a server, which says where files go
_SECRET_ENTRIES = re.compile(r"([?&#][^=&]*(?:password|passwd|token|secret|key)[^=&]*=)[^&#]+", re.IGNORECASE)


def shown_address(tracking_uri: str) -> str:
    """An address without user, password, secret entries and fragment; of a file's, without secret entries."""
    if tracking_uri.startswith("sqlite:"):
        return _SECRET_ENTRIES.sub(rf"\1{HIDDEN}", tracking_uri)
    tracking_uri = re.sub(r"#.*", f"#{HIDDEN}", tracking_uri)
    return _SECRET_ENTRIES.sub(rf"\1{HIDDEN}", re.sub(r"//.*@", f"//{HIDDEN}@", tracking_uri))


def public_address(tracking_uri: str) -> str:
    """The address that a browser is given: it asks for user and password itself."""
    return shown_address(tracking_uri).replace(f"{HIDDEN}@", "")


def hide_secrets(text: str, tracking_uri: str) -> str:
    """A message of somebody else's without what the address keeps secret."""
    for secret in sorted(_secrets(tracking_uri), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(tracking_uri: str) -> set[str]:
    found = {entry[0].partition("=")[2] for entry in _SECRET_ENTRIES.finditer(tracking_uri)}
    if tracking_uri.startswith("sqlite:"):
        return {form for secret in found if secret for form in (secret, unquote(secret))}
    found.add(tracking_uri.partition("#")[2])
    if account := re.search(r"//(.*)@", tracking_uri):
        found |= {account[1], account[1].partition(":")[2]}
    return {form for secret in found if secret for form in (secret, unquote(secret))}


def refuse_local_artifacts(tracking_uri: str, artifacts: str) -> str | None:
    """Why a run's files are not written to or read from a place that a server named; None where they are.

    A folder on this machine is a place for the files of a database that this machine opened itself, and of nobody else.
    """
    if _scheme(tracking_uri) not in REMOTE or _scheme(artifacts) not in {"", "file"}:
        return None
    return (
        f"the server keeps artifacts in a folder of its own machine ({artifacts[:100]}), which nobody else can reach; "
        "start it with --serve-artifacts, and deliver to a new experiment"
    )


def _scheme(address: str) -> str:
    found = re.match(r"([a-z][a-z0-9+.-]*):", address, re.IGNORECASE)
    return found[1].lower() if found else ""


def no_answer(error: BaseException) -> str:
    """Why nobody answers, in the words of the system that lie below an error of MLflow; empty where it is something else."""
    seen: set[int] = set()
    below: list[object] = [error]
    while below:
        one = below.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, (ConnectionError, socket.gaierror, TimeoutError, ssl.SSLError)):
            return one.strerror or str(one) or type(one).__name__
        below += [one.__context__, one.__cause__, getattr(one, "reason", None), *one.args]
    return ""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, the name of its kind where it says nothing; of a long one the first words."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rsplit(maxsplit=1)[0]} ..."
