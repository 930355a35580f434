"""The one optimizer formula against PyTorch's optimizers."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.hyperparameters import OPTIMIZERS, SCHEDULES
from tracker.training.optimizers import Optimizer
from tracker.training.schedules import Plateau, learning_rates

RATES = st.floats(1e-4, 0.1)


KINDS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


class Lion(torch.optim.Optimizer):
    """As its paper writes it (Chen et al. 2023, algorithm 2)."""

    def __init__(self, parameters: list, rate: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": rate, "decay": weight_decay})
        self.m = torch.zeros_like(parameters[0])

    @torch.no_grad()
    def step(self) -> None:
        group = self.param_groups[0]
        [value] = group["params"]
        update = torch.sign(0.9 * self.m + 0.1 * value.grad)
        value.sub_(group["lr"] * (update + group["decay"] * value))
        self.m = 0.99 * self.m + 0.01 * value.grad


def _schedule(params: dict, optimizer: torch.optim.Optimizer, total: int) -> Any:
    lr, rate = torch.optim.lr_scheduler, params["learning_rate"]
    match params.get("schedule", "constant"):
        case "constant":
            return lr.ConstantLR(optimizer, 1.0)
        case "step":
            return lr.MultiStepLR(optimizer, [total // 2, total * 3 // 4], params["schedule_factor"])
        case "exponential":
            return lr.ExponentialLR(optimizer, params["schedule_factor"] ** (1 / total))
        case "cosine":
            return lr.CosineAnnealingLR(optimizer, total)
        case "one_cycle":
            return lr.OneCycleLR(optimizer, rate, total_steps=total, cycle_momentum=False)


def _reference(params: dict, start: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    value = torch.nn.Parameter(start.clone())
    kind, rate = params["optimizer"], params["learning_rate"]
    extra = {"momentum": params["momentum"], "nesterov": params.get("nesterov", False)} if kind == "sgd" else {}
    optimizer = {**KINDS, "lion": Lion}[kind]([value], rate, weight_decay=params["weight_decay"], **extra)
    schedule = _schedule(params, optimizer, len(gradients))
    for gradient in gradients:
        value.grad = gradient.clone()
        if clip := params.get("gradient_clip"):
            torch.nn.utils.clip_grad_norm_([value], clip)
        optimizer.step()
        schedule.step()
    return value.detach()


def _agree(params: list[dict], steps: int = 6) -> None:
    """All of them as lanes of one cohort, against one torch optimizer each."""
    lanes = len(params)
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(lanes, 32, generator=generator)
    gradients = [torch.randn(lanes, 32, generator=generator) for _ in range(steps)]
    block = [start.clone(), torch.empty(lanes, 32), torch.zeros(lanes, 32), torch.zeros(lanes, 32)]
    optimizer = Optimizer(params)
    for gradient, coefficients in zip(gradients, optimizer.coefficients(1, steps, steps), strict=True):
        block[1].copy_(gradient)
        optimizer.step([block], coefficients)
    for lane, p in enumerate(params):
        expected = _reference(p, start[lane], [g[lane] for g in gradients])
        torch.testing.assert_close(block[0][lane], expected, rtol=2e-5, atol=2e-6, msg=str(p))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(RATES, st.sampled_from([0.0, 0.01]), st.sampled_from([0.0, 0.9])), min_size=6, max_size=6))
def test_every_method_is_pytorchs(rows: list[tuple[float, float, float]]) -> None:
    """All methods, mixed in one cohort, take PyTorch's steps (to rounding), and lion those of its paper."""
    _agree(
        [
            {"optimizer": kind, "learning_rate": rate, "weight_decay": decay, "momentum": momentum}
            for kind, (rate, decay, momentum) in zip(OPTIMIZERS, rows, strict=True)
        ]
    )


@pytest.mark.parametrize("neighbours", [True, False])
def test_clipping_and_nesterov_are_pytorchs(neighbours: bool) -> None:
    """Beside lanes without them and alone: the gradient is shortened to its length, the momentum looks ahead."""
    plain = {"learning_rate": 0.05, "weight_decay": 0.01, "momentum": 0.9}
    special = [
        {**plain, "optimizer": "sgd", "nesterov": True},
        {**plain, "optimizer": "adam", "gradient_clip": 0.5},
        {**plain, "optimizer": "sgd", "nesterov": True, "gradient_clip": 2.0},
        {**plain, "optimizer": "sgd", "gradient_clip": 1e3},
    ]
    if neighbours:
        _agree([*special, *({**plain, "optimizer": kind} for kind in OPTIMIZERS)], steps=10)
    else:
        for params in special:
            _agree([params], steps=10)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "plateau"])
def test_schedules_are_pytorchs(schedule: str) -> None:
    """Over all steps of a run the learning rate goes as torch's scheduler of that name takes it."""
    plain = {"learning_rate": 0.05, "weight_decay": 0.01, "momentum": 0.9, "schedule": schedule, "schedule_factor": 0.2}
    _agree([{**plain, "optimizer": kind} for kind in ("sgd", "adamw")], steps=40)


@given(st.lists(st.sampled_from([1.0, 0.99995, 0.9, 0.5, 2.0]), max_size=25), st.integers(0, 3))
def test_plateaus_are_pytorchs(losses: list[float], patience: int) -> None:
    """After every epoch the learning rate is that of `ReduceLROnPlateau`, also where the run was paused in between."""
    params = {"schedule": "plateau", "schedule_patience": patience, "schedule_factor": 0.3, "learning_rate": 0.5}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=patience, eps=0)
    plateau = Plateau()
    for loss in losses:
        theirs.step(loss)
        plateau.take(params, loss)
        plateau = Plateau.read(plateau.written())
        [rate] = learning_rates(params, 1, 1, 10, plateau.factor)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_warm_up_rises_to_the_learning_rate() -> None:
    """In equal steps from near 0; what comes behind it is the schedule over the steps that are left."""
    params = {"learning_rate": 1.0, "warmup": 0.2}
    assert [0.2, 0.4, 0.6, 0.8, *[1.0] * 16] == pytest.approx(learning_rates(params, 1, 20, 20))
    cosine = learning_rates({**params, "schedule": "cosine"}, 1, 20, 20)
    assert cosine[4:] == pytest.approx(learning_rates({"learning_rate": 1.0, "schedule": "cosine"}, 1, 16, 16))
    assert cosine[7:9] == learning_rates({**params, "schedule": "cosine"}, 8, 2, 20)


@pytest.mark.parametrize("neighbour", OPTIMIZERS)
def test_a_lane_takes_the_same_steps_beside_any_neighbour(neighbour: str) -> None:
    """An enormous or tiny gradient of one lane, or another method beside it, changes no bit of the others."""
    mine = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "momentum": 0.0}
    other = {"optimizer": neighbour, "learning_rate": 0.1, "weight_decay": 0.1, "momentum": 0.9}
    other |= {"nesterov": True, "gradient_clip": 0.5}
    generator = torch.Generator().manual_seed(2)
    start, gradient = torch.randn(2, 64, generator=generator), torch.randn(2, 64, generator=generator)
    gradient[0, 0] = 1e25  # its square is infinite in float32

    def stepped(params: list[dict], rows: int) -> torch.Tensor:
        block = [start[:rows].clone(), gradient[:rows].clone(), torch.zeros(rows, 64), torch.zeros(rows, 64)]
        optimizer = Optimizer(params)
        optimizer.step([block], optimizer.coefficients(1, 1, 1)[0])
        return block[0]

    assert torch.equal(stepped([mine], 1)[0], stepped([mine, other], 2)[0])
