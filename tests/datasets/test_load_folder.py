"""Folders of images: read to the number, in the order of paths; whatever else lies there is told with its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracker.datasets.load import read_table
from tracker.errors import DataError
from tracker.project.begin import Wishes, begin

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)  # six images, 5 high and 4 wide


def write(folder: Path, images: np.ndarray = GREY, suffix: str = ".png") -> Path:
    """Half of the images as class `cat`, half as `dog`."""
    for place, image in enumerate(images):
        path = folder / ("cat" if place < len(images) / 2 else "dog") / f"{place}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, image) if suffix == ".npy" else Image.fromarray(image).save(path)
    return folder


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_grey_images_are_read_to_the_number(tmp_path: Path, suffix: str) -> None:
    """A column per pixel, the class from the folder, the shape with one channel."""
    frame = read_table("images", write(tmp_path / "images", suffix=suffix).parent, target="animal")
    assert frame.attrs == {"shape": (1, 5, 4)}
    assert frame.pop("animal").tolist() == ["cat"] * 3 + ["dog"] * 3
    assert np.array_equal(frame.to_numpy(), GREY.reshape(6, 20))


def test_colours_come_channel_by_channel(tmp_path: Path) -> None:
    """RGB becomes (3, height, width); JPEG is read as Pillow reads it."""
    colours = RNG.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    frame = read_table("png", write(tmp_path / "png", colours).parent)
    assert frame.attrs == {"shape": (3, 8, 8)}
    assert np.array_equal(frame.drop(columns="target").to_numpy(), colours.transpose(0, 3, 1, 2).reshape(4, -1))
    jpegs = read_table("jpg", write(tmp_path / "jpg", colours, ".jpg").parent)
    first = np.asarray(Image.open(tmp_path / "jpg" / "cat" / "0.jpg")).transpose(2, 0, 1).reshape(-1)
    assert np.array_equal(jpegs.drop(columns="target").iloc[0].to_numpy(), first)


def test_init_begins_a_project_from_a_folder(tmp_path: Path) -> None:
    """`tracker init images --target animal` writes a configuration for convolutional networks that reads the folder."""
    (tmp_path / ".dvc").mkdir()  # so that `tracker init` need not call DVC
    write(tmp_path / "images", RNG.integers(0, 256, (40, 6, 6), dtype=np.uint8))
    begin(Wishes(table=str(tmp_path / "images"), target="animal"), tmp_path, None)
    text = (tmp_path / "params.yaml").read_text()
    assert "source: images" in text
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "images", RNG.integers(0, 256, (40, 6, 6), dtype=np.uint8))
    begin(Wishes(table=str(tmp_path / "other" / "images")), tmp_path / "other", None)  # the folders name the classes
    assert "target: target" in (tmp_path / "other" / "params.yaml").read_text()
    assert "family: cnn" in text


def linked_class(folder: Path) -> None:
    (folder / "cow").symlink_to(folder / "cat")


def other_size(folder: Path) -> None:
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "dog" / "9.png")


def transparent(folder: Path) -> None:
    Image.new("RGBA", (4, 5)).save(folder / "dog" / "9.png")


def one_class(folder: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.unlink()
    (folder / "dog").rmdir()


def large(folder: Path) -> None:
    Image.new("L", (101, 100)).save(folder / "cat" / "0.png")


def linked(folder: Path) -> None:
    (folder / "dog" / "9.png").symlink_to(folder / "dog" / "5.png")


def objects(folder: Path) -> None:
    np.save(folder / "dog" / "9.npy", np.array([{}], dtype=object), allow_pickle=True)


WRONG: list[tuple[Callable[[Path], object], str]] = [
    (other_size, "images/dog/9.png: is 5 x 5 with 1 channel, cat/0.png is 5 x 4 with 1 channel; all must be alike"),
    (transparent, "images/dog/9.png: is of mode RGBA; save it as grey .L. or RGB"),
    (linked_class, "images/cow: is a link; links are not followed; put what it points to in its place"),
    (one_class, "images: has 1 folder of classes; expected one per class: NAME_OF_CLASS/IMAGE.png"),
    (large, "images/cat/0.png: has 10100 numbers .101 x 100.; at most 10000 are read; make images smaller"),
    (linked, "images/dog/9.png: cannot be read .*; links are not followed"),
    (objects, r"images/dog/9.npy: cannot be read as .npy \(Object arrays cannot be loaded"),
    (lambda folder: (folder / "dog" / "9.png").write_text("no image"), "images/dog/9.png: is no readable PNG or JPEG"),
    (
        lambda folder: (folder / "dog" / "cut.png").write_bytes((folder / "dog" / "5.png").read_bytes()[:60]),
        "is no readable",
    ),
    (
        lambda folder: (folder / "dog" / "notes.txt").write_text("x"),
        "images/dog: holds notes.txt; expected .png, .jpg or .npy",
    ),
    (lambda folder: (folder / "bird").mkdir(), "images/bird: is empty; a class has at least one image"),
    (
        lambda folder: np.save(folder / "dog" / "9.npy", np.zeros(3)),
        r"9.npy: holds float64 of the shape \(3,\); expected",
    ),
    (lambda folder: np.save(folder / "dog" / "9.npy", np.zeros((0, 4))), "9.npy: has 0 numbers"),
    (
        lambda folder: np.save(folder / "loose.npy", np.zeros((5, 4))),
        "images/loose.npy: lies beside the folders of classes; put it into one of them, or take it away",
    ),
]


@pytest.mark.parametrize(("spoil", "told"), WRONG, ids=[told[:40] for _, told in WRONG])
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, spoil: Callable[[Path], object], told: str) -> None:
    """One line that names folder and file, and what to do."""
    spoil(write(tmp_path / "images"))
    with pytest.raises(DataError, match=told):
        read_table("images", tmp_path)


def test_a_class_may_be_named_in_any_letters(tmp_path: Path) -> None:
    """Also with spaces of other widths."""
    folder = write(tmp_path / "images")
    (folder / "dog").rename(folder / "h\u00fcnd\u00a0chen")
    assert {"cat", "h\u00fcnd\u00a0chen"} == set(read_table("images", tmp_path, target="animal")["animal"])


def test_the_name_of_a_class_is_text(tmp_path: Path) -> None:
    """A folder whose name is no UTF-8 is told by its bytes."""
    folder = write(tmp_path / "images")
    (folder / "dog").rename(folder / os.fsdecode(b"d\xff"))
    with pytest.raises(DataError, match=r"images/d\\udcff: the name of a class must be text; rename the folder"):
        read_table("images", tmp_path, target="animal")
