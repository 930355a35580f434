"""Networks of the user's own side by side, by torch.func.vmap, against each alone: bits and time.

python benchmarks/build_lanes.py

Each network does training steps (forward, gradients; 40 batches of 32 rows, one thread) in 1, 8 and 32 lanes that have weights
and rows of their own, and each lane alone as a plain module. Where the loss or a gradient of a lane has another bit than that
of the plain module, trials in lanes would not repeat trials alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

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
Steps = list[tuple[Tensor, dict[str, Tensor]]]


def alone(module: nn.Module, x: Tensor, y: Tensor) -> Steps:
    """Loss and gradients of each step of one network."""
    found: Steps = []
    for rows, truth in zip(x, y, strict=True):
        module.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(module(rows), truth)
        loss.backward()
        found.append((loss.detach(), {name: p.grad.clone() for name, p in module.named_parameters()}))  # type: ignore[union-attr]
    return found


def in_lanes(modules: list[nn.Module], x: Tensor, y: Tensor) -> Steps:
    """The same of all networks at once; x (steps, lanes, rows, features)."""
    params, buffers = stack_module_state(modules)  # type: ignore[arg-type]
    base = deepcopy(modules[0]).to("meta")

    def loss_of(params: dict[str, Tensor], buffers: dict[str, Tensor], rows: Tensor, truth: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(base, (params, buffers), (rows,)), truth)

    step = vmap(grad_and_value(loss_of), randomness="different")
    found: Steps = []
    for rows, truth in zip(x, y, strict=True):
        gradients, loss = step(params, buffers, rows, truth)
        found.append((loss, gradients))
    return found


def seconds(work: Callable[[], object]) -> float:
    """The least of some rounds, of this process's CPU."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def equal_lanes(modules: list[nn.Module], x: Tensor, y: Tensor) -> int:
    """How many lanes have the bits of their network alone."""
    together = in_lanes(modules, x, y)
    count = 0
    for lane, module in enumerate(modules):
        single = alone(module, x[:, lane], y[:, lane])
        count += all(
            torch.equal(loss, losses[lane]) and all(torch.equal(own[name], all_of[name][lane]) for name in own)
            for (loss, own), (losses, all_of) in zip(single, together, strict=True)
        )
    return count


def main() -> None:
    """A line per network and number of lanes."""
    torch.set_num_threads(1)
    for name, make in NETWORKS.items():
        for lanes in LANES:
            torch.manual_seed(0)
            modules = [make() for _ in range(lanes)]
            x, y = torch.randn(STEPS, lanes, ROWS, 64), torch.randint(0, 10, (STEPS, lanes, ROWS))
            try:
                equal = equal_lanes(modules, x, y)
                gain = (
                    seconds(lambda: alone(modules[0], x[:, 0], y[:, 0]))
                    * lanes
                    / seconds(lambda: in_lanes(modules, x, y))
                )  # noqa: B023
            except (RuntimeError, ValueError) as error:
                print(f"{name:26} {lanes:2} lanes: vmap refuses ({str(error).splitlines()[0][:90]})", flush=True)
                break
            print(f"{name:26} {lanes:2} lanes: {equal} with the bits of alone; {gain:.2f} times as fast", flush=True)


if __name__ == "__main__":
    main()
