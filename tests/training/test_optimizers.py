"""The one optimizer formula against PyTorch's optimizers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.training.optimizers import Optimizer

RATES = st.floats(1e-4, 0.1)


def _reference(params: dict, start: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    value = torch.nn.Parameter(start.clone())
    kinds = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    extra = {"momentum": params["momentum"]} if params["optimizer"] == "sgd" else {}
    optimizer = kinds[params["optimizer"]](
        [value], params["learning_rate"], weight_decay=params["weight_decay"], **extra
    )
    for gradient in gradients:
        value.grad = gradient.clone()
        optimizer.step()
    return value.detach()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(RATES, st.sampled_from([0.0, 0.01]), st.sampled_from([0.0, 0.9])), min_size=4, max_size=4))
def test_every_method_is_pytorchs(rows: list[tuple[float, float, float]]) -> None:
    """sgd with momentum, adam, adamw and rmsprop, mixed in one cohort, take PyTorch's steps (to rounding)."""
    kinds = ["sgd", "adam", "adamw", "rmsprop"]
    params = [
        {"optimizer": kind, "learning_rate": rate, "weight_decay": decay, "momentum": momentum}
        for kind, (rate, decay, momentum) in zip(kinds, rows, strict=True)
    ]
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(4, 32, generator=generator)
    gradients = [torch.randn(4, 32, generator=generator) for _ in range(6)]
    block = [start.clone(), torch.empty(4, 32), torch.zeros(4, 32), torch.zeros(4, 32)]
    optimizer = Optimizer(params)
    for gradient, coefficients in zip(
        gradients, optimizer.coefficients(1, 6, [p["learning_rate"] for p in params]), strict=True
    ):
        block[1].copy_(gradient)
        optimizer.step([block], coefficients)
    for lane, p in enumerate(params):
        expected = _reference(p, start[lane], [g[lane] for g in gradients])
        torch.testing.assert_close(block[0][lane], expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("neighbour", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_lane_takes_the_same_steps_beside_any_neighbour(neighbour: str) -> None:
    """An enormous or tiny gradient of one lane, or another method beside it, changes no bit of the others."""
    mine = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "momentum": 0.0}
    other = {"optimizer": neighbour, "learning_rate": 0.1, "weight_decay": 0.1, "momentum": 0.9}
    generator = torch.Generator().manual_seed(2)
    start, gradient = torch.randn(2, 64, generator=generator), torch.randn(2, 64, generator=generator)
    gradient[0, 0] = 1e25  # its square is infinite in float32

    def stepped(params: list[dict], rows: int) -> torch.Tensor:
        block = [start[:rows].clone(), gradient[:rows].clone(), torch.zeros(rows, 64), torch.zeros(rows, 64)]
        optimizer = Optimizer(params)
        optimizer.step([block], optimizer.coefficients(1, 1, [0.1] * rows)[0])
        return block[0]

    assert torch.equal(stepped([mine], 1)[0], stepped([mine, other], 2)[0])
