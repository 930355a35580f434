"""What a source gives, and what is refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.datasets.limits import MAX_COLUMNS
from tracker.datasets.load import read_table
from tracker.datasets.load_csv import parse_csv
from tracker.datasets.load_parquet import parse_parquet
from tracker.datasets.writing import Writing
from tracker.errors import DataError


def csv(content: str | bytes, text: tuple[str, ...] = ()) -> pd.DataFrame:
    return parse_csv(content.encode() if isinstance(content, str) else content, "t.csv", text)


def parquet(tmp_path: Path, columns: dict[str, object]) -> bytes:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path, write_page_checksum=True)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [
        ("breast_cancer", 569, {"benign", "malignant"}),
        ("digits", 1797, set("0123456789")),
        ("wine", 178, {"class_0", "class_1", "class_2"}),
    ],
)
def test_bundled_sets_have_named_labels(name: str, rows: int, labels: set[str]) -> None:
    """The bundled data sets come with the names of their features and classes."""
    frame = read_table(f"sklearn:{name}", Path())
    assert (rows, labels) == (len(frame), set(frame["target"]))
    assert all(isinstance(column, str) and column != "target" for column in frame.columns[:-1])


def test_file_outside_the_project_is_read(tmp_path: Path) -> None:
    """A source may be relative to the project or absolute and outside it."""
    (tmp_path / "t.csv").write_text("a,b\n1,x\n")
    (tmp_path / "project").mkdir()
    for source in ("../t.csv", str(tmp_path / "t.csv")):
        assert [1] == list(read_table(source, tmp_path / "project")["a"])


def test_numbers_are_numbers_only_without_loss() -> None:
    """Whole numbers, fractions and texts are told apart; leading zeros and huge integers stay text, exactly."""
    frame = csv(
        "whole,spaced,gapped,real,zip,huge,gappy_huge,word\n"
        "1, 2,3,1e-3,00123,123456789012345678901,9007199254740993,1x\n"
        "-4,+5,,.5,12345,1,,2\n"
    )
    kinds = {"whole": "int64", "spaced": "int64", "gapped": "float64", "real": "float64"}
    assert kinds == {name: str(frame[name].dtype) for name in kinds}
    assert [2, 5] == list(frame["spaced"])
    assert ["00123", "12345"] == list(frame["zip"])
    assert ["123456789012345678901", "1"] == list(frame["huge"])
    assert "9007199254740993" == frame["gappy_huge"][0]
    assert ["1x", "2"] == list(frame["word"])


def test_only_the_empty_cell_is_a_gap() -> None:
    """`NA`, `null` and `nan` are texts (Namibia is a country); nothing at all, quoted or not, is a gap."""
    frame = csv('country,empty\nNA,\nnull,""\nnan,\n')
    assert ["NA", "null", "nan"] == list(frame["country"])
    assert frame["empty"].isna().all()


def test_columns_asked_for_as_text_stay_text() -> None:
    """Ids and labels keep the very text of the file."""
    assert ["1.50", "1e3"] == list(csv("id,x\n1.50,1\n1e3,2\n", text=("id",))["id"])


def test_quotes_byte_order_mark_and_line_ends() -> None:
    """Quoted commas, quotes and line ends are part of a cell; a byte order mark and blank lines are not."""
    frame = csv(b'\xef\xbb\xbfa,b\r\n"x, ""y""","1\n2"\r\n\r\nz,3\r\n')
    assert [['x, "y"', "1\n2"], ["z", "3"]] == frame.to_numpy().tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"a,b\n1,caf\xe9\n", r"line 2, byte 9: not UTF-8 \(found 0xe9\)"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,2\n3,\0\n", "line 3, byte 10: a NUL byte"),
        (b"a,b,a\n1,2,3\n", r"column 'a' occurs 2 times \(columns 1, 3\)"),
        (b",a\n0,1\n0,2\n", "column 1 has no name; .* but these are not all different"),
        (b"a,,b\n0,1,2\n", "column 2 has no name"),
        (b'"a\nb",c\n1,2\n', "'a\\\\nb' holds control character U\\+000A, which print does not show"),
        ("a\u00a0,c\n1,2\n".encode(), "'a\\\\xa0' holds NO-BREAK SPACE, which print does not show"),
        (b"a;b\n1;2\n", "separated by ';', not by commas; say data.separator: \";\""),
        (b'"a";"b"\n"1";"2"\n', "separated by ';', not by commas; say data.separator: \";\""),
        (b"a\tb\n1\t2\n", 'say data.separator: "tab"'),
        (b"0.02,0.37,R\n0.45,0.05,M\n", "line 1 looks like data .*data.header: none"),
        (b"a,b\n1,2\n3\n", "line 3: 1 cells, expected 2"),
        (b"a,b\n1,2\n\n3,4,5\n", "line 4: 3 cells, expected 2"),
        (b'a,b\n"x\ny",2\n3\n', "line 4: 1 cells, expected 2"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "quotation mark"),
        (b",".join(b"c%d" % n for n in range(MAX_COLUMNS + 1)) + b"\n", "10001 columns"),
    ],
)
def test_damaged_csv_is_refused_with_its_place(content: bytes, message: str) -> None:
    """What pandas would bend in silence is an error that names the place."""
    with pytest.raises(DataError, match=message):
        csv(content)


