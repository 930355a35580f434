"""Derives every seed and random generator from one root seed and a path of names; nothing else seeds anything."""

from __future__ import annotations

import hashlib
import random  # noqa: TID251  to seed and to restore, for code that is not ours; nothing here draws from it
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


def seed_device(device: str, seed: int) -> None:
    """Seeds the generator of a GPU, from which modules on it draw; it belongs to training alone."""
    import torch

    (torch.cuda if device == "cuda" else torch.mps).manual_seed(seed)


class AmbientRandomness:
    """The global generators of Python, NumPy and torch (CPU), for the user's own code alone.

    Inside `active()` they continue the stream that began with `seed`; outside they are as they were, so that careless
    code repeats from the seed and hears nothing of its neighbours. Torch's settings (default dtype, gradient mode, threads,
    deterministic algorithms, precision of products, oneDNN, denormals) come back too.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._states: tuple[Any, ...] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Enters where the last block left off."""
        outer = _ambient_states()
        if self._states is None:
            _seed_ambient(self._seed)
        else:
            _restore_ambient(self._states)
        try:
            yield
        finally:
            self._states = _ambient_states()
            _restore_ambient(outer)


def _seed_ambient(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(derive_seed(seed, "ambient", "python"))
    np.random.seed(derive_seed(seed, "ambient", "numpy"))  # noqa: NPY002, TID251  what careless code draws from
    torch.default_generator.manual_seed(derive_seed(seed, "ambient", "torch"))


def _ambient_states() -> tuple[Any, ...]:
    import numpy as np
    import torch

    return random.getstate(), np.random.get_state(), torch.default_generator.get_state(), _torch_settings()  # noqa: NPY002


def _restore_ambient(states: tuple[Any, ...]) -> None:
    import numpy as np
    import torch

    python, numpy, generator, settings = states
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.default_generator.set_state(generator)
    _restore_torch_settings(settings)


@contextmanager
def torch_settings_kept() -> Iterator[None]:
    """Whatever is set in torch inside is put back: it belongs to the environment of what is computed later."""
    before = _torch_settings()
    try:
        yield
    finally:
        _restore_torch_settings(before)


def _torch_settings() -> tuple[Any, ...]:
    import torch

    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_float32_matmul_precision(),
        bool(torch.backends.mkldnn.enabled),
        not bool(torch.tensor([1e-39], dtype=torch.float32).mul(0.5).gt(0).item()),
    )


def _restore_torch_settings(settings: tuple[Any, ...]) -> None:
    import torch

    if settings == _torch_settings():
        return
    dtype, gradients, threads, deterministic, warn_only, precision, mkldnn, flushed = settings
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.set_float32_matmul_precision(precision)
    torch.backends.mkldnn.enabled = mkldnn
    torch.set_flush_denormal(flushed)
