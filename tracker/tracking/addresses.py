"""Addresses of MLflow servers as they may be shown: passwords stay out of messages."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
_SECRET_ENTRIES = re.compile(r"([?&][^=&]*(?:password|passwd|token|secret|key)[^=&]*=)[^&#]+", re.IGNORECASE)


def shown_address(tracking_uri: str) -> str:
    """An address without user, password and secret entries; that of a file as it is."""
    if tracking_uri.startswith("sqlite:"):
        return tracking_uri
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
    if tracking_uri.startswith("sqlite:"):
        return set()
    found = {entry[0].partition("=")[2] for entry in _SECRET_ENTRIES.finditer(tracking_uri)}
    if account := re.search(r"//(.*)@", tracking_uri):
        found |= {account[1], account[1].partition(":")[2]}
    return {form for secret in found if secret for form in (secret, unquote(secret))}