def test_every_ragged_row_is_named() -> None:
    """Several ragged rows are reported together."""
    with pytest.raises(DataError) as caught:
        csv("a,b\n1\n1,2\n1,2,3\n")
    assert 2 == len(caught.value.faults)


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "missing", "device", "nul", "suffix", "bundle"])
def test_sources_that_are_no_files_are_refused(tmp_path: Path, kind: str) -> None:
    """Folders, pipes, devices and symbolic links are refused at once, without reading from them."""
    path = tmp_path / "t.csv"
    (tmp_path / "real.csv").write_text("a\n1\n")
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "link": lambda: path.symlink_to("real.csv")}.get(
        kind, lambda: None
    )()
    source = {"device": "d.csv", "nul": "a\0.csv", "suffix": "t.xlsx", "bundle": "sklearn:iris"}.get(kind, "t.csv")
    if kind == "device":
        path = tmp_path / "d.csv"
        path.symlink_to("/dev/zero")
    words = {"folder": "folder", "fifo": "FIFO", "link": "symbolic link", "device": "symbolic link", "nul": "NUL"}
    words |= {"missing": "No such file", "suffix": ".csv, .parquet, .npz or .ts", "bundle": "not bundled"}
    with pytest.raises(DataError, match=words[kind]):
        read_table(source, tmp_path)


def test_parquet_gives_the_same_few_kinds(tmp_path: Path) -> None:
    """Integers with gaps, categories, times, decimals and empty texts arrive as a CSV would give them."""
    content = parquet(
        tmp_path,
        {
            "whole": pa.array([1, None], pa.int32()),
            "huge": pa.array([2**53 + 1, None], pa.int64()),
            "unsigned": pa.array([2**63, 1], pa.uint64()),
            "truth": pa.array([True, None]),
            "category": pa.array(["a", "b"]).dictionary_encode(),
            "time": pa.array([0, None], pa.timestamp("ns")),
            "day": pa.array([0, 1], pa.date32()),
            "text": ["", "x"],
            "small": pa.array([np.float16(1.5), None], pa.float16()),
        },
    )
    frame = parse_parquet(content, "t.parquet")
    assert 1.0 == frame["whole"][0]
    assert ["9007199254740993", "9223372036854775808"] == [frame["huge"][0], frame["unsigned"][0]]
    assert ["a", "b"] == list(frame["category"])
    assert ["1970-01-01T00:00:00", "1970-01-02"] == [frame["time"][0], frame["day"][1]]
    assert [True, False] == list(frame["text"].isna())
    assert True is bool(frame["truth"][0])
    assert np.isnan(frame["small"][1])


