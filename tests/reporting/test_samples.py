"""Pictures of `tracker check`: which rows are drawn, where each stands, what augmentation makes of it; equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tracker.config import Preprocessing, load_config
from tracker.paths import Paths
from tracker.reporting.samples import Rows, draw_samples, strongest, take_samples
from tracker.terminal.forecast import forecast

PROJECT = """
seed: 1
data: {source: images.npz, target: y, id: id}
split: {validation: 0.25, test: 0.25}
model: {family: cnn}
training: {epochs: 2}
search_space: {augment_shift: [0, 1], filters: [4, 8]}
studies: {one: {sampler: random, trials: 2}}
"""
PLAIN = Preprocessing()


def rows(x: np.ndarray, labels: list[str], *, mask: bool = False) -> Rows:
    names = [f"x_{place}" for place in range(x[0].size)]
    frame = pd.DataFrame(x.reshape(len(x), -1).astype(float), columns=names).assign(kind=labels)
    return Rows(frame, "kind", names, x.shape[1:], mask)


def test_check_draws_rows_of_train_alone(tmp_path: Path) -> None:
    """Every image is of one shade, its own; those on the sheet are of train, 6 of each class, and the line names the file."""
    shades = np.arange(120, dtype=np.uint8)
    np.savez_compressed(tmp_path / "images.npz", X=np.repeat(shades, 64).reshape(-1, 8, 8), y=shades % 2, id=shades)
    (tmp_path / "params.yaml").write_text(PROJECT)
    config, paths = load_config(tmp_path / "params.yaml"), Paths.of(tmp_path, {})
    lines = list(forecast(config, paths, paths.pictures))
    assert "some rows of train as pictures: reports/rows/images.png" in lines
    from tracker import api

    project = api.Project(paths, "sqlite:///unused.db", 1, "tests")
    api.prepare(config, project)
    api.split(config, project)
    train = pd.read_parquet(paths.splits / "train.parquet")
    ends = min(seen := train["x_0_0"]), max(seen)
    told = [round(255 * (shade - ends[0]) / (ends[1] - ends[0])) for shade in seen]
    sheet = np.asarray(Image.open(paths.pictures / "images.png"))
    top = 44 + 60 * int(ends[0] % 2)  # the line of the class with the darkest image, which comes first there
    left = next(x for x in range(sheet.shape[1]) if (sheet[top : top + 56, x] == 0).all())
    shown = [int(sheet[top + 28, left + 28 + 60 * place, 0]) for place in range(6)]
    assert sorted(set(shown)) == shown
    assert set(shown) <= set(told)


def test_augmented_rows_stand_beside_in_the_numbers_of_the_table() -> None:
    """A shift by whole pixels makes no new number, also where rows are scaled in between; without augmentation none is made."""
    x = np.random.default_rng(0).integers(0, 99, (40, 2, 4, 4))
    train = rows(x, ["a", "b"] * 20)
    found = take_samples(train, {"augment_shift": 2}, PLAIN, 3)
    assert {"a": (6, 2, 4, 4), "b": (6, 2, 4, 4)} == {kind: of.shape for kind, of in found.rows.items()}
    for kind, images in found.rows.items():
        assert found.varied is not None
        for image, varied in zip(images, found.varied[kind], strict=True):
            for before, after in zip(image, varied, strict=True):
                assert set(after.round(3).flat) <= set(before.flat)
    assert take_samples(train, {}, PLAIN, 3).varied is None
    assert {"augment_flip": True, "augment_noise": 0.2} == strongest(
        [{"augment_flip": True, "augment_shift": 0}, {"augment_noise": 0.2}, {"augment_noise": 0.1}]
    )


def test_sequences_end_where_their_mask_ends() -> None:
    """Behind the last step there is nothing to draw, of rows as they are and augmented; the mask is no curve."""
    x = np.ones((6, 5, 3))
    x[:, 3:, 2] = 0
    found = take_samples(rows(x, ["a"] * 6, mask=True), {"augment_scale": 0.1}, PLAIN, 3)
    assert "some rows of train, 5 x 2" == found.about
    for drawn in (found.rows["a"], (found.varied or {})["a"]):
        assert drawn.shape == (3, 5, 2)
        np.testing.assert_array_equal(np.isnan(drawn[0, :, 0]), [False, False, False, True, True])


def test_padding_is_told_from_gaps(tmp_path: Path) -> None:
    """What is behind the end of a sequence is grey, a gap within it is not; without padding nothing is grey."""
    x = np.ones((6, 8, 3))
    x[:, 3:5, 0] = np.nan
    x[:, 5, :2] = np.nan
    x[:, 6:, :2], x[:, 6:, 2] = np.nan, 0
    found = take_samples(rows(x, ["a"] * 6, mask=True), {}, PLAIN, 3)
    assert {"a": [6, 6, 6]} == found.lengths
    whole = take_samples(rows(x[..., :2], ["a"] * 6), {}, PLAIN, 3)
    assert whole.lengths is None
    shares = []
    for turn, one in enumerate((found, whole)):
        seen = np.asarray(Image.open(draw_samples(one, tmp_path / str(turn))).convert("RGB"))
        shares.append(float((seen == 0xD8).all(axis=2).mean()))
    assert 0.1 < shares[0] < 0.3  # two steps of eight
    assert shares[1] < 0.01


@pytest.mark.parametrize(("shape", "classes", "name"), [((3, 9, 7), 20, "images.png"), ((12, 2), 2, "sequences.png")])
def test_equal_rows_give_equal_bytes(tmp_path: Path, shape: tuple[int, ...], classes: int, name: str) -> None:
    """The picture is drawn twice with the same bytes, other rows with others; labels may be of any script."""
    x: Any = np.random.default_rng(1).normal(size=(40, *shape))
    train = rows(x, [f"$ {place % classes} 数" for place in range(40)])
    found = [take_samples(train, {"augment_noise": 0.1}, PLAIN, seed) for seed in (3, 3, 4)]
    drawn = [draw_samples(one, tmp_path / str(turn)) for turn, one in enumerate(found)]
    assert tmp_path / "0" / name == drawn[0]
    assert [True, False] == [drawn[0].read_bytes() == other.read_bytes() for other in drawn[1:]]
    assert ("16 of 20 classes" in found[0].about) == (classes == 20)
