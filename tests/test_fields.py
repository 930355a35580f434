"""The border: what no part of the project writes is refused by name, what it writes passes, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracking.studies import SERVING, finished, proposal, study_spec
from tracker import fields
from tracker.canonical import MOST_DEPTH, canonical_json, parse_canonical
from tracker.fields import check_foreign
from tracker.records import Proposal, StudySpec, Timing, TrialOutcome, record_from, record_json
from tracker.shapes import ShapeError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = (study_spec(), proposal(0), finished(proposal(0)).outcome, finished(proposal(0)).timing)


def test_what_is_refused_is_named() -> None:
    """The place, what was expected, what was found: enough to find it in a record of thousands of numbers."""
    value = record_json(finished(proposal(0)).outcome)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"state": "evil"}, "state: expected complete or failed or paused, found 'evil'"),
        ({"epochs": True}, "epochs: expected a whole number from 0 to 9999999, found True"),
        ({"weights": "../../x"}, "weights: expected a SHA-256 (64 hexadecimal digits), found '../../x'"),
        ({"metrics": {"val_f1": 10**400}}, "metrics.val_f1: expected a number, found a larger one"),
        (
            {"history": [{"epoch": 1, "val_loss": "\x1b[31m"}]},
            r"history.0.val_loss: expected a number, found '\x1b[31m'",
        ),
    ]
    for change, words in cases:
        with pytest.raises(ShapeError) as told:
            record_from(TrialOutcome, {**value, **change})
        assert words == str(told.value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(RECORDS), st.integers(0, 40), JSON)
def test_any_value_in_any_field_passes_or_is_refused(record: Any, place: int, value: Any) -> None:
    """Whatever stands in a field, reading ends in a record that reads back equal, or in an error that names a place."""
    text = record_json(record)
    name = sorted(text)[place % len(text)]
    try:
        content = canonical_json({**text, name: value})
        found = record_from(type(record), parse_canonical(content))
    except (ValueError, TypeError) as error:
        assert str(error)  # noqa: PT017  either may happen
    else:
        assert found == found  # noqa: PLR0124  it can be compared: no NaN that a list hides breaks it
        assert record_json(record_from(type(found), parse_canonical(canonical_json(record_json(found)))))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_a_value_or_a_value_error(content: bytes | str) -> None:
    """A text that is no JSON ends in ValueError, which every reader catches."""
    try:
        parse_canonical(content)
    except ValueError as error:
        assert str(error)  # noqa: PT017  either may happen


@pytest.mark.parametrize(
    "shape", [fields.report, fields.result, fields.model, fields.final, fields.look, fields.serving]
)
@settings(max_examples=60, deadline=None)
@given(value=JSON)
def test_any_value_passes_a_shape_or_is_refused(shape: fields.Check, value: Any) -> None:
    """Reports, results, models, looks: a value that is none is a ValueError and nothing else."""
    try:
        shape(value)
    except ValueError as error:
        assert str(error)  # noqa: PT017  either may happen


def test_what_the_project_writes_passes() -> None:
    """Records and what lies beside them."""
    for kind, record in zip((StudySpec, Proposal, TrialOutcome, Timing), RECORDS, strict=True):
        assert record_json(record) == record_json(
            record_from(kind, parse_canonical(canonical_json(record_json(record))))
        )
    fields.serving(SERVING)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[" * 200 + b"]" * 200, b'{"a":' * 70 + b"1" + b"}" * 70])
def test_depth_has_a_limit(text: bytes) -> None:
    """Deeper than anything of ours is refused, whether the parser could read it or not."""
    with pytest.raises(ValueError, match=f"nested more than {MOST_DEPTH} deep"):
        parse_canonical(text)


def test_size_has_a_limit() -> None:
    """Bytes and values: a text of commas alone may ask for no memory."""
    with pytest.raises(ValueError, match="too large"):
        parse_canonical(b"[" + b"0," * 2000 + b"0]", most_bytes=8000)
    with pytest.raises(ValueError, match="too large"):
        parse_canonical(b'"' + b"x" * 8000 + b'"', most_bytes=8000)
    assert list(range(100)) == parse_canonical(canonical_json(list(range(100))), most_bytes=8000)


@pytest.mark.parametrize("text", [b'"\\ud800"', b'{"\\udfff": 1}', b'{"$float": []}', b'{"$float": {}}'])
def test_what_cannot_be_written_is_not_read(text: bytes) -> None:
    """Half a character is refused; an entry that only looks like a float is an entry."""
    if b"$float" in text:
        assert {"$float"} == set(parse_canonical(text))
    else:
        with pytest.raises(ValueError, match="surrogates not allowed"):
            parse_canonical(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a/b",
        "-rf",
        "7",
        "x" * 65,
        "a\n",
        "nested.tpe",
        "nested..1of3",
        "nested.a/b.1of3",
        "nested.tpe.1of3\n",
        "nested.tpe.1of3/..",
        "confirm.x",
        "\x1b[31m",
        "ä",
    ],
)
def test_a_study_from_elsewhere_has_a_name_that_params_yaml_could_give(name: str) -> None:
    """A name becomes a folder, a file and a stage; families and samplers must be known here."""
    with pytest.raises(ShapeError, match=r"name: expected letters"):
        check_foreign(name, "mlp", "tpe")
    for sound in ("tpe-2", "nested.tpe-2.1of10", "confirm.choose", "confirm.refit.2"):
        check_foreign(sound, "mlp", "tpe")
    for family, sampler in (("transformer", "tpe"), ("mlp", "cma")):
        with pytest.raises(ShapeError, match=r"is unknown here .* upgrade repro-tracker"):
            check_foreign("tpe", family, sampler)