def test_truncated_parquet_is_refused(tmp_path: Path) -> None:
    """Every proper beginning of a Parquet file is refused with the bytes that were found."""
    content = parquet(tmp_path, {"a": list(range(500))})
    for length in range(0, len(content), 37):
        with pytest.raises(DataError, match=r"t\.parquet: .*(bytes|PAR1)"):
            parse_parquet(content[:length], "t.parquet")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_data_bit_never_passes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A flipped bit of a page gives an error or the same table, never other cells."""
    content = bytearray(parquet(tmp_path_factory.mktemp("p"), {"a": list(range(50))}))
    expected = parse_parquet(bytes(content), "t")["a"].tolist()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    place = data.draw(st.integers(4, footer - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = parse_parquet(bytes(content), "t")["a"].tolist()
    except DataError:
        return
    assert expected == found


def test_parquet_with_equal_names_is_refused(tmp_path: Path) -> None:
    """Two columns of one name are refused."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(DataError, match="'a' occurs 2 times"):
        read_table("t.parquet", tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_data_error(content: bytes) -> None:
    """No bytes make the readers fail in any way but their own."""
    for read in (lambda: csv(content), lambda: csv(b"a,b\n" + content), lambda: parse_parquet(content, "t")):
        with contextlib.suppress(DataError):
            assert isinstance(read(), pd.DataFrame)


@pytest.mark.parametrize(
    "text",
    [
        '"a","y"\n"Fiat, 1",1.5,"no"\n"Saab",2.5,"yes"\n',
        ",a,y\nFiat,1.5,no\nSaab,2.5,yes\n",
        '\n"","a","y"\n"7",1.5,no\n"9",2.5,yes\n',
    ],
    ids=["write.table", "to_csv", "write.csv"],
)
def test_row_names_that_r_and_pandas_write_are_understood(text: str) -> None:
    """A first column without a name, or one cell more than names in each row: the column is called `(row names)`."""
    frame = parse_csv(text.encode(), "t.csv", ())
    assert ["(row names)", "a", "y"] == list(frame.columns)
    assert [1.5, 2.5] == frame["a"].tolist()
    assert ["no", "yes"] == frame["y"].tolist()
    with pytest.raises(DataError, match="line 3: 2 cells"):
        parse_csv(b",a,y\nr1,1,no\nr2,2\n", "t.csv", ())


def test_a_table_that_is_not_here_says_who_has_it(tmp_path: Path) -> None:
    """An address, a table that DVC keeps, a file of another kind: each is told what to do; a text may be called .tsv."""
    with pytest.raises(DataError, match="is an address; fetch the file, and give its path"):
        read_table("https://example.org/t.csv", tmp_path)
    (tmp_path / "t.csv.dvc").touch()
    with pytest.raises(DataError, match="is not here, but DVC keeps it; fetch it with `dvc pull`"):
        read_table("t.csv", tmp_path)
    (tmp_path / "l.csv").symlink_to(tmp_path / "cache/files/md5/3c/0012")
    with pytest.raises(
        DataError, match="is a link into a cache of DVC; `dvc unprotect` puts the file itself in its place"
    ):
        read_table("l.csv", tmp_path)
    with pytest.raises(
        DataError, match=r"ends in \.csv, \.parquet, \.npz or \.ts \(or \.tsv, \.txt, \.data for text\)"
    ):
        read_table("t.xlsx", tmp_path)
    (tmp_path / "t.tsv").write_text("a\ty\n1\tno\n")
    with pytest.raises(DataError, match='say data\\.separator: "tab"'):
        read_table("t.tsv", tmp_path)
    assert ["a", "y"] == list(read_table("t.tsv", tmp_path, writing=Writing(separator="\t")).columns)
