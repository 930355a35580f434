"""Seeds follow from the root seed and a path of names, for ever."""

import json
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.seeds import bit_generator, derive_seed, torch_generator

GOLDEN = json.loads((Path(__file__).parent / "golden" / "seeds.json").read_text())


def test_seeds_are_pinned():
    """Whatever the format of records is: a change here would change every trial; see tests/golden/seeds.json."""
    assert GOLDEN["seeds"] == [
        derive_seed(2026, "study", "tpe", "trial", 42),
        derive_seed(0),
        derive_seed(2**63 - 1, "é"),
    ]


def test_generators_are_pinned():
    """The streams of both generators; NumPy and PyTorch keep theirs by policy."""
    assert GOLDEN["words"] == [str(word) for word in bit_generator(2026, "batches").random_raw(3)]
    drawn = torch.randint(2**31, (3,), generator=torch_generator(2026, "weights"))
    assert GOLDEN["torch"] == drawn.tolist()


@given(st.integers(0, 2**63 - 1), st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers()))
def test_seeds_have_32_bits_and_repeat(root, names):
    """Any path of names gives one seed that every library takes."""
    assert 0 <= derive_seed(root, *names) == derive_seed(root, *names) < 2**32


def test_paths_are_not_glued():
    """Names are kept apart, and a number differs from its digits."""
    paths = [("ab", "c"), ("a", "bc"), ("abc",), (1,), ("1",), ()]
    assert len(paths) == len({derive_seed(1, *path) for path in paths})


def test_seeds_are_spread():
    """Ten thousand trials of a study hardly share a seed."""
    assert len({derive_seed(1, "trial", number) for number in range(10_000)}) > 9_995


def test_global_generators_are_left_alone():
    """Nobody else's randomness moves."""
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the state that must not move
    torch_generator(1, "a")
    bit_generator(1, "a").random_raw(5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
