"""The family of the user's own networks: `build` gives a torch module, and the one training loop trains it, each run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any

import torch

from tracker.errors import TrainingError
from tracker.families.family import OwnFunction
from tracker.families.own_code import require_arguments, running
from tracker.families.solo import ModuleEngine, SoloFamily
from tracker.records import TrialSpec
from tracker.seeds import AmbientRandomness, derive_seed
from tracker.standalone.build import COLUMNS, call_build
from tracker.training.arrays import Arrays
from tracker.training.augment import fault as augmentation_fault

ARGUMENTS = ("hyperparameters", "input_shape", "classes")


class BuildFamily(SoloFamily):
    """See `tracker.families.family.Family`."""

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None) -> ModuleEngine:
        """The network of one run, not built yet."""
        if own is None:
            raise ValueError("a network of the user's own cannot be trained without its function")
        [spec] = specs

        def make() -> torch.nn.Module:
            module = call_build(own, deepcopy(dict(spec.params)), arrays.input_shape, arrays.classes, arrays.columns)
            if not isinstance(module, torch.nn.Module):
                raise TrainingError(f"build must give a torch.nn.Module; it gave {type(module).__name__}")
            return module

        def inside(*purpose: str | int) -> AbstractContextManager[None]:
            return running(spec, AmbientRandomness(derive_seed(spec.seed, "build", *purpose)))

        return ModuleEngine(spec, arrays, make, inside, own=True)

    def input_fault(self, params: Mapping[str, Any], input_shape: Sequence[int]) -> str | None:
        """Rows of any shape will do, if they can be augmented so."""
        return augmentation_fault(params, input_shape)

    def require(self, own: OwnFunction, entry: str) -> None:
        """A function that takes hyperparameters, input_shape, classes, and columns where it wants the features' names."""
        require_arguments(own, entry, ARGUMENTS, COLUMNS)


FAMILY = BuildFamily()
