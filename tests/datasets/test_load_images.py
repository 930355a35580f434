"""Tables with an image in each row, its bytes or its path: read to the number; whatever is wrong is told with its row."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet as pq

from tracker import api
from tracker.config import Data, Preprocessing, parse_config
from tracker.datasets import load, load_parquet
from tracker.datasets.load import read_rows, read_table
from tracker.datasets.load_arrays import read_npy
from tracker.datasets.load_images import image_columns, places_of
from tracker.datasets.made_with import changed_table, refuse_outdated, table_file
from tracker.datasets.prepare import inspect_data
from tracker.errors import ConfigError, DataError
from tracker.paths import Paths
from tracker.project.begin import Wishes, begin
from tracker.project.table import image_places
from tracker.project.watched import unwatched
from tracker.standalone.load import load_model

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)  # six images, 5 high and 4 wide
KINDS = ["cat", "dog"] * 3
DATA = Data(source="table.parquet", target="kind", images="image")
HOLDS = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def packed(image: np.ndarray, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, form)
    return content.getvalue()


PNGS = [packed(image) for image in GREY]


def write(folder: Path, cells: Any, kinds: list[str] | None = None) -> Path:
    """The table of a column `image`, of Parquet; with it a folder `pictures` of the same images."""
    pq.write_table(pa.table({"image": cells, "kind": KINDS if kinds is None else kinds}), folder / "table.parquet")
    (folder / "pictures").mkdir(exist_ok=True)
    for place, content in enumerate(PNGS):
        (folder / "pictures" / f"{place}.png").write_bytes(content)
    return folder


PATHS = [f"pictures/{place}.png" for place in range(6)]
CELLS: dict[str, Any] = {
    "bytes": pa.array(PNGS, pa.binary()),
    "large bytes": pa.array(PNGS, pa.large_binary()),
    "paths": PATHS,
    "bytes with names": pa.array([{"bytes": content, "path": "a.png"} for content in PNGS], HOLDS),
    "no bytes, paths": pa.array([{"bytes": None, "path": path} for path in PATHS], HOLDS),
}


@pytest.mark.parametrize("kind", CELLS)
def test_images_are_read_to_the_number(tmp_path: Path, kind: str) -> None:
    """A column per pixel before the other columns, and the shape with one channel, however a row holds its image."""
    frame = read_rows(DATA, write(tmp_path, CELLS[kind]))
    assert frame.attrs == {"shape": (1, 5, 4)}
    assert frame.pop("kind").tolist() == KINDS
    assert np.array_equal(frame.to_numpy(), GREY.reshape(6, 20))


def test_paths_of_a_csv_file_are_relative_to_it(tmp_path: Path) -> None:
    """Images of three colours and arrays, named by a CSV file in another folder than the project's; columns may be dropped."""
    place = tmp_path / "raw" / "deep"
    (place / "a" / "b").mkdir(parents=True)
    colours = RNG.integers(0, 256, (2, 4, 3, 3), dtype=np.uint8)
    (place / "a" / "b" / "1.PNG").write_bytes(packed(colours[0]))
    np.save(place / "2.npy", colours[1].transpose(2, 0, 1))
    (place / "t.csv").write_text("note,file,kind\nx,a/b/1.PNG,cat\ny,./2.npy,dog\n")
    data = Data(source="raw/deep/t.csv", target="kind", images="file", drop=("note",))
    frame = read_rows(data, tmp_path)
    assert ["x_0_0_0", "note", "kind"] == [frame.columns[0], *frame.columns[36:]]
    assert np.array_equal(frame.iloc[:, :36].to_numpy(), colours.transpose(0, 3, 1, 2).reshape(2, 36))


def test_columns_beside_the_image_can_be_dropped(tmp_path: Path) -> None:
    """What `data.drop` names is no feature, and the shape is that of the image."""
    table = {"image": pa.array(PNGS, pa.binary()), "kind": KINDS, "note": list("abcdef"), "other": [0.5] * 6}
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    data = DATA.model_copy(update={"drop": ("note", "other")})
    _, columns, report = inspect_data(data, Preprocessing(), tmp_path)
    assert (1, 5, 4) == report.shape
    assert {"note": "dropped", "other": "dropped"} == {c.name: c.role for c in columns if c.name in data.drop}
    assert 20 == sum(column.role == "feature" for column in columns)
    with pytest.raises(DataError, match=r"data\.drop: the table has no column 'nothing'"):
        inspect_data(data.model_copy(update={"drop": ("nothing",)}), Preprocessing(), tmp_path)


