"""The device that trains, and what is set on it so that it repeats its bits. On the CPU nothing is set.

`cuda` was tried on one kind of GPU, `mps` on none (`docs/decisions/0051-devices.md`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.utils import deterministic as memory

from tracker.errors import ConfigError
from tracker.seeds import derive_seed, seed_device
from tracker.surroundings.environment import device_name

CPU = "cpu"
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"  # one size of buffers: cuBLAS and cuDNN then repeat their sums


def require_device(name: str) -> None:
    """Raises ConfigError where torch finds no such device on this machine."""
    if device_name(name) is None:
        raise ConfigError(
            f"training.device: {name}: torch {torch.__version__} finds none on this machine; say cpu, or run where there is one"
        )


class Device:
    """`cpu`, `cuda` or `mps`, for one run with its seed. Raises ConfigError where there is none."""

    def __init__(self, name: str, seed: int) -> None:
        require_device(name)
        self.name, self._seed = name, seed

    @contextmanager
    def active(self, *purpose: str | int) -> Iterator[None]:
        """Inside, algorithms repeat their bits, and what the device draws follows from the run's seed and the purpose."""
        if self.name == CPU:
            yield
            return
        os.environ.setdefault(*WORKSPACE)  # read when a process first multiplies on the GPU
        seed_device(self.name, derive_seed(self._seed, "device", *purpose))
        with _repeating(), _plain_convolutions() if self.name == "cuda" else nullcontext():
            yield


@contextmanager
def _repeating() -> Iterator[None]:
    """Deterministic algorithms alone and products in full precision; memory is not filled first, as on the CPU.

    Filling is a launch more for every tensor that is made, and helps only code that reads what nobody wrote.
    """
    filling = "fill_uninitialized_memory"
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        getattr(memory, filling),
    )
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("highest")
    setattr(memory, filling, False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_float32_matmul_precision(before[1])
        setattr(memory, filling, before[2])


def _plain_convolutions() -> AbstractContextManager[None]:
    """Of cuDNN: no algorithm that is chosen by its time, none that sums in any order, no TF32."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
