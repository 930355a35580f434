"""Tables whose rows are images or sequences: what their columns must be, and how numbers are scaled channel by channel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.config import Numeric, Preprocessing
from tracker.config.written import listed
from tracker.datasets.scaling import fit_numbers

if TYPE_CHECKING:
    import pandas as pd

Shape = Sequence[int]
MOST_NAMED = 20  # columns


def written(shape: Shape) -> str:
    """A shape as people write it: `1 x 8 x 8`."""
    return " x ".join(map(str, shape))


def shape_faults(shape: Shape, kinds: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with features, by name and kind, that are to be the numbers of a shape, in their order."""
    odd = [name for name, kind in kinds.items() if kind != "numeric"]
    if odd:
        by_kind = {
            kind: [name for name in odd if kinds[name] == kind] for kind in dict.fromkeys(kinds[one] for one in odd)
        }
        told = ", ".join(f"{_listed(map(repr, names))}: {kind}" for kind, names in by_kind.items())
        yield f"data.shape: {told}, and a shape is made of numbers alone; leave out: data.drop: {listed(odd, MOST_NAMED)}"
    if not odd and len(kinds) != math.prod(shape):
        yield (
            f"data.shape: {list(shape)} is {math.prod(shape)} numbers, the table has {len(kinds)} features; name the shape "
            "that they have, and in data.id or data.drop what is no part of it"
        )


def _listed(names: Iterable[str]) -> str:
    first = [*names]
    return ", ".join(first[:MOST_NAMED]) + (", ..." if len(first) > MOST_NAMED else "")


def indicator_faults(settings: Preprocessing) -> Iterator[str]:
    """What of the preprocessing would change the number of features."""
    if settings.numeric.indicator:
        yield "preprocessing.numeric.indicator: true adds features, and data.shape says how many there are; say false"


def fit_channels(
    train: pd.DataFrame, names: Sequence[str], shape: Shape, settings: Numeric, *, mask: bool = False
) -> dict[str, dict[str, float | None]]:
    """`fill`, `center` and `scale` of each column, equal in all columns of a channel: an image is scaled as a whole.

    They are of all values that the channel has in train; a channel without any is left as it is, and so is the mask, the last.
    """
    cells = train[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)
    of_column = channel_of(shape)
    fitted: dict[str, dict[str, float | None]] = {}
    last = int(of_column.max())
    for channel in range(last + 1):
        places = np.flatnonzero(of_column == channel)
        values = cells[:, places].T.reshape(-1)
        values = values[~np.isnan(values)]
        plain: dict[str, float | None] = {
            "fill": None if settings.impute == "none" else 0.0,
            "center": 0.0,
            "scale": 1.0,
        }
        found = next(fit_numbers([values], settings)) if len(values) and not (mask and channel == last) else plain
        fitted.update({names[int(place)]: found for place in places})
    return fitted


def channel_of(shape: Shape) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The channel of each feature of a row: of an image (channels, height, width), of a sequence (steps, channels)."""
    places = np.arange(math.prod(shape))
    return places % shape[1] if len(shape) == 2 else places // (shape[1] * shape[2])
