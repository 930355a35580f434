"""What tells `tracker retune` that it has seen the data: the table or images, and entries that decide what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import Config, parse_config
from tracker.retuning.retune import _source


def config(**data: Any) -> Config:
    studies = {"one": {"sampler": "manual", "configurations": [{}]}}
    return parse_config({"seed": 7, "data": {"target": "b", **data}, "studies": studies}, "params.yaml")


def test_an_update_is_no_change_of_the_data(tmp_path: Path) -> None:
    """Entries that came later and are not used change nothing: the night after an update has nothing to do."""
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    before = "37f8c287877c4ffafd5fc571499bef8bd1f6bf61a1ade871e23c3a15c86bc9f9"
    assert before == _source(config(source="t.csv"), tmp_path)
    assert before != _source(config(source="t.csv", images="a"), tmp_path)


def test_another_image_in_a_folder_is_a_change(tmp_path: Path) -> None:
    """A folder of images is told by its files, as a table is by its own."""
    for kind in ("cat", "dog"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        np.save(tmp_path / "images" / kind / "0.npy", np.zeros((2, 2)))
    before = _source(config(source="images"), tmp_path)
    assert before == _source(config(source="images"), tmp_path)
    np.save(tmp_path / "images" / "dog" / "1.npy", np.zeros((2, 2)))
    assert before != _source(config(source="images"), tmp_path)
