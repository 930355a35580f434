"""Pictures of a few training rows for `tracker check`: a sheet of images, or curves of sequences; equal bytes for equal rows.

Only rows of train are shown: whoever has seen test rows knows more than a model may. Beside each row stands what the
strongest augmentation of the search spaces makes of it, where there is one.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.datasets.appearance import in_order
from tracker.datasets.schema import as_text
from tracker.datasets.shaped import fit_channels, written
from tracker.evaluation.files import write_durably
from tracker.hyperparameters import AUGMENTATION
from tracker.shown import one_line
from tracker.training.augment import Augmentation

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from tracker.config import Preprocessing

MOST_CLASSES = 16
IMAGES, CURVES = 6, 3  # of a class
MOST_CHANNELS = 8  # curves in one picture that can be told apart
SCALED_BY = 1000  # training rows from which the scale of augmented rows is taken
SIDE, GAP, TOP = 56, 4, 44  # pixels
LONGEST = 16  # letters of a label


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of train whose `features`, in their order, are the numbers of `shape`; with `mask` the last channel is one."""

    frame: pd.DataFrame
    target: str
    features: Sequence[str]
    shape: tuple[int, ...]
    mask: bool = False

    def numbers(self, places: np.ndarray) -> np.ndarray:
        """Float64 (rows, features), NaN for gaps."""
        part = self.frame.iloc[places][list(self.features)]
        found: np.ndarray = part.to_numpy(dtype=np.float64, na_value=np.nan)
        return found

    def shaped(self, numbers: np.ndarray) -> np.ndarray:
        """The same as (rows, *shape); the mask is left out, and what lies behind the end of a sequence is NaN."""
        rows = numbers.reshape(-1, *self.shape)
        return np.where(rows[..., -1:] > 0, rows[..., :-1], np.nan) if self.mask else rows

    def lengths(self, numbers: np.ndarray) -> list[int]:
        """How many steps of each row are there, as its mask says; what lies behind them is padding."""
        rows = numbers.reshape(-1, *self.shape)
        return [int(steps) for steps in (rows[..., -1] > 0).sum(axis=1)]


@dataclass(frozen=True, slots=True)
class Samples:
    """A few rows of each class, float64 (rows, *shape), of how many classes; `varied` are the same ones augmented.

    The shape is without a mask; of padded sequences `lengths` says how many steps each has.
    """

    rows: Mapping[str, np.ndarray]
    varied: Mapping[str, np.ndarray] | None
    shape: tuple[int, ...]
    classes: int
    lengths: Mapping[str, Sequence[int]] | None = None

    @property
    def about(self) -> str:
        """What a picture of them shows."""
        few = f", {len(self.rows)} of {self.classes} classes" if self.classes > len(self.rows) else ""
        return f"some rows of train, {written(self.shape)}{few}"


