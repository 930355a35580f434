"""The gate before code that came with a record: it runs where it is this folder's own, or where somebody vouched for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracker.canonical import digest
from tracker.errors import CodeNotTrusted, ConfigError
from tracker.families.own_code import read_code


def code_digest(identity: Mapping[str, str]) -> str:
    """SHA-256 (hex) of an entry and the digests of its files: what `--trust` names."""
    return digest("code", dict(identity))


def require_trusted(identity: Mapping[str, str], root: Path, place: str, trust: str | None = None) -> str | None:
    """Lets code run that is the same as in the folder `root`, file by file; else only what `trust` names, which is returned.

    `identity` is the entry and the SHA-256 of each file, as specs have it; `place` is where the code came from. Raises
    CodeNotTrusted, which names the files that differ, and the digest to give.
    """
    others = _others(identity, root)
    if not others:
        return None
    found = code_digest(identity)
    if trust == found:
        return found
    given = f" (given: {trust})" if trust else ""
    raise CodeNotTrusted(
        f"{place}: was made by other code than lies in {root} ({', '.join(others)}), so that code is not run. Put the files "
        f"back as they were and tune again; or read what would run (`code` in model.json, `provenance` in record.json) and "
        f"trust it: --trust {found}{given}"
    )


def _others(identity: Mapping[str, str], root: Path) -> list[str]:
    """The files that differ, on either side."""
    try:
        here = read_code(root, identity.get("entry", ""))
    except ConfigError:
        return sorted(name for name in identity if name != "entry") or ["entry"]
    present = here.identity
    return sorted(name for name in {**identity, **present} if identity.get(name) != present.get(name))
