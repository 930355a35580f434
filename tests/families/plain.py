"""Training as plain PyTorch does it, from the batches that ours draws: what every engine is held against."""

from __future__ import annotations

import torch
from safetensors.torch import load as read_safetensors

from tracker.training.draws import draw_batches


def train_plainly(
    net: torch.nn.Module, steps: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, seed: int, epochs: int
) -> None:
    """Epochs over batches of 16 rows, the network and its optimizer changed in place."""
    net.train()
    for epoch in range(1, epochs + 1):
        for batch in draw_batches(seed, epoch, len(y), 16, 16):
            rows = torch.from_numpy(batch[batch < len(y)])
            steps.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            steps.step()


def assert_same_weights(weights: bytes | None, net: torch.nn.Module) -> None:
    """The tensors of a trained run are those of the network, to the last digits but one or two of float32."""
    assert weights is not None
    ours, theirs = read_safetensors(weights), net.state_dict()
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=2e-4, atol=2e-5, msg=name)
