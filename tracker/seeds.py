"""Derives every seed and random generator from one root seed and a path of names; nothing else seeds anything."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tracker.canonical import canonical_json

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(root: int, *names: str | int) -> int:
    """A 32-bit seed for a named purpose, e.g. `derive_seed(2026, "study", "tpe", "trial", 42)`.

    SHA-256 over the canonical JSON of the path, so that seeds of different purposes are unrelated.
    """
    content = hashlib.sha256(b"tracker/1:seed\n" + canonical_json([root, *names])).digest()
    return int.from_bytes(content[:4], "big")


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator of its own for initialisation; the global one is never touched."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *names))


def bit_generator(seed: int, *names: str | int) -> np.random.SFC64:
    """A NumPy bit generator (its stream is fixed by NumPy's compatibility policy); `random_raw` gives uint64 words."""
    import numpy as np

    return np.random.SFC64(derive_seed(seed, *names))
