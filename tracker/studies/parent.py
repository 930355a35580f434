"""Finds the weights that networks begin with (`model.transfer`), and keeps a copy of them where trials are derived from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.canonical import digest_bytes
from tracker.config import Config
from tracker.config.model import Transfer
from tracker.datasets.training_data import PARENTS, identify_data
from tracker.durable import make_folder, write_whole
from tracker.errors import ConfigError
from tracker.fields import model as model_shape
from tracker.paths import Paths

MOST_BYTES = 2 * 1024**3
REMOTE = "models:/"
PLACE = "model.transfer.from"
Fetch = Callable[[str, Path], None]  # an address of MLflow, and the folder that its model is written to


@dataclass(frozen=True, slots=True)
class Parent:
    """The content of a weights file, and what `model.json` says of it; empty for a bare file."""

    content: bytes
    described: Mapping[str, Any]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Its classes, where these are known."""
        return tuple(map(str, self.described["labels"])) if self.described else None

    def identity(self, head: str, labels: Sequence[str]) -> dict[str, str]:
        """What a spec says of it: the digest of the weights, and whether the head is `new` or `kept`."""
        same = self.labels == tuple(labels)
        return {
            "weights": digest_bytes(self.content),
            "head": "kept" if head == "keep" or (head == "auto" and same) else "new",
        }


def find_parent(config: Config, paths: Paths, fetch: Fetch | None = None) -> Parent | None:
    """The parent; None where networks begin anew. Raises ConfigError where there are no such weights.

    What MLflow serves under a name is fetched (`fetch`); without that no server is asked, and it is None too.
    """
    transfer = config.model.transfer
    if transfer is None:
        return None
    if transfer.source.startswith(REMOTE):
        return None if fetch is None else _fetched(transfer, fetch)
    return read_files(paths.root / transfer.source)


def keep_parent(parent: Parent, paths: Paths) -> None:
    """Writes its weights beside the splits, where trials are trained from."""
    folder = paths.splits.parent / PARENTS
    path = folder / f"{digest_bytes(parent.content)}.safetensors"
    if not path.exists():
        make_folder(folder)
        write_whole(path, parent.content, 0o644)


def identify_parent(config: Config, paths: Paths) -> dict[str, str] | None:
    """The identity of the parent without asking any server; None where that cannot be known. Raises ConfigError, DataError."""
    transfer = config.model.transfer
    if transfer is None:
        return {}
    if transfer.source.startswith(REMOTE):
        return None
    labels = identify_data(paths.splits, config.preprocessing).labels
    return read_files(paths.root / transfer.source).identity(transfer.head, labels)


def read_files(path: Path) -> Parent:
    """The weights in a file, or in a folder with `model.json` and `weights.safetensors`. Raises ConfigError."""
    path = path.resolve() if ".." in path.parts else path
    if path.name == "model.json":
        raise ConfigError(f"{PLACE}: {path} describes a model, and holds no weights; give the folder: {path.parent}")
    is_folder = path.is_dir()
    file = path / "weights.safetensors" if is_folder else path
    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(f"{PLACE}: {file} has {size} bytes; at most {MOST_BYTES} are read")
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{PLACE}: {file} cannot be read ({error.strerror}); give a model folder such as models/NAME, a .safetensors file, "
            "or models:/NAME@ALIAS"
        ) from None
    _require_safetensors(content, file)
    return Parent(content, _description(path / "model.json") if is_folder else {})


def _require_safetensors(content: bytes, file: Path) -> None:
    """Nothing is unpickled: what is no safetensors file is refused."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{PLACE}: {file} is no safetensors file ({str(error).splitlines()[0]}); write one with "
            "safetensors.torch.save_file(net.state_dict(), PATH)"
        ) from None
    if not tensors:
        raise ConfigError(f"{PLACE}: {file} holds no tensors")


def _description(path: Path) -> Mapping[str, Any]:
    try:
        described: Mapping[str, Any] = json.loads(path.read_bytes())
        model_shape(described)
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{PLACE}: {path} cannot be read as a model's description; give the .safetensors file"
        ) from None
    return described


def _fetched(transfer: Transfer, fetch: Fetch) -> Parent:
    """The model at an address of MLflow; of what is fetched the folder that holds `model.json` counts."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="tracker-") as scratch:
        fetch(transfer.source, Path(scratch))
        found = sorted(Path(scratch).rglob("weights.safetensors"))
        if not found:
            raise ConfigError(
                f"{PLACE}: {transfer.source} holds no weights.safetensors; it was logged by another program"
            )
        return read_files(found[0].parent)
