"""What training is estimated to cost: multiply-adds counted from layers, against those counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.families.test_shaped import spec
from tracker.families.costs import ALONE_FLOPS, ALONE_STEP_S, CELL_S, MAP_S, _shapes_of_cells
from tracker.families.family import open_family


def cost(family: str, shape: tuple[int, ...], **knobs: Any) -> Any:
    return open_family(family).cost(spec(family, **knobs), 0, 3, shape)


def test_a_convolutional_networks_products_and_maps_are_counted() -> None:
    """Two blocks of 3 x 3 kernels over 6 x 6 and 3 x 3 places, a head of 4 and 3: products, maps and parameters."""
    found = cost("cnn", (1, 6, 6), blocks=2, filters=[3, 5], head_units=4)
    products = 3 * 9 * 36 + 5 * 3 * 9 * 9 + 5 * 4 + 4 * 3
    maps = 3 * 36 + 5 * 9
    assert found.row_s == pytest.approx(6 * products / ALONE_FLOPS + MAP_S * maps)
    assert (found.step_s, found.shared) == (ALONE_STEP_S, False)
    assert found.numbers == (3 * 9 + 3) + (5 * 3 * 9 + 5) + (5 * 4 + 4) + (4 * 3 + 3)


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4)])
def test_a_recurrent_networks_steps_are_counted(cell: str, gates: int) -> None:
    """Two layers in both directions over seven steps of two channels: the matrices of all gates, and each step's own price."""
    found = cost("rnn", (7, 2), cell=cell, units=5, layers=2, bidirectional=True, head_units=0)
    products = 7 * 2 * gates * 5 * ((2 + 5) + (10 + 5)) + 10 * 3
    assert found.row_s == pytest.approx(6 * products / ALONE_FLOPS)
    assert found.step_s == pytest.approx(ALONE_STEP_S + 7 * 2 * 2 * CELL_S[cell.upper()])


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_recurrent_layers_are_counted_by_shapes_that_torch_gives(kind: type[torch.nn.RNNBase]) -> None:
    """A layer that is not run for its cost says the shapes of outputs and state that it has when it is run."""
    layer, x = kind(2, 5, num_layers=2, batch_first=True, bidirectional=True), torch.zeros(1, 7, 2)
    outputs, state = layer(x)
    told, state_told = _shapes_of_cells(layer, x)
    states = (state, state_told) if isinstance(state, tuple) else ((state,), (state_told,))
    assert (outputs.shape, *(one.shape for one in states[0])) == (told.shape, *(one.shape for one in states[1]))


def test_what_cannot_read_the_rows_has_no_cost() -> None:
    """A kernel that is larger than the image is another check's fault; code of the user's own is not run to be counted."""
    assert cost("cnn", (1, 4, 4), kernel_size=5) is None
    assert cost("rnn", ()) is None
    assert open_family("function").cost(spec("rnn"), 0, 3, (7, 2)) is None
