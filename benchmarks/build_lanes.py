"""Networks of the user's own side by side, by torch.func.vmap, against each alone: bits and time.

python benchmarks/build_lanes.py

Each network is trained (forward, gradients, AdamW; 40 batches of 32 rows, one thread) in 1, 8 and 32 lanes that have weights
and rows of their own, and each lane alone as a plain module. Where a weight of a lane has another bit in the end than that of
the plain module, trials in lanes would not repeat trials alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

STEPS, ROWS, ROUNDS, LANES = 40, 32, 5, (1, 8, 32)


def dense(*widths: int, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    """Layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for read, given in pairwise(widths):
        layers += [nn.Linear(read, given), *([nn.LayerNorm(given)] if norm else []), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
    while not isinstance(layers[-1], nn.Linear):
        layers.pop()
    return nn.Sequential(*layers)


class Recurrent(nn.Module):
    """A GRU over 8 steps of 8, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(8, 48, batch_first=True), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (rows, 10)."""
        return self.head(self.cell(x.view(-1, 8, 8))[0][:, -1])


def convolutional(norm: bool) -> nn.Module:
    """Two blocks on 8 x 8 pixels."""
    blocks: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    for read in (1, 16):
        blocks += [nn.Conv2d(read, 16, 3, padding=1), *([nn.BatchNorm2d(16)] if norm else []), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(16 * 64, 10))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "64-64": lambda: dense(64, 64, 64, 10),
    "256-256": lambda: dense(64, 256, 256, 10),
    "64-64, layer norm": lambda: dense(64, 64, 64, 10, norm=True),
    "64-64, dropout": lambda: dense(64, 64, 64, 10, dropout=0.3),
    "convolutions": lambda: convolutional(norm=False),
    "convolutions, batch norm": lambda: convolutional(norm=True),
    "GRU": Recurrent,
}
Weights = dict[str, Tensor]


def alone(module: nn.Module, x: Tensor, y: Tensor) -> Weights:
    """The weights of one network after its steps; it is left as it was."""
    module = deepcopy(module)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, foreach=False)
    for rows, truth in zip(x, y, strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(rows), truth).backward()
        optimizer.step()
    return {name: one.detach() for name, one in module.named_parameters()}


def in_lanes(modules: list[nn.Module], x: Tensor, y: Tensor) -> Weights:
    """The same of all networks at once, each weight with a lane per network; x is (steps, lanes, rows, features)."""
    weights, buffers = stack_module_state(modules)  # type: ignore[arg-type]
    base = deepcopy(modules[0]).to("meta")
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, foreach=False)

    def loss_of(weights: Weights, buffers: Weights, rows: Tensor, truth: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(base, (weights, buffers), (rows,)), truth)

    step = vmap(grad(loss_of), randomness="different")
    for rows, truth in zip(x, y, strict=True):
        for name, gradient in step(weights, buffers, rows, truth).items():
            weights[name].grad = gradient
        optimizer.step()
    return {name: one.detach() for name, one in weights.items()}


def seconds(work: Callable[[], object]) -> float:
    """The least of some rounds, of this process's CPU."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def measure(make: Callable[[], nn.Module], lanes: int) -> tuple[int, float]:
    """How many lanes end with the bits of their network alone, and how many times as fast all are."""
    torch.manual_seed(0)
    modules = [make() for _ in range(lanes)]
    x, y = torch.randn(STEPS, lanes, ROWS, 64), torch.randint(0, 10, (STEPS, lanes, ROWS))
    together = in_lanes(modules, x, y)
    equal = 0
    for lane, module in enumerate(modules):
        single = alone(module, x[:, lane], y[:, lane])
        equal += all(torch.equal(one, together[name][lane]) for name, one in single.items())
    one, all_of_them = seconds(lambda: alone(modules[0], x[:, 0], y[:, 0])), seconds(lambda: in_lanes(modules, x, y))
    return equal, one * lanes / all_of_them


def main() -> None:
    """A line per network and number of lanes."""
    torch.set_num_threads(1)
    for name, make in NETWORKS.items():
        for lanes in LANES:
            equal, gain = measure(make, lanes)
            print(f"{name:26} {lanes:2} lanes: {equal} with the bits of alone; {gain:.2f} times as fast", flush=True)


if __name__ == "__main__":
    main()
