"""Reads a folder with a folder per class, of PNG, JPEG or `.npy` images, into a table with one column per number.

The name of a class is that of its folder. How an image is read is in `tracker.datasets.pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.canonical import digest, digest_bytes
from tracker.datasets.load_arrays import table_of
from tracker.datasets.pictures import ARRAY, IMAGES, Image, read_file, stack, to_image
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_LAYOUT = "NAME_OF_CLASS/IMAGE.png"


def parse_folder(folder: Path, name: str, target: str) -> pd.DataFrame:
    """The table of a folder: numbers as columns `x_...`, the names of the class folders in the column `target`.

    `frame.attrs["shape"]` is (channels, height, width). Rows are in the order of paths. Raises DataError, which names files.
    """
    files = list(_files(folder, name))
    images = stack(name, len(files), _images(files, name))
    return table_of(name, images, {target: [label for label, _ in files]}, images.shape[1:])


def folder_digest(folder: Path) -> str:
    """A digest of the images in the folder, their classes and names, which need be no Unicode. Raises DataError."""
    files = _files(folder, folder.name)
    told = [[ascii(label), ascii(path.name), digest_bytes(read_file(path, str(path)))] for label, path in files]
    return digest("images", told)


def _images(files: Sequence[tuple[str, Path]], name: str) -> Iterator[tuple[str, Image | DataError]]:
    for label, path in files:
        place = f"{name}/{label}/{path.name}"
        try:
            yield place, to_image(read_file(path, place), place, path.suffix)
        except DataError as error:
            yield place, error


def _files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """The class and path of each image, sorted. Raises DataError where the folder is laid out in another way."""
    if links := sorted(
        entry.name for entry in folder.iterdir() if entry.is_symlink() and not entry.name.startswith(".")
    ):
        raise DataError(f"{name}/{links[0]}: is a link; links are not followed; put what it points to in its place")
    if loose := sorted(
        entry.name for entry in folder.iterdir() if entry.suffix.lower() in {*IMAGES, ARRAY} and entry.is_file()
    ):
        raise DataError(
            f"{name}/{loose[0]}: lies beside the folders of classes; put it into one of them, or take it away"
        )
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise DataError(
            f"{name}: has {len(classes)} folder{'s' * (len(classes) != 1)} of classes; expected one per class: {_LAYOUT}"
        )
    for one in classes:
        try:
            one.name.encode()
        except UnicodeEncodeError:
            place = f"{name}/{ascii(one.name)[1:-1]}"
            raise DataError(f"{place}: the name of a class must be text; rename the folder") from None
        entries = sorted(entry for entry in one.iterdir() if not entry.name.startswith("."))
        others = [entry.name for entry in entries if entry.suffix.lower() not in {*IMAGES, ARRAY}]
        if others:
            raise DataError(f"{name}/{one.name}: holds {others[0]}; expected .png, .jpg or .npy files and nothing else")
        if not entries:
            raise DataError(
                f"{name}/{one.name}: is empty; a class has at least one image, take the folder away otherwise"
            )
        yield from ((one.name, entry) for entry in entries)