def test_columns_beside_steps_can_be_dropped(tmp_path: Path) -> None:
    """A text that changes within a sequence can be left out."""
    rows = [
        "who,day,x,note,kind",
        *(f"{who},{day},{who + day},n{day},{'ab'[who % 2]}" for who in range(8) for day in (1, 2)),
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    sequences = {"by": "who", "order": "day"}
    data = Data.model_validate({"source": "t.csv", "target": "kind", "sequences": sequences, "drop": ("note",)})
    _, columns, report = inspect_data(data, Preprocessing(), tmp_path)
    assert ((2, 1), 2) == (report.shape, sum(column.role == "feature" for column in columns))


def test_a_column_with_the_name_of_a_number_is_told(tmp_path: Path) -> None:
    """Two columns of one name would be no table."""
    table = {"image": pa.array(PNGS, pa.binary()), "kind": KINDS, "x_0_0_1": [0.5] * 6}
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    with pytest.raises(
        DataError, match=r"^table\.parquet: column 'x_0_0_1' has the name that a number of each row gets; rename it$"
    ):
        read_rows(DATA, tmp_path)


@pytest.mark.parametrize("shape", ["(" + "9" * 50 + ", 2)", "(True, 4)"])
def test_a_header_that_lies_is_one_line(shape: str) -> None:
    """A `.npy` file may claim any shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        read_npy(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(32))


def test_numbers_beyond_63_bits_keep_their_sign(tmp_path: Path) -> None:
    """Whole numbers without a sign that int64 cannot hold become float64."""
    np.save(tmp_path / "a.npy", np.full((2, 2), 2**64 - 1, np.uint64))
    pq.write_table(pa.table({"image": ["a.npy"] * 6, "kind": KINDS}), tmp_path / "table.parquet")
    assert [2.0**64] * 4 == read_rows(DATA, tmp_path).iloc[0, :4].tolist()


@pytest.mark.parametrize("cells", [
    pa.array([{"bytes": b"", "path": "p" * 1000}] * 6, HOLDS),
    pa.array([["p" * 1000]] * 6, pa.list_(pa.string())),
    pa.array([b"p" * 1000] * 6, pa.binary(1000)),
], ids=["struct", "list", "bytes of one length"])  # fmt: skip
def test_texts_within_cells_count_as_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: pa.Array) -> None:
    """They are written out for each row, however few they are in the file."""
    monkeypatch.setattr(load_parquet, "MAX_TEXT", 5000)
    with pytest.raises(DataError, match="bytes of text when written out; at most 5000 are read"):
        read_table("table.parquet", write(tmp_path, cells))


def test_paths_that_would_be_refused_are_not_proposed(tmp_path: Path) -> None:
    """Absolute ones and those that go up are texts."""
    write(tmp_path, CELLS["paths"])
    absolute, upward = [str(tmp_path / path) for path in PATHS], [f"../{tmp_path.name}/{path}" for path in PATHS]
    frame = pd.DataFrame({"absolute": absolute, "upward": upward, "fine": PATHS})
    assert ["fine"] == image_columns(frame, tmp_path)


def test_equal_images_share_their_memory(tmp_path: Path) -> None:
    """A small file whose images are written out would fill the memory is read with one object for equal bytes."""
    content = b"\x89PNG" + bytes(100_000)
    for cells in (pa.array([content] * 6, pa.binary()), pa.array([{"bytes": content, "path": "a"}] * 6, HOLDS)):
        found = read_table("table.parquet", write(tmp_path, cells))["image"]
        inside = [cell["bytes"] if isinstance(cell, dict) else cell for cell in found]
        assert [content] * 6 == inside
        assert len({id(cell) for cell in inside}) == 1


def test_more_numbers_than_are_read_are_refused_at_the_first_image(tmp_path: Path) -> None:
    """A file of a few kB with 20,001 equal images of 100 x 100 would be 200,010,000 numbers."""
    rows = 20_001
    write(tmp_path, pa.array([packed(np.zeros((100, 100), np.uint8))] * rows, pa.binary()), ["cat"] * rows)
    with pytest.raises(
        DataError, match="20001 rows of 10000 columns; at most 200000000 cells are read; take fewer rows"
    ):
        read_rows(DATA, tmp_path)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header says that it is `side` pixels high and wide."""
    parts = [b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(bytes(99)), b"IEND"]
    chunks = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


ROW = "table.parquet, row 6"
OUT = "leads out of the folder of the table; write paths relative to it, without .."
WRONG: list[tuple[Any, str]] = [
    (bomb(101), f"{ROW}: has 10201 numbers .101 x 101.; at most 10000 are read; make images smaller$"),
    (bomb(12_000), f"{ROW}: has 144000000 numbers .12000 x 12000.; at most 10000 are read"),
    (bomb(30_000), f"{ROW}: is no readable PNG or JPEG .DecompressionBombError.; save it again$"),
    (PNGS[0][:60], f"{ROW}: is no readable PNG or JPEG .OSError.; save it again$"),
    (b"", f"{ROW}: is no readable PNG or JPEG"),
    (packed(np.zeros((5, 4, 4), np.uint8)), f"{ROW}: is of mode RGBA; save it as grey .L. or RGB"),
    (packed(np.zeros((4, 4), np.uint8)), f"{ROW}: is 4 x 4 with 1 channel, row 1 is 5 x 4 with 1 channel; all must"),
    (None, f"{ROW}, column 'image': is a gap; give an image, or leave the row out$"),
    ("../pictures/0.png", f"{ROW}, column 'image': '../pictures/0.png' {OUT}$"),
    ("/etc/hostname.png", f"{ROW}, column 'image': '/etc/hostname.png' {OUT}$"),
    ("pictures/9.png", f"{ROW}, column 'image': 'pictures/9.png': cannot be read .No such file"),
    ("away/0.png", f"{ROW}, column 'image': 'away/0.png': cannot be read .away: .*; links are not followed$"),
    ("pictures/link.png", f"{ROW}, column 'image': 'pictures/link.png': cannot be read .*; links are not followed$"),
    ("pictures/pipe.png", f"{ROW}, column 'image': 'pictures/pipe.png': is no regular file$"),
    ("table.parquet", f"{ROW}, column 'image': 'table.parquet': expected the path of a .png, .jpg or .npy file$"),
    ("pictures/x\0.png", f"{ROW}, column 'image': .* is no path$"),
    ("pictures/bad.npy", f"{ROW} ..pictures/bad.npy..: cannot be read as .npy .*EOF.*; save an array of numbers$"),
]


@pytest.mark.parametrize(("cell", "told"), WRONG, ids=[told[17:60] for _, told in WRONG])
def test_what_is_wrong_is_told_with_its_row(tmp_path: Path, cell: Any, told: str) -> None:
    """One line with the row, what was found and what to do; no picture is unpacked that is too large, no link followed."""
    is_path = isinstance(cell, str)
    cells = [*PATHS[:5], cell] if is_path else pa.array([*PNGS[:5], cell], pa.binary())
    write(tmp_path, cells)
    (tmp_path / "away").symlink_to(tmp_path / "pictures")
    (tmp_path / "pictures" / "link.png").symlink_to("0.png")
    (tmp_path / "pictures" / "bad.npy").write_bytes(b"\x93NUMPY\1\0\4\0{'d(")
    os.mkfifo(tmp_path / "pictures" / "pipe.png")
    with pytest.raises(DataError, match=told) as found:
        read_rows(DATA, tmp_path)
    assert 1 == len(found.value.faults)
    assert "\n" not in str(found.value)


def test_columns_that_hold_no_images_are_told(tmp_path: Path) -> None:
    """A column that is not there, one of numbers, a table without rows, and entries that contradict each other."""
    write(tmp_path, [1.5] * 6)
    with pytest.raises(
        DataError, match="row 1, column 'image': holds float; expected the bytes of a PNG or JPEG, or the"
    ):
        read_rows(DATA, tmp_path)
    with pytest.raises(DataError, match=r"data\.images: the table has no column 'imag'; did you mean 'image'"):
        read_rows(DATA.model_copy(update={"images": "imag"}), tmp_path)
    with pytest.raises(DataError, match=r"table\.parquet: the table has no rows"):
        read_rows(DATA, write(tmp_path, pa.array([], pa.binary()), []))
    for more, told in (
        ({"target": "image"}, "images is 'image', which target, id or drop names as well"),
        ({"sequences": "lists"}, "images and sequences are both given; a row is one of them"),
    ):
        with pytest.raises(ConfigError, match=told):
            parse_config({"seed": 1, "data": {"source": "a.parquet", "images": "image", **more}}, "params.yaml")


def test_bytes_that_nobody_declared_are_told_what_they_may_be(tmp_path: Path) -> None:
    """The fault of a column of bytes names the entry that reads it."""
    write(tmp_path, CELLS["bytes with names"])
    project = api.Project(Paths.of(tmp_path, {}), "sqlite:///unused.db", 1, "tests")
    config = parse_config(PARAMS | {"data": {"source": "table.parquet", "target": "kind"}}, "params.yaml")
    told = "drop it: data.drop: .image.; where they are PNG or JPEG images, say data.images: image$"
    with pytest.raises(DataError, match=told):
        api.prepare(config, project)


PARAMS: dict[str, Any] = {
    "seed": 7,
    "data": {"source": "table.parquet", "target": "kind", "images": "image"},
    "model": {"family": "cnn"},
    "hyperparameters": {"blocks": 1, "filters": 2},
    "training": {"epochs": 1},
    "studies": {"one": {"sampler": "manual", "configurations": [{}]}},
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without params.yaml: 60 images of two classes in a folder, and a table of their paths."""
    root = tmp_path_factory.mktemp("many")
    (root / ".dvc").mkdir()  # so that `tracker init` need not call DVC
    images = RNG.integers(0, 256, (60, 6, 6), dtype=np.uint8)
    images[::2] //= 2
    for place, image in enumerate(images):
        path = root / "raw" / "pictures" / str(place % 3) / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(image))
    paths = [f"pictures/{place % 3}/{place}.png" for place in range(60)]
    pd.DataFrame({"file": paths, "kind": ["cat", "dog"] * 30}).to_csv(root / "raw" / "table.csv", index=False)
    contents = pa.array([{"bytes": packed(image), "path": "x"} for image in images], HOLDS)
    pq.write_table(pa.table({"image": contents, "kind": ["cat", "dog"] * 30}), root / "table.parquet")
    return root


@pytest.mark.parametrize(
    ("table", "column", "watched"),
    [("raw/table.csv", "file", '["${data.source}", raw/pictures]'), ("table.parquet", "image", '["${data.source}"]')],
)
def test_init_proposes_the_column_of_images(many: Path, table: str, column: str, watched: str) -> None:
    """`tracker init` says which column holds images, writes it, and has DVC watch the folders that paths lead to."""
    for name in ("params.yaml", "dvc.yaml"):
        (many / name).unlink(missing_ok=True)
    lines = begin(Wishes(table=table, target="kind"), many, None)
    assert f"hint: {column!r} holds images (data.images: {column})" in lines
    text = (many / "params.yaml").read_text()
    assert f"  images: {column}\n" in text
    assert "family: cnn" in text
    stages = (many / "dvc.yaml").read_text()
    assert f"    deps: {watched} " in stages
    assert [] == unwatched(many)
    (many / "dvc.yaml").write_text(stages.replace(", raw/pictures", ""))
    lacking = (
        "prepare reads images that its deps do not name; add to deps: [raw/pictures], or `dvc repro` does not see them"
    )
    assert [lacking in line for line in unwatched(many)] == [True] * table.endswith("csv")
    (many / "params.yaml").write_text(text.replace(f"images: {column}", "images: other"))
    assert [] == unwatched(many)  # that there is no such column is said by whoever reads it


def test_a_model_reads_rows_of_a_further_file(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network trains on images of a Parquet column, and its model predicts what `tracker.read_table` reads of a file."""
    config = parse_config(PARAMS, "params.yaml")
    project = api.Project(Paths.of(many, {}), "sqlite:///unused.db", 1, "tests")
    api.prepare(config, project)
    api.split(config, project)
    assert "complete" == api.tune(config, "one", project=project, deliver=False).best_trial.trial.state
    monkeypatch.chdir(many)
    table = pq.read_table("table.parquet").drop_columns("kind").slice(0, 4)
    pq.write_table(table, "further.parquet")
    rows = api.read_table("further.parquet", config)
    assert (4, 36) == rows.shape
    assert {"cat", "dog"} >= set(load_model(project.paths.models / "one").predict(rows)["label"])


def test_changed_files_behind_paths_are_told(many: Path) -> None:
    """Where a picture was changed after `prepare`, its rows are refused though the table is the same file."""
    config = parse_config(
        PARAMS | {"data": {"source": "raw/table.csv", "target": "kind", "images": "file"}}, "params.yaml"
    )
    paths = Paths.of(many, {})
    project = api.Project(paths, "sqlite:///unused.db", 1, "tests")
    api.prepare(config, project)
    api.split(config, project)
    refuse_outdated(config, paths)
    picture = many / "raw" / "pictures" / "0" / "0.png"
    before = picture.read_bytes()
    picture.write_bytes(packed(np.zeros((6, 6), np.uint8)))
    with pytest.raises(DataError, match=r"raw/table\.csv has other images than those that were prepared; run "):
        refuse_outdated(config, paths)
    picture.write_bytes(before)
    refuse_outdated(config, paths)


def test_a_table_of_bytes_is_not_read_to_see_whether_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest says that; only where cells name files, these are looked at."""
    pq.write_table(
        pa.table({"image": pa.array(PNGS * 10, pa.binary()), "kind": KINDS * 10}), tmp_path / "table.parquet"
    )
    data = {"source": "table.parquet", "target": "kind", "images": "image"}
    config, paths = parse_config(PARAMS | {"data": data}, "params.yaml"), Paths.of(tmp_path, {})
    api.prepare(config, api.Project(paths, "sqlite:///unused.db", 1, "tests"))
    reads: list[str] = []
    monkeypatch.setattr(load, "read_table", lambda source, *_: reads.append(source))
    assert not changed_table(paths)
    assert [] == reads


def test_changed_images_of_a_folder_are_told(tmp_path: Path) -> None:
    """Another image, another name and another class each make another folder; another name of the folder does not."""
    folder = tmp_path / "images"
    for place, content in enumerate(PNGS):
        (folder / KINDS[place]).mkdir(parents=True, exist_ok=True)
        (folder / KINDS[place] / f"{place}.png").write_bytes(content)
    one = folder / "cat" / "0.png"
    told = [table_file(Data(source="images"), tmp_path)]
    one.write_bytes(PNGS[1])
    told.append(table_file(Data(source="images"), tmp_path))
    one = one.rename(folder / "cat" / "a.png")
    told.append(table_file(Data(source="images"), tmp_path))
    one.rename(folder / "dog" / "a.png")
    told.append(table_file(Data(source="images"), tmp_path))
    assert 4 == len({found["images"] for found in told})
    folder.rename(tmp_path / "others")
    assert told[-1] == table_file(Data(source="others"), tmp_path)
    (tmp_path / "others" / "cow").symlink_to("cat")
    assert {} == table_file(Data(source="others"), tmp_path)  # prepare says what is wrong


def test_names_that_are_no_files_are_no_images(tmp_path: Path) -> None:
    """A column is proposed where its files are there; a name that is too long for one is none, and no fault."""
    frame = read_table("table.parquet", write(tmp_path, PATHS)).assign(
        other=["x" * 999 + ".png"] * 6, note=["a.png"] * 6
    )
    assert ["image"] == image_columns(frame, tmp_path)


def test_many_images_beside_a_table_are_watched_as_its_folder(tmp_path: Path) -> None:
    """`dvc.yaml` names few of them one by one, many by the folder; in the project's folder, where results lie, all singly."""
    (tmp_path / "raw").mkdir()
    for count, expected in ((2, ["raw/0.png", "raw/1.png"]), (60, ["raw"])):
        lines = [f"{place}.png,cat" for place in range(count)]
        for table in ("raw/t.csv", "t.csv"):
            (tmp_path / table).write_text("\n".join(["image,kind", *lines, ""]))
        assert expected == image_places(DATA.model_copy(update={"source": "raw/t.csv"}), tmp_path)
        assert count == len(image_places(DATA.model_copy(update={"source": "t.csv"}), tmp_path))


def test_folders_to_watch_are_as_few_as_hold_the_images() -> None:
    """Of several folders their common one, never the table's own; a file beside the table by itself; gaps and `.` are none."""
    cells = ["data/raw/p/x/1.png", "data/raw/p/y/2.png", "a.png", "q/3.png", ".", None]
    assert ["a.png", "data/raw/p", "q"] == places_of(cells)
