"""What `tracker init` says of a column of images of which some, or all, cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.datasets.test_load_images import KINDS, PATHS, PNGS, write
from tracker.errors import DataError
from tracker.project.begin import Wishes, begin

NAMES = "table.csv: column 'image' names image files, and of the first 6 none is read: "


def faults_of(folder: Path, table: str) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        begin(Wishes(table=table, target="kind"), folder, None)
    assert not (folder / "params.yaml").exists()
    return caught.value.faults


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        ({3: b"garbage"}, ["row 4: is no readable PNG or JPEG (UnidentifiedImageError); save it again"]),
        ({0: PNGS[0][:60], 5: b""}, ["row 1: is no readable PNG or JPEG (OSError); save it again",
                                     "row 6: is no readable PNG or JPEG (UnidentifiedImageError); save it again"]),
        ({2: None}, ["row 3, column 'image': is a gap; give an image, or leave the row out"]),
    ],
)  # fmt: skip
def test_damaged_images_are_told_by_their_rows(tmp_path: Path, damaged: dict[int, Any], told: list[str]) -> None:
    """A column of images of which some are damaged is one all the same."""
    write(tmp_path, pa.array([damaged.get(place, content) for place, content in enumerate(PNGS)], pa.binary()))
    assert tuple(f"table.parquet, {line}" for line in told) == faults_of(tmp_path, "table.parquet")


def test_of_many_damaged_images_the_first_are_told(tmp_path: Path) -> None:
    """Ten lines, and how many more there are."""
    write(tmp_path, pa.array([*PNGS, *[b"garbage"] * 14], pa.binary()), [*KINDS, *["cat", "dog"] * 7])
    *rows, last = faults_of(tmp_path, "table.parquet")
    assert [f"table.parquet, row {row}:" for row in range(7, 17)] == [line[: line.index(":") + 1] for line in rows]
    assert "table.parquet: and 4 images more" == last


LEADS_OUT = "'{}/pictures/0.png' leads out of the folder of the table; write paths relative to it, without .."
ABSENT = (
    "'away/pictures/0.png': cannot be read (away: No such file or directory); links are not followed; "
    "paths start at the folder of the table"
)


@pytest.mark.parametrize(("before", "told"), [("{}/", LEADS_OUT), ("away/", ABSENT)])
def test_paths_that_all_miss_are_told_in_a_line(tmp_path: Path, before: str, told: str) -> None:
    """Absolute ones and those of another folder: what was found and what to do; beside features it is a hint."""
    folder = write(tmp_path, PATHS)
    frame = pd.DataFrame({"image": [before.format(folder) + path for path in PATHS], "kind": KINDS})
    frame.to_csv(folder / "table.csv", index=False)
    assert (NAMES + told.format(folder),) == faults_of(folder, "table.csv")
    frame.assign(a=range(6), b=[0.5, 1.5, 4.5] * 2).to_csv(folder / "table.csv", index=False)
    lines = begin(Wishes(table="table.csv", target="kind"), folder, None)
    assert [line for line in lines if "names image files" in line] == [
        f"hint: {NAMES.partition(': ')[2]}{told.format(folder)}; as it is, no image is read"
    ]


def test_names_of_files_that_are_said_to_be_categories_are_no_images(tmp_path: Path) -> None:
    """Though the table has no other column."""
    pd.DataFrame({"image": ["a.png", "b.png"] * 6, "kind": [*"xyyx"] * 3}).to_csv(tmp_path / "table.csv", index=False)
    assert 1 == len(faults_of(tmp_path, "table.csv"))
    lines = begin(Wishes(table="table.csv", target="kind", categorical=("image",)), tmp_path, None)
    assert not [line for line in lines if "no image" in line]
    assert (tmp_path / "params.yaml").is_file()


def test_one_missing_file_is_told_by_its_row(tmp_path: Path) -> None:
    """Where other files are there, the column is one of images, and the row is named."""
    folder = write(tmp_path, PATHS)
    pd.DataFrame({"image": [*PATHS[:2], "pictures/none.png", *PATHS[3:]], "kind": KINDS}).to_csv(
        folder / "table.csv", index=False
    )
    (line,) = faults_of(folder, "table.csv")
    assert line.startswith("table.csv, row 3, column 'image': 'pictures/none.png': cannot be read (No such file")
