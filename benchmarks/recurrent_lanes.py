"""Recurrent cells of several lanes at once against torch's own, alone: microseconds per lane and step, and whether bits agree.

python benchmarks/recurrent_lanes.py

One bidirectional layer over 8 steps of 8 channels and a head, batches of 32: examples/digits-rnn. Gradients come from
automatic differentiation. Processor time, because other work on the machine changes that least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

STEPS, CHANNELS, CLASSES, ROWS = 8, 8, 16, 32
GATES = {"lstm": 4, "gru": 3}


def initial(lanes: int, units: int, gates: int) -> list[Tensor]:
    """Weights of both directions, (lanes, 2, in, gates * units) and so on, and of the head; each lane draws its own."""
    sizes = [(2, CHANNELS, gates * units), (2, units, gates * units), (2, 1, gates * units), (2, 1, gates * units)]
    sizes += [(2 * units, CLASSES), (1, CLASSES)]
    drawn = []
    for lane in range(lanes):
        generator = torch.Generator().manual_seed(lane)
        drawn.append([(torch.rand(*size, generator=generator) - 0.5) * (2 / units**0.5) for size in sizes])
    return [torch.stack(part).requires_grad_() for part in zip(*drawn, strict=True)]


def gradients(weights: Sequence[Tensor], x: Tensor, y: Tensor, cell: str) -> tuple[Sequence[Tensor], Tensor]:
    """Gradients of the mean loss of each lane, and its log probabilities; x is (lanes, rows, steps, channels)."""
    inward, recurrent, bias_in, bias, out, bias_out = weights
    lanes, units, many = len(x), recurrent.shape[2], recurrent.shape[3]
    steps = torch.stack([x, x.flip(2)], 1).reshape(lanes * 2, ROWS * STEPS, CHANNELS)
    fed = torch.bmm(steps, inward.reshape(lanes * 2, CHANNELS, many)) + bias_in.reshape(lanes * 2, 1, many)
    fed, matrix, bias = (
        fed.view(lanes * 2, ROWS, STEPS, many),
        recurrent.reshape(lanes * 2, units, many),
        bias.reshape(lanes * 2, 1, many),
    )
    state = memory = x.new_zeros(lanes * 2, ROWS, units)
    for step in range(STEPS):
        back = torch.bmm(state, matrix) + bias
        if cell == "lstm":
            enter, forget, leave, new = (fed[:, :, step] + back).chunk(4, -1)
            memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
            state = torch.sigmoid(leave) * torch.tanh(memory)
        else:
            (reset, update, new), (reset_, update_, new_) = fed[:, :, step].chunk(3, -1), back.chunk(3, -1)
            new = torch.tanh(new + torch.sigmoid(reset + reset_) * new_)
            state = new + torch.sigmoid(update + update_) * (state - new)
    last = state.view(lanes, 2, ROWS, units).transpose(1, 2).reshape(lanes, ROWS, 2 * units)
    log_p = torch.log_softmax(torch.bmm(last, out) + bias_out, -1)
    loss = -log_p.gather(2, y[..., None])[..., 0].mean(1).sum()
    return torch.autograd.grad(loss, weights), log_p


def plain(cell: str, units: int, x: Tensor, y: Tensor) -> Callable[[], object]:
    """A step of torch's own module, without its optimizer."""
    layer = (torch.nn.LSTM if cell == "lstm" else torch.nn.GRU)(CHANNELS, units, batch_first=True, bidirectional=True)
    head = torch.nn.Linear(2 * units, CLASSES)

    def step() -> object:
        state = layer(x)[1]
        last = torch.cat(list(state[0] if cell == "lstm" else state), 1)
        loss = torch.nn.functional.cross_entropy(head(last), y)
        return torch.autograd.grad(loss, [*layer.parameters(), *head.parameters()])

    return step


def least_us(step: Callable[[], object], times: int) -> float:
    """Microseconds of a call, the least mean of five rounds."""
    step()
    took = []
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(times):
            step()
        took.append((time.thread_time() - begun) / times)
    return min(took) * 1e6


def others(weights: Sequence[Tensor], x: Tensor, y: Tensor, cell: str) -> int:
    """How many lanes have other bits, in any gradient or probability, than the same lane alone."""
    found, told = gradients(weights, x, y, cell)
    count = 0
    for lane in range(len(x)):
        own = [part[lane : lane + 1].detach().clone().requires_grad_() for part in weights]
        alone, told_alone = gradients(own, x[lane : lane + 1].clone(), y[lane : lane + 1], cell)
        same = torch.equal(told_alone[0], told[lane])
        count += not (same and all(torch.equal(a[lane], b[0]) for a, b in zip(found, alone, strict=True)))
    return count


def main() -> None:
    """Each cell in two sizes."""
    torch.set_num_threads(1)
    x, y = torch.randn(32, ROWS, STEPS, CHANNELS), torch.randint(0, 10, (32, ROWS))
    for cell, gates in GATES.items():
        for units in (48, 96):
            told = [f"torch.nn {least_us(plain(cell, units, x[0], y[0]), 30):.0f}"]
            for lanes in (1, 8, 32):
                weights = initial(lanes, units, gates)
                part = weights, x[:lanes], y[:lanes], cell
                took = least_us(lambda part=part: gradients(*part), max(2, 30 // lanes)) / lanes
                told.append(f"{lanes} lanes {took:.0f} ({others(*part)} differ)")
            print(f"{cell} {units}: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
