"""Steps of a torch module: gradients by automatic differentiation, the optimizers that all families share, moving averages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, nll_loss

from tracker.errors import TrainingError
from tracker.families.transfer import layer_of, layers_of
from tracker.records import TrialSpec
from tracker.training.optimizers import Optimizer


@dataclass(frozen=True, slots=True)
class Truth:
    """Classes of rows, int64 (rows,); with mixup those of their partners, and each row's own share, float32 (rows,)."""

    y: Tensor
    partners: Tensor | None = None
    shares: Tensor | None = None

    def mixed(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """What `of` says of classes (rows,), float32; both truths count, each by its share."""
        mine = of(self.y)
        if self.partners is None or self.shares is None:
            return mine
        return mine * self.shares + of(self.partners) * (1 - self.shares)


class Steps:
    """Gradients by automatic differentiation, steps by the formula that all families share, on one flat block.

    Parameters of `frozen` layers are no part of it. Those of the head, the last layer, can have a learning rate of their own.
    Module and rows lie on one `device`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        spec: TrialSpec,
        weights: np.ndarray | None,
        frozen: Collection[str] = (),
        device: str = "cpu",
    ) -> None:
        self._weights = None if weights is None else torch.from_numpy(weights.astype(np.float32)).to(device)
        for name, parameter in module.named_parameters():
            if layer_of(name) in frozen:
                parameter.requires_grad_(False)
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._parameters: list[Tensor] = [parameter for _, parameter in named]
        if not self._parameters:
            raise TrainingError("the module has no parameters to train")
        if odd := {str(p.dtype) for p in self._parameters} - {"torch.float32"}:
            raise TrainingError(f"parameters must be torch.float32, found {', '.join(sorted(odd))}")
        self._optimizer = Optimizer([spec.params], device)
        self._smoothing = spec.params.get("label_smoothing", 0.0)
        numbers = sum(parameter.numel() for parameter in self._parameters)
        self._block = tuple(torch.zeros(1, numbers, device=device) for _ in range(4))  # values, gradients, both moments
        self._blocks, self._optimizers = [self._block], [self._optimizer]
        if rate := spec.params.get("head_learning_rate"):
            head = layers_of([name for name, _ in named])[-1]
            body = sum(parameter.numel() for name, parameter in named if layer_of(name) != head)
            self._blocks = [tuple(t[:, :body] for t in self._block), tuple(t[:, body:] for t in self._block)]
            self._optimizers.append(Optimizer([{**spec.params, "learning_rate": rate}], device))
        self._views = [self._split(tensor[0]) for tensor in self._block[:2]]
        self._decay = spec.params.get("weight_averaging", 0.0)
        self._mean_values = torch.zeros(1, numbers, device=device) if self._decay else None
        self._is_first = True

    def begin(self, first_step: int, steps: int, total: int, factor: float) -> None:
        """The coefficients of an epoch's steps, of `total` in the run; plateaus have made `factor` of the learning rate."""
        told = [optimizer.coefficients(first_step, steps, total, [factor]) for optimizer in self._optimizers]
        self._coefficients = zip(*told, strict=True)
        self._is_first = first_step == 1

    def take(self, module: torch.nn.Module, x: Tensor, truth: Truth, classes: int) -> Tensor:
        """One step on a batch; the loss of each of its rows, float32 (rows,), where the rows lie: nothing waits for it."""
        module.zero_grad(set_to_none=True)
        logits = module(x)
        if not isinstance(logits, Tensor) or logits.shape != (len(x), classes):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise TrainingError(f"the model gives {found} for {len(x)} rows; expected logits ({len(x)}, {classes})")
        log_p = log_softmax(logits.to(torch.float32), 1)
        losses = truth.mixed(lambda y: nll_loss(log_p, y, reduction="none"))
        smooth = losses if not self._smoothing else losses * (1 - self._smoothing) - log_p.mean(1) * self._smoothing
        self._mean(smooth, truth).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            values, gradients = self._views
            torch._foreach_copy_(values, self._parameters)
            torch._foreach_copy_(gradients, [_gradient(parameter) for parameter in self._parameters])
            self._optimizer.step(self._blocks, *next(self._coefficients))
            self._put(self._views[0])
            if self._mean_values is not None:
                self._mean_values.lerp_(self._block[0], 1.0 if self._is_first else 1 - self._decay)
            self._is_first = False
        return losses.detach()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the module has the moving average of its weights, where one is wanted; its buffers are as they are."""
        if self._mean_values is None:
            yield
            return
        before = [parameter.detach().clone() for parameter in self._parameters]
        self._put(self._split(self._mean_values[0]))
        try:
            yield
        finally:
            self._put(before)

    def _put(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, list(values))

    def moments(self) -> dict[str, Tensor]:
        """Copies of both moments and of the averages, float32 (1, numbers), on the CPU."""
        means = {} if self._mean_values is None else {"means": self._mean_values.cpu().clone()}
        return {"first": self._block[2].cpu().clone(), "second": self._block[3].cpu().clone(), **means}

    def put_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Puts back what `moments` gave."""
        self._block[2].copy_(moments["first"])
        self._block[3].copy_(moments["second"])
        if self._mean_values is not None:
            self._mean_values.copy_(moments["means"])

    def _mean(self, losses: Tensor, truth: Truth) -> Tensor:
        """The mean over the rows, each with the weight of its class."""
        if (of_class := self._weights) is None:
            return losses.mean()
        weights = truth.mixed(lambda y: of_class[y])
        return (losses * weights).sum() / weights.sum()

    def _split(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat tensor, one per parameter."""
        sizes = [parameter.numel() for parameter in self._parameters]
        parts: tuple[Tensor, ...] = torch.split(flat, sizes)
        return [part.view_as(p) for part, p in zip(parts, self._parameters, strict=True)]


def _gradient(parameter: Tensor) -> Tensor:
    """The gradient of a parameter; of one that had no part in the loss it is zero."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
