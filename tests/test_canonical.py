"""Canonical bytes are the same everywhere, lose nothing, and never change unseen."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.canonical import (
    canonical_json,
    digest,
    digest_arrays,
    digest_bytes,
    digest_file,
    digest_table,
    parse_canonical,
)
from tracker.datasets.keys import content_keys, hex_keys, text_keys, uniform
from tracker.datasets.salts import lineage_digest

GOLDEN = json.loads((Path(__file__).parent / "golden" / "canonical.json").read_text())
FIRST = GOLDEN["tracker/1"]
VALUES = {
    "null": None,
    "mapping": {"b": [1, 1.0, True, "é"], "a": {"x": None}},
    "floats": [0.1, 1e-4, 1e16, 5e-324, -0.0, math.nan, math.inf, -math.inf],
    "text": 'line\nquote" \u2028 \U0001f600',
    "large": 2**63,
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | TEXT
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT.filter(lambda key: key != "$float"), inner),
    max_leaves=20,
)


def spelled(value):
    """Equal exactly where two values have equal types and bits; nan equals nan, 1 differs from 1.0 and True."""
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(item) for item in value]
    return (type(value).__name__, repr(value))


@given(NESTED)
def test_round_trip_loses_nothing(value):
    """Reading canonical JSON gives the value back: every float's bits, every type, all text."""
    assert spelled(value) == spelled(parse_canonical(canonical_json(value)))


@given(st.floats() | st.sampled_from([-0.0, 5e-324, 2.2250738585072014e-308, math.nan, math.inf, -math.inf]))
def test_floats_round_trip(value):
    """Denormals, signed zero and the values JSON has no word for too."""
    assert spelled(value) == spelled(parse_canonical(canonical_json([value]))[0])


@given(st.dictionaries(TEXT, SCALARS).filter(lambda value: list(value) != ["$float"]))
def test_the_order_of_a_mapping_means_nothing(value):
    """Two mappings with equal entries have one text."""
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_types_matter():
    """1, 1.0, true and "1" are four values."""
    assert 4 == len({digest("value", value) for value in (1, 1.0, True, "1")})


def test_kinds_matter():
    """Equal values of two kinds have two digests."""
    assert digest("trial", 1) != digest("study", 1)


@pytest.mark.parametrize(
    "value",
    [object(), {1: 2}, {"a": {1, 2}}, np.float64(1.0), np.int64(1), b"bytes", {"$float": "nan"}, Path("x")],
)
def test_what_has_no_canonical_form_is_refused(value):
    """Nothing reaches a digest through `repr` or a guess."""
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_digests_are_pinned(name):
    """These digests are in every store; if one changes on purpose, raise FORMAT and renew tests/golden/canonical.json."""
    assert GOLDEN[name] == digest("golden", VALUES[name])


@pytest.mark.parametrize("name", sorted(VALUES))
def test_digests_of_the_first_format_stay(name):
    """Who names `tracker/1` gets the digests of that format, for ever; see tests/golden/canonical.json."""
    assert FIRST[name] == digest("golden", VALUES[name], "tracker/1")


def test_no_row_moves_with_the_format():
    """Row keys and the lineages of salts stay those of `tracker/1`, or rows would move between splits."""
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, None], "t": ["a", None]})
    keys = content_keys(frame, {"n": "numeric", "x": "numeric", "t": "categorical"})
    assert FIRST["rows"] == hex_keys(keys)
    assert FIRST["names"] == hex_keys(text_keys(frame["t"], "name"))
    assert FIRST["places"] == uniform(keys, 5).tolist()
    assert FIRST["lineage"] == lineage_digest({"method": "stratified", "seed": 7})


def test_digests_ignore_the_process():
    """Another process with another hash seed gives the same digest."""
    code = "from tracker.canonical import digest; print(digest('golden', {'b': [1, 1.0, True, 'é'], 'a': {'x': None}}))"
    for seed in ("0", "1"):
        found = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert GOLDEN["mapping"] == found.stdout.strip()


def test_array_digests_are_pinned():
    """Names, types, shapes and little-endian bytes; see tests/golden/canonical.json."""
    arrays = {"weight": np.arange(6, dtype="<f4").reshape(2, 3), "bias": np.array([1.5, np.nan])}
    assert GOLDEN["arrays"] == digest_arrays(arrays) == digest_arrays(dict(reversed(arrays.items())))
    assert GOLDEN["arrays"] == digest_arrays({**arrays, "weight": arrays["weight"].astype(">f4")})
    assert GOLDEN["arrays"] == digest_arrays({**arrays, "weight": np.asfortranarray(arrays["weight"])})


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(2, "f8")},
        {"a": np.zeros((1, 2), "f4")},
        {"b": np.zeros(2, "f4")},
        {"a": np.array([0.0, -0.0], "f4")},
        {"a": np.zeros(2, "f4"), "b": np.zeros(0)},
    ],
)
def test_arrays_that_differ_have_other_digests(other):
    """In type, shape, name, sign of zero, or number."""
    assert digest_arrays({"a": np.zeros(2, "f4")}) != digest_arrays(other)


def test_a_scalar_array_is_not_a_vector():
    """Shape () differs from shape (1,)."""
    assert digest_arrays({"a": np.float64(1)}) != digest_arrays({"a": np.ones(1)})


def test_arrays_of_objects_are_refused():
    """Their bytes would be addresses."""
    with pytest.raises(TypeError, match="labels: objects"):
        digest_arrays({"labels": np.array(["a"], dtype=object)})


def test_table_digests_are_pinned():
    """Names, kinds and cells, whatever type pandas chose for text; see tests/golden/canonical.json."""
    columns = {"n": [1, 2], "x": [0.5, None], "t": ["a", None], "b": [True, False]}
    frame = pd.DataFrame(columns)
    assert GOLDEN["table"] == digest_table(frame)
    assert GOLDEN["table"] == digest_table(frame.astype({"t": "string"})) == digest_table(frame.astype({"t": object}))
    assert GOLDEN["table"] == digest_table(frame.set_index(pd.Index([7, 3])))


def test_tables_that_differ_have_other_digests():
    """In a cell, a name, the order of rows or columns, or a type."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    others = [
        frame[::-1],
        frame[["b", "a"]],
        frame.rename(columns={"a": "c"}),
        frame.astype({"a": float}),
        frame.assign(b=["x", "z"]),
        frame.head(1),
    ]
    assert 7 == len({digest_table(table) for table in [frame, *others]})


def test_file_digests(tmp_path):
    """A file has the digest of its bytes."""
    (tmp_path / "file").write_bytes(b"content")
    assert digest_bytes(b"content") == digest_file(tmp_path / "file")
