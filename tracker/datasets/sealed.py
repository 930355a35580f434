"""Opens the sealed test split, the only file that does; imported by the comparison module alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest_table
from tracker.datasets.storage import read_document, read_frame
from tracker.errors import DataError
from tracker.remedies import run_again

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class SealedIdentity:
    """What may be known of the test split before it is opened, so that a look can be recorded first.

    `row_keys` name the rows (16 hexadecimal digits each, one per row); `beside` has the digests of the train and validation
    splits that were written with it. `clusters` says which rows stay together, a number per row; None where each stands alone.
    """

    digest: str
    rows: int
    classes: Mapping[str, int]
    row_keys: tuple[str, ...]
    target: str
    labels: tuple[str, ...]
    positive: str | None
    beside: Mapping[str, str]
    clusters: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SealedTest:
    """The opened test split: raw columns (target and id among them), and the label name of every row."""

    frame: pd.DataFrame
    labels: tuple[str, ...]
    identity: SealedIdentity

    @property
    def target(self) -> str:
        """The column that holds the labels."""
        return self.identity.target

    @property
    def digest(self) -> str:
        """The digest that the rows were verified against."""
        return self.identity.digest

    @property
    def row_keys(self) -> tuple[str, ...]:
        """The name of every row, 16 hexadecimal digits each."""
        return self.identity.row_keys


def test_identity(sealed: Path) -> SealedIdentity:
    """Digest, counts and row keys, from the manifest alone; the rows stay sealed. Raises DataError."""
    manifest: dict[str, Any] = read_document(sealed / "manifest.json", "sealed", run_again(sealed, "split"))
    return SealedIdentity(
        digest=manifest["table"],
        rows=manifest["rows"],
        classes=manifest["classes"],
        row_keys=tuple(manifest["row_keys"]),
        target=manifest["target"],
        labels=tuple(manifest["labels"]),
        positive=manifest["positive"],
        beside=manifest["beside"],
        clusters=tuple(manifest["clusters"]) if "clusters" in manifest else None,
    )


test_identity.__test__ = False  # type: ignore[attr-defined] # pytest collects functions named test_*


def open_test(sealed: Path) -> SealedTest:
    """Reads the test split and verifies it against its manifest. Raises DataError where it has changed."""
    identity = test_identity(sealed)
    path = sealed / "test.parquet"
    again = run_again(sealed, "split")
    frame = read_frame(path, again)
    if digest_table(frame) != identity.digest:
        raise DataError(f"{path}: differs from its digest in manifest.json; {again}")
    return SealedTest(frame, tuple(map(str, frame[identity.target])), identity)
