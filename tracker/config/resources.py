"""What each worker of a cluster is to have for itself; it says who trains where, and changes no number."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from tracker.config.base import Part


def _gpus(number: float) -> float:
    """Ray cuts one GPU in parts, and gives several whole; for any other number it would wait without an end."""
    if number > 1 and not number.is_integer():
        raise ValueError(f"expected a share of one GPU, or a whole number of them, found {number:g}")
    return number


class Resources(Part):
    """What a worker of a Ray cluster reserves: CPUs, memory in MB (10**6 bytes), and a number, or a share, of GPUs."""

    cpus: int = Field(default=1, ge=1, le=4096)
    memory_mb: int | None = Field(default=None, ge=1, le=10**8)
    gpus: Annotated[float, AfterValidator(_gpus)] = Field(default=0.0, ge=0, le=64)

    @property
    def words(self) -> str:
        """As messages say it: `2 CPUs, 4000 MB, 0.5 GPU`."""
        memory = [f"{self.memory_mb} MB"] if self.memory_mb else []
        gpus = [f"{self.gpus:g} GPU{'s' * (self.gpus > 1)}"] if self.gpus else []
        return ", ".join([f"{self.cpus} CPU{'s' * (self.cpus > 1)}", *memory, *gpus])


ONE_CPU = Resources()
