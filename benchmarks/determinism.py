"""What determinism costs against torch's defaults: python -m benchmarks.determinism [--trials 48] [--rounds 7]

The same trials of the default search space, trained by the cohort trainer as it is and with what torch would do in the place
of each thing that exists for the sake of bits: torch's global generator for order and dropout, torch.sqrt, sums over a whole
cohort, true sizes, and as many threads as torch takes. In turn, in one process; medians of the ratios within each round.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.padding import draw, table
from tracker.execution.cohorts import MOST_LANES, form_cohorts
from tracker.execution.trainer import Segment
from tracker.families import mlp, mlp_layout
from tracker.families.family import train_cohort
from tracker.records import TrialSpec
from tracker.training import arrays, optimizers

DEFAULT_THREADS = torch.get_num_threads()


def torch_order(_seed: int, _epoch: int, count: int, size: int, padded: int) -> np.ndarray:
    """The rows of an epoch, as a DataLoader's sampler shuffles them."""
    steps = -(-count // size)
    flat = torch.full((steps * size,), count)
    flat[:count] = torch.randperm(count)
    batches = torch.full((steps, padded), count)
    batches[:, : min(size, padded)] = flat.view(steps, size)[:, :padded]
    return batches.numpy()


def torch_masks(self: mlp.Dropout, steps: int) -> list[Tensor] | None:
    """Dropout for all lanes at once from the global generator."""
    if not any(self.rates):
        return None
    keep = 1 - torch.tensor(self.rates)[:, None, None]
    width = self.lanes.shape.width
    return [
        torch.rand(steps, layer.lanes, self.rows, width).lt(keep[: layer.lanes]).float().div_(keep[: layer.lanes])
        for layer in self.lanes.hidden
    ]


def torch_losses(log_p: Tensor, index: np.ndarray, y: np.ndarray, count: int) -> list[float]:
    """Training losses of all lanes in one sum."""
    losses = log_p.gather(-1, torch.from_numpy(y[index])[..., None])[..., 0].neg_()
    real = torch.from_numpy(index < count)
    found: list[float] = (losses * real).sum((0, 2)).div_(count).tolist()
    return found


class TorchSqrt:
    """NumPy's name in the optimizer's module, its square root computed by torch."""

    def sqrt(self, values: np.ndarray, out: np.ndarray) -> None:
        torch.sqrt(torch.from_numpy(values), out=torch.from_numpy(out))


@contextmanager
def threads() -> Iterator[None]:
    torch.set_num_threads(DEFAULT_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(1)


def identity(size: int) -> int:
    return size


CHANGES: dict[str, tuple[Callable[[], AbstractContextManager[object]], ...]] = {
    "generators of its own per lane, purpose and epoch": (
        lambda: mock.patch.object(mlp, "draw_batches", torch_order),
        lambda: mock.patch.object(mlp.Dropout, "masks", torch_masks),
    ),
    "correctly rounded square root": (lambda: mock.patch.object(optimizers, "np", TorchSqrt()),),
    "losses summed lane by lane": (lambda: mock.patch.object(mlp, "mean_losses", torch_losses),),
    "padded rows, features and classes": (
        lambda: mock.patch.object(mlp, "multiple_of_8", identity),
        lambda: mock.patch.object(arrays, "multiple_of_8", identity),
        lambda: mock.patch.object(mlp_layout, "multiple_of_8", identity),
    ),
    "one thread": (threads,),
}


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Torch's defaults in the place of the named things."""
    with ExitStack() as stack:
        for name in names:
            for change in CHANGES[name]:
                stack.enter_context(change())
        yield


def seconds(cohorts: list[list[TrialSpec]]) -> float:
    rows = table()
    started = time.perf_counter()
    for specs in cohorts:
        train_cohort(specs, rows)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument(
        "--epochs", type=int, default=15, help="of each trial; a fixed number, so that all do equal work"
    )
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    training = {"epochs": arguments.epochs, "early_stopping": None, "device": "cpu"}
    specs = [replace(spec, training=training) for spec in draw("default", arguments.trials, 1)]
    cases = {"nothing": (), **{name: (name,) for name in CHANGES}, "everything": tuple(CHANGES)}
    torch.set_num_threads(1)
    print("| torch's defaults in the place of | trials in cohorts | trials alone |\n| --- | --- | --- |")
    columns = {}
    for lanes in (MOST_LANES, 1):
        formed = form_cohorts([Segment(spec) for spec in specs], 30, 2, 1, lanes)
        cohorts = [[segment.spec for segment in cohort] for cohort in formed]
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(arguments.rounds + 1):
            for name, changes in cases.items():
                with without(*changes):
                    taken[name].append(seconds(cohorts))
        columns[lanes] = {
            name: statistics.median(ours / theirs for ours, theirs in zip(taken["nothing"][1:], times[1:], strict=True))
            for name, times in taken.items()
        }
    for name in cases:
        print(f"| {name} | {columns[MOST_LANES][name]:.3f} | {columns[1][name]:.3f} |")
    print("\nRatios are ours / ours with that change: 1.05 says that determinism costs 5 %.")


if __name__ == "__main__":
    main()
