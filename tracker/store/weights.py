"""Weights as files named by their digest, and checkpoints of runs that paused."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, digest_bytes, parse_canonical
from tracker.durable import clear_leftover, make_folder, sync_folder, write_whole
from tracker.errors import StoreCorrupt, StoreError


class WeightFiles:
    """Weights as files named by their own SHA-256: `weights/ab/abcd….safetensors`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the weights of this digest lie, present or not."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise StoreError(f"not a digest of weights: {digest!r}")
        return self.folder / digest[:2] / f"{digest}.safetensors"

    def kept(self) -> list[str]:
        """The digests of all kept weights, sorted."""
        return sorted(path.stem for path in self.folder.glob("??/*.safetensors"))

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Writes all of them durably; those already present are left. Raises StoreError when the disk refuses."""
        missing = {digest: content for digest, content in contents.items() if not self.path(digest).exists()}
        make_folder(self.folder)
        try:
            for digest, content in missing.items():
                self._write_one(digest, content)
            folders = {self.path(digest).parent for digest in missing}
            for folder in sorted(folders | ({self.folder} if folders else set())):
                sync_folder(folder)
        except OSError as error:
            raise StoreError(
                f"{self.folder}: weights cannot be written ({error.strerror}); "
                "free disk space or make it writable, then run the same command again"
            ) from None

    def read(self, digest: str) -> bytes:
        """The weights, checked. Raises StoreError when they are not kept, StoreCorrupt when they differ."""
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: weights cannot be read ({error.strerror}); the trial must run again") from None
        if digest_bytes(content) != digest:
            raise StoreCorrupt(
                f"{path}: content differs from its name; delete the file, then `tracker pull` brings it back from MLflow; "
                "that of a study's best trial `tracker tune NAME` trains again"
            )
        return content

    def size(self, digest: str) -> int:
        """The bytes of a kept file; 0 where it is gone."""
        path = self.path(digest)
        return path.stat().st_size if path.is_file() else 0

    def drop(self, digests: Collection[str]) -> None:
        """Removes weights; those that are gone already are fine. Raises StoreError."""
        try:
            for digest in digests:
                self.path(digest).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder}: weights cannot be removed ({error.strerror}); make it writable") from None

    def _write_one(self, digest: str, content: bytes) -> None:
        if digest_bytes(content) != digest:
            raise StoreError(f"weights of another digest were given for {digest}")
        path = self.path(digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, content, 0o600)


class CheckpointFiles:
    """Where long runs paused, one file per run: a cache, whose loss costs time and changes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, key: str, progress: Mapping[str, Any], tensors: bytes) -> None:
        """Replaces the checkpoint of a run; a disk that refuses leaves none."""
        body = canonical_json(dict(progress)) + b"\n" + tensors
        with contextlib.suppress(OSError):
            make_folder(self.folder)
            write_whole(self._path(key), digest_bytes(body).encode() + b"\n" + body, 0o600)

    def read(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Progress and tensors; None where there is no file, or it differs from the digest on its first line."""
        try:
            digest, _, body = self._path(key).read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest_bytes(body).encode() != digest:
            return None
        progress, _, tensors = body.partition(b"\n")
        return dict(parse_canonical(progress)), tensors

    def kept(self) -> list[str]:
        """The runs of which there is a checkpoint, or what a killed writer left of one; sorted."""
        return sorted({self._key(path) for path in self._files()})

    def drop(self, keys: Collection[str]) -> None:
        """Runs that have ended need none."""
        for path in self._files():
            if self._key(path) in keys:
                with contextlib.suppress(OSError):
                    clear_leftover(path) if path.suffix == ".part" else path.unlink()

    def _files(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    @staticmethod
    def _key(path: Path) -> str:
        return path.name.lstrip(".").partition(".")[0]

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.checkpoint"