def strongest(configurations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The greatest value that configurations have of each kind of augmentation; what none asks for is left out."""
    most = {name: max((one.get(name, 0) for one in configurations), default=0) for name in AUGMENTATION}
    return {name: value for name, value in most.items() if value}


def take_samples(train: Rows, augmentation: Mapping[str, Any], settings: Preprocessing, seed: int) -> Samples:
    """A few rows of each class, spread over `train`, and as that augmentation varies them in the first epoch of a run."""
    names = as_text(train.frame[train.target]).to_numpy()
    kinds = in_order(set(names))
    most = IMAGES if len(train.shape) == 3 else CURVES
    places = {kind: _spread(np.flatnonzero(names == kind), most) for kind in kinds[:MOST_CLASSES]}
    numbers = {kind: train.numbers(chosen) for kind, chosen in places.items()}
    varied = _varied(train, numbers, augmentation, settings, seed) if augmentation else None
    shaped = {kind: train.shaped(n) for kind, n in numbers.items()}
    shape = (*train.shape[:-1], train.shape[-1] - train.mask)
    lengths = {kind: train.lengths(n) for kind, n in numbers.items()} if train.mask else None
    return Samples(shaped, varied, shape, len(kinds), lengths)


def draw_samples(samples: Samples, folder: Path) -> Path:
    """Writes `images.png` or `sequences.png` into the folder, and gives its path. Raises StoreError."""
    is_image = len(samples.shape) == 3
    path = folder / ("images.png" if is_image else "sequences.png")
    write_durably(path, _sheet(samples) if is_image else _curves(samples))
    return path


def _varied(
    train: Rows, numbers: Mapping[str, np.ndarray], params: Mapping[str, Any], settings: Preprocessing, seed: int
) -> dict[str, np.ndarray]:
    some = train.frame.iloc[_spread(np.arange(len(train.frame)), SCALED_BY)]
    fitted = fit_channels(some, train.features, train.shape, settings.numeric, mask=train.mask)
    fill, center, scale = (
        np.array([fitted[name][part] or 0.0 for name in train.features]) for part in ("fill", "center", "scale")
    )
    x = np.concatenate(list(numbers.values()))
    x = ((np.where(np.isnan(x), fill, x) - center) / scale).astype(np.float32)
    rows = Augmentation(params, seed, x, train.shape, train.mask).rows(1, np.arange(len(x))) * scale + center
    parts = np.split(rows, np.cumsum([len(of) for of in numbers.values()])[:-1])
    return {kind: train.shaped(part) for kind, part in zip(numbers, parts, strict=True)}


def _spread(places: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the places, evenly from the first to the last."""
    found: np.ndarray = places[np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(np.int64)]
    return found


def _sheet(samples: Samples) -> bytes:
    """A line of images per class, augmented ones behind a gap; black is the least of all numbers as they are."""
    from PIL import Image, ImageDraw, ImageFont

    zoom = max(1, SIDE // max(samples.shape[1:]))
    height, width = (side * zoom for side in samples.shape[1:])
    blocks = {"as they are": samples.rows} | ({} if samples.varied is None else {"augmented": samples.varied})
    block = IMAGES * (width + GAP) + 4 * GAP
    font, ends = ImageFont.load_default(13), _ends(samples)
    left = 4 * GAP + max(round(font.getlength(_short(kind))) for kind in samples.rows)
    size = max(left + len(blocks) * block, 400), TOP + len(samples.rows) * (height + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), samples.about, "black", font)
    for line, kind in enumerate(samples.rows):
        draw.text((GAP, TOP + line * (height + GAP) + height // 2 - 8), _short(kind), "black", font)
    for turn, (title, rows) in enumerate(blocks.items()):
        draw.text((left + turn * block, TOP - 20), title, "black", font)
        for line, images in enumerate(rows.values()):
            for place, image in enumerate(images):
                corner = left + turn * block + place * (width + GAP), TOP + line * (height + GAP)
                sheet.paste(_picture(image, ends).resize((width, height), Image.Resampling.NEAREST), corner)
    found = io.BytesIO()
    sheet.save(found, "png")
    return found.getvalue()


def _picture(image: np.ndarray, ends: tuple[float, float]) -> Image:
    """Three channels are red, green and blue; of any other number the first is shown."""
    from PIL import Image

    low, high = ends
    shade = np.nan_to_num(np.clip((image - low) / ((high - low) or 1.0), 0, 1))
    pixels = (shade * 255).round().astype(np.uint8)
    return Image.fromarray(pixels.transpose(1, 2, 0).copy() if len(pixels) == 3 else pixels[0])


def _curves(samples: Samples) -> bytes:
    """A line of small charts per class, one per sequence and a curve per channel; augmented ones are dashed."""
    import matplotlib.style
    from matplotlib.figure import Figure

    plain: Any = ["default", {"font.size": 8, "text.parse_math": False, "axes.grid": True, "grid.alpha": 0.3}]
    with matplotlib.style.context(plain):
        tall = 0.8 + 1.2 * len(samples.rows)
        figure = Figure(figsize=(9, tall), dpi=100)
        figure.subplots_adjust(0.08, 0.5 / tall, 0.99, 1 - 0.4 / tall, 0.04, 0.12)
        charts = figure.subplots(len(samples.rows), CURVES, sharex=True, sharey=True, squeeze=False)
        dashed = "" if samples.varied is None else "; dashed: augmented"
        padded = "" if samples.lengths is None else "; grey: behind the end"
        figure.suptitle(samples.about + dashed + padded, fontsize=9)
        for line, kind in enumerate(samples.rows):
            charts[line][0].set_ylabel(_short(kind))
            for chart, length in zip(charts[line], (samples.lengths or {}).get(kind, ()), strict=False):
                if length < samples.shape[0]:
                    chart.axvspan(length - 0.5, samples.shape[0] - 0.5, color="#d8d8d8", linewidth=0)
            for dashes, rows in (("-", samples.rows[kind]), ("--", (samples.varied or {}).get(kind, ()))):
                for chart, sequence in zip(charts[line], rows, strict=False):
                    for channel, numbers in enumerate(sequence.T[:MOST_CHANNELS]):
                        chart.plot(numbers, dashes, color=f"C{channel}", linewidth=1.0)
        for chart in charts[-1]:
            chart.set_xlabel("step")
        found = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a sign that the font lacks is drawn as a box
            figure.savefig(found, format="png", metadata={"Software": None})
    return found.getvalue()


def _ends(samples: Samples) -> tuple[float, float]:
    """The least and the greatest of the numbers as they are; 0 and 1 where there are none."""
    numbers = np.concatenate([rows.reshape(-1) for rows in samples.rows.values()])
    known = numbers[~np.isnan(numbers)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def _short(label: str) -> str:
    text = one_line(label)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
