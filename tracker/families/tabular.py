"""The family of residual networks over tables, with embeddings of numbers and categories; each run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tracker.families.costs import Cost, cost_of_module
from tracker.families.family import OwnFunction
from tracker.families.solo import ModuleEngine, PlainFamily
from tracker.records import TrialSpec
from tracker.standalone import tabular
from tracker.standalone.transform import NUMBER
from tracker.training.arrays import Arrays
from tracker.training.augment import fault as augmentation_fault


class TabularFamily(PlainFamily):
    """See `tracker.families.family.Family`."""

    def start(self, specs: Sequence[TrialSpec], arrays: Arrays, own: OwnFunction | None = None) -> ModuleEngine:
        """The network of one run, not built yet."""
        del own
        [spec] = specs

        def make() -> torch.nn.Module:
            return tabular.network(spec.params, arrays.widths, arrays.classes, arrays.x_train)

        return self.engine(spec, arrays, make, tabular.ROWS_AT_ONCE)

    def cost(self, spec: TrialSpec, features: int, classes: int, input_shape: Sequence[int]) -> Cost | None:
        """As if all features were numbers, which cost the most."""
        if input_shape:
            return None
        with torch.device("meta"):
            net = tabular.network(spec.params, (NUMBER,) * features, classes)
        return cost_of_module(net, (features,))

    def input_fault(self, params: Mapping[str, Any], input_shape: Sequence[int]) -> str | None:
        """Rows of a table, that can be augmented so."""
        if input_shape:
            return (
                "family tabular reads rows of a table, and the rows have a shape (data.shape); take family cnn or rnn"
            )
        return augmentation_fault(params, input_shape)


FAMILY = TabularFamily("tabular")
