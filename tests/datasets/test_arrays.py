"""Images and sequences from files: what becomes of them in the table, padding and mask, and what is wrong with them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tracker.config import Config, parse_config, read_yaml
from tracker.datasets.load import read_table
from tracker.datasets.prepare import inspect_data, prepare
from tracker.datasets.split import split
from tracker.datasets.training_data import load_training_data
from tracker.errors import DataError
from tracker.project.begin import Wishes, begin

RNG = np.random.default_rng(3)
LABELS = np.array(["a", "b"])[np.arange(40) % 2]


def config(data: str) -> Config:
    text = f"seed: 1\ndata: {data}\nstudies: {{one: {{sampler: manual, configurations: [{{}}]}}}}\n"
    return parse_config(read_yaml(text.encode(), "params.yaml"), "params.yaml")


def inspect(data: str, root: Path) -> tuple[pd.DataFrame, Any]:
    given = config(data)
    frame, _, report = inspect_data(given.data, given.preprocessing, root)
    return frame, report


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 3, 5), (1, 3, 5)), ((40, 2, 3, 5), (2, 3, 5)), ((40, 6), None)], ids=str
)
def test_arrays_become_a_column_per_number(tmp_path: Path, shape: tuple[int, ...], expected: Any) -> None:
    """Every number of X is where its place in the array says, and the report tells the shape of a row."""
    x = RNG.integers(0, 255, shape, dtype=np.uint8)
    (tmp_path / "a.npz").write_bytes(npz(X=x, y=LABELS, who=np.arange(40) + 100))
    frame, report = inspect("{source: a.npz, id: who}", tmp_path)
    assert (expected, False) == (report.shape, report.mask)
    for place in ((0,) * (len(shape) - 1), tuple(side - 1 for side in shape[1:])):
        name = "x_" + "_".join(map(str, place))
        np.testing.assert_array_equal(frame[name], x[(slice(None), *place)])
    assert list(frame["target"]) == list(LABELS)
    assert "100" == frame["who"].iloc[0]


def test_a_declared_shape_comes_before_that_of_the_array(tmp_path: Path) -> None:
    """Three dimensions are images, unless they are declared to be sequences."""
    (tmp_path / "a.npz").write_bytes(npz(x=RNG.normal(size=(40, 7, 3)), labels=LABELS))
    assert (1, 7, 3) == inspect("{source: a.npz}", tmp_path)[1].shape
    assert (7, 3) == inspect("{source: a.npz, shape: [7, 3]}", tmp_path)[1].shape


def ragged(rows: int = 40) -> list[np.ndarray[Any, Any]]:
    """Sequences of 2 channels and 3 to 6 steps."""
    rng = np.random.default_rng(5)
    return [rng.normal(size=(int(length), 2)).round(3) for length in [3, 6, *rng.integers(3, 7, rows - 2)]]


def write_ts(path: Path, series: list[np.ndarray[Any, Any]], labels: Any) -> None:
    head = "# made for a test\n@problemName made\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n"
    lines = [
        ":".join(",".join(map(str, one[:, c])) for c in (0, 1)) + f":{y}" for one, y in zip(series, labels, strict=True)
    ]
    path.write_text(head + "\n".join(lines) + "\n")


def long_table(series: list[np.ndarray[Any, Any]], labels: Any) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {"who": f"s{place:02d}", "t": np.arange(len(one)), "u": one[:, 0], "v": one[:, 1], "target": label}
        )
        for place, (one, label) in enumerate(zip(series, labels, strict=True))
    ]
    return pd.concat(parts).sample(frac=1, random_state=2)


def written(kind: str, root: Path) -> str:
    """The same sequences in one of the ways to write them; gives the entries of `data`."""
    series = ragged()
    if kind == "ts":
        write_ts(root / "a.ts", series, LABELS)
        return "{source: a.ts}"
    if kind == "steps":
        long_table(series, LABELS).to_csv(root / "a.csv", index=False)
        return "{source: a.csv, sequences: {by: who, order: t}}"
    columns = {"u": [one[:, 0] for one in series], "v": [one[:, 1] for one in series]}
    if kind == "nested":
        columns = {"uv": [[list(step) for step in one] for one in series]}
    pd.DataFrame({**columns, "target": LABELS}).to_parquet(root / "a.parquet")
    return "{source: a.parquet, sequences: lists}"


@pytest.mark.parametrize("kind", ["ts", "steps", "lists", "nested"])
def test_sequences_of_several_lengths_are_padded_and_masked(tmp_path: Path, kind: str) -> None:
    """However they are written, the same sequences give the same rows: numbers, then gaps, and 1 or 0 for each step."""
    frame, report = inspect(written(kind, tmp_path), tmp_path)
    assert ((6, 3), True) == (report.shape, report.mask)
    assert "the last channel says which steps are there" in report.lines()[1]
    found = frame[[f"x_{t}_{c}" for t in range(6) for c in range(3)]].to_numpy(dtype=float).reshape(40, 6, 3)
    for row, one in zip(found, ragged(), strict=True):
        np.testing.assert_array_equal(row[: len(one), :2], one)
        assert np.isnan(row[len(one) :, :2]).all()
        np.testing.assert_array_equal(row[:, 2], np.arange(6) < len(one))
    assert list(frame["target"]) == list(LABELS)


def test_padding_is_no_gap(tmp_path: Path) -> None:
    """`tracker check` and `prepare` count what is missing within sequences, and say how it is filled only then."""
    _, whole = inspect(written("steps", tmp_path), tmp_path)
    assert "gaps filled" not in whole.lines()[1]
    assert " numeric  0 " in whole.lines()[1]
    steps = pd.read_csv(tmp_path / "a.csv")
    steps.loc[steps.index[[4, 9]], "u"] = np.nan
    steps.loc[steps.index[9], "v"] = np.nan
    steps.to_csv(tmp_path / "a.csv", index=False)
    _, report = inspect("{source: a.csv, sequences: {by: who, order: t}}", tmp_path)
    assert " numeric  3 " in report.lines()[1]
    assert "gaps filled: median" in report.lines()[1]


def test_a_mask_is_not_scaled_and_padding_not_counted(tmp_path: Path) -> None:
    """What a network reads: scaled by the numbers that are there, the mask as it is; rows are named by their sequence."""
    given, paths = config(written("steps", tmp_path)), [tmp_path / name for name in ("p", "s", "t", "salts.json")]
    prepare(given.data, given.preprocessing, tmp_path, paths[0])
    split(given.split, 1, *paths)
    data = load_training_data(paths[1], given.preprocessing)
    assert ((6, 3), True) == (data.shape, data.mask)
    assert "who" == json.loads((paths[0] / "schema.json").read_text())["id"]
    x = data.x_train.reshape(-1, 6, 3)
    assert {0.0, 1.0} == set(x[..., 2].ravel().tolist())
    there = x[..., 2] == 1
    np.testing.assert_allclose(x[there][:, :2].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x[there][:, :2].std(0), 1, rtol=1e-5)


def test_the_recurrent_network_never_reads_padding() -> None:
    """Whatever stands behind the end of a sequence, it says what the sequence alone makes it say, both ways and on average."""
    import torch

    from tracker.hyperparameters import active
    from tracker.standalone import rnn

    for cell, readout in (("lstm", "last"), ("gru", "average")):
        params = active("rnn", {"cell": cell, "units": 5, "bidirectional": True, "readout": readout, "layers": 2})
        net = rnn.network(params, (6, 3), 2, mask=True).eval()
        plain = rnn.network(params, (4, 2), 2).eval()
        plain.load_state_dict(net.state_dict())
        steps = torch.randn(3, 4, 2)
        padded = torch.full((3, 6, 3), 7.0)
        padded[:, :4, :2], padded[..., 2] = steps, (torch.arange(6) < 4).float()
        with torch.no_grad():
            torch.testing.assert_close(net(padded), plain(steps))


@pytest.mark.parametrize(("kind", "family"), [("npz", "cnn"), ("ts", "rnn")])
def test_init_begins_a_project_for_images_and_sequences(tmp_path: Path, kind: str, family: str) -> None:
    """The family fits what the file holds, and what is written is a configuration that could run."""
    from tracker.config import load_config
    from tracker.paths import Paths
    from tracker.terminal.forecast import forecast

    name = f"a.{kind}"
    if kind == "ts":
        write_ts(tmp_path / name, ragged(60), np.array(["a", "b"])[np.arange(60) % 2])
    else:
        (tmp_path / name).write_bytes(npz(X=RNG.integers(0, 9, (60, 9, 8)), y=np.arange(60) % 3))
    begin(Wishes(name, "target"), tmp_path, None)
    made = load_config(tmp_path / "params.yaml")
    assert family == made.model.family
    lines = list(forecast(made, Paths.of(tmp_path, {})))
    assert not any("not known beforehand" in line for line in lines)
    assert any(" trials: about" in line and "if no training stops early" in line for line in lines)


IMAGES = {"X": np.zeros((4, 3, 3)), "y": np.array([0, 1, 0, 1])}
WRONG_ARRAYS = [
    ({"a": np.zeros(3)}, "has no array X, but a; write it with np.savez_compressed"),
    ({}, "has no array X, but nothing"),
    ({"X": np.zeros(4), "y": np.arange(4)}, r"X has the shape \(4,\); expected \(rows, height, width\)"),
    ({"X": np.zeros((4, 1, 1, 1, 2))}, r"X has the shape \(4, 1, 1, 1, 2\); expected"),
    ({"X": np.zeros((0, 3, 3))}, "in which nothing is left"),
    ({"X": np.zeros((4, 8, 8, 3))}, r"channels last; give channels first: X.transpose\(0, 3, 1, 2\)"),
    (
        {"X": np.zeros((2, 3, 64, 64), np.uint8)},
        "a row of X has 12288 numbers; at most 10000 are read; make images smaller",
    ),
    ({"X": np.array([["a", "b"]])}, "X holds <U1; expected numbers"),
    ({**IMAGES, "y": np.arange(3)}, r"y has the shape \(3,\); expected one cell per row of X, \(4,\)"),
    ({**IMAGES, "y": np.zeros(4, complex)}, "y holds complex128; expected numbers or texts"),
    (
        {**IMAGES, "y": np.array([0, 1, None, 1], object)},
        "y.npy: cannot be read .it holds Python objects, which are not read",
    ),
]


@pytest.mark.parametrize(("arrays", "told"), WRONG_ARRAYS, ids=[told for _, told in WRONG_ARRAYS])
def test_arrays_that_are_none_are_refused(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    """One line with the file, the array and a remedy; objects in an array are never opened."""
    (tmp_path / "a.npz").write_bytes(npz(**arrays))
    with pytest.raises(DataError, match=rf"a\.npz: .*{told}"):
        read_table("a.npz", tmp_path)


HEAD = "@classLabel true a b\n@data\n"
WRONG_SERIES = [
    ("1,2:a\n", "has no line @data; expected a .ts file"),
    ("@timeStamps true\n" + HEAD + "1,2:a\n", "@timeStamps true is not read"),
    ("@data\n1,2:a\n", "has no classes"),
    (HEAD, "has no sequences"),
    (HEAD + "1,2,a\n", "line 3: expected channels and a class, separated by colons"),
    (HEAD + "1,2:3:a\n", "line 3: its channels have 2, 1 steps; expected one length within a sequence"),
    (HEAD + "1,2:a\n1,x:b\n", "line 4: expected a number or .*, found 'x'"),
    (HEAD + "1,2:a\n1:2:b\n", "sequence 2 has 2 channels, the first has 1; expected one number for all"),
    (HEAD + ",".join(["1"] * 6000) + ":a\n", "6000 steps of 1 channels; at most 10000 numbers are read of a sequence"),
]


@pytest.mark.parametrize(("text", "told"), WRONG_SERIES, ids=[told for _, told in WRONG_SERIES])
def test_sequences_that_are_none_are_refused(tmp_path: Path, text: str, told: str) -> None:
    """One line with the file, the line and a remedy."""
    (tmp_path / "a.ts").write_text(text)
    with pytest.raises(DataError, match=rf"a\.ts.*{told}"):
        read_table("a.ts", tmp_path)


def steps(**changes: Any) -> pd.DataFrame:
    table = pd.DataFrame(
        {"who": [1, 1, 2, 2], "t": [0, 1, 0, 1], "u": [0.1, 0.2, 0.3, 0.4], "target": ["a", "a", "b", "b"]}
    )
    return table.assign(**changes)


WRONG_STEPS = [
    (steps(), "lists", "data.sequences: lists, and no column holds lists of numbers"),
    (steps(), "{by: nobody, order: t}", "data.sequences.by: the table has no column 'nobody'"),
    (steps(t=[0, 0, 0, 1]), "{by: who, order: t}", "sequence 1 has two steps at t 0; leave one out"),
    (steps(t=[0, None, 0, 1]), "{by: who, order: t}", "column 't' has gaps; every step needs its sequence"),
    (
        steps(target=["a", "b", "b", "b"]),
        "{by: who, order: t}",
        "column 'target' changes within a sequence and is no number",
    ),
    (steps(z=["p", "q", "p", "p"]), "{by: who, order: t}", r"column 'z' changes .* leave it out: data.drop: \[z\]"),
    (steps().drop(columns="u"), "{by: who, order: t}", "no column of numbers is left for the steps"),
    (steps(u=[[1], [2, "x"], [1], [2]]), "lists", "row 2: column 'u': expected a list of numbers"),
    (
        steps(u=[[1], [2, 3], [1], [2]], w=[[1], [2], [1], [2]]),
        "lists",
        "row 2: its lists have different lengths .u 2, w 1.",
    ),
]


@pytest.mark.parametrize(("table", "entry", "told"), WRONG_STEPS, ids=[told for *_, told in WRONG_STEPS])
def test_tables_of_steps_that_are_none_are_refused(tmp_path: Path, table: pd.DataFrame, entry: str, told: str) -> None:
    """One line with the column or row at fault and a remedy."""
    from tracker.datasets.load_series import as_sequences

    with pytest.raises(DataError, match=told):
        as_sequences(table, config(f"{{source: a.csv, sequences: {entry}}}").data)
