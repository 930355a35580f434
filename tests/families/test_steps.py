"""What a step of a torch module asks of the device: few operations, however many parameters there are, and no number back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tracker.families.steps import Steps, Truth
from tracker.hyperparameters import FAMILIES, active
from tracker.records import TrialSpec

NO_WORK = {"view", "t", "detach", "select", "slice", "unsqueeze", "squeeze", "expand", "split", "alias", "as_strided"}
COUNTERS = {"_local_scalar_dense"}  # of torch's optimizer, which has one for each parameter


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations by their name; views are none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        if name not in NO_WORK and "record_function" not in name:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def network(layers: int) -> torch.nn.Module:
    return torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(layers)])


def operations(step: Callable[[], object]) -> Counter[str]:
    step()  # what is made once is made
    with Counted() as counted:
        step()
    found: Counter[str] = counted.found
    return found


def step_of(layers: int, device: str = "cpu") -> Callable[[], torch.Tensor]:
    params = active("tabular", {"optimizer": "adamw"})
    spec = TrialSpec("tabular", params, {}, 1, {}, "test", FAMILIES["tabular"].numerics)
    module, rows = network(layers).to(device), torch.ones(4, 8, device=device)
    steps = Steps(module, spec, None, device=device)
    steps.begin(1, 2, 2, 1.0)
    truth = Truth(torch.arange(4, device=device))
    return lambda: steps.take(module, rows, truth, 8)


def ours(layers: int) -> Counter[str]:
    return operations(step_of(layers))


def theirs(layers: int) -> Counter[str]:
    module, rows, truth = network(layers), torch.ones(4, 8), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(module.parameters(), foreach=True)  # as it is on a GPU

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(rows), truth).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return operations(step)


def test_a_step_takes_fewer_operations_than_torchs_own_optimizer() -> None:
    """On a GPU their number is what small networks cost."""
    assert ours(2).total() < theirs(2).total()
    assert ours(12).total() < theirs(12).total()


def test_operations_of_the_optimizer_do_not_grow_with_the_parameters() -> None:
    """Ten layers more are their passes forward and back, and nothing besides."""
    passes = theirs(12) - theirs(2)
    grown = ours(12).total() - ours(2).total()
    assert grown <= sum(count for name, count in passes.items() if name not in COUNTERS)


def test_a_step_asks_for_no_number() -> None:
    """Nothing waits for the device until the epoch's end: torch's device without numbers, which would refuse, takes steps."""
    losses = step_of(3, "meta")()
    assert losses.is_meta
    assert (4,) == losses.shape
