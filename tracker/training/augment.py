"""Training rows as each epoch varies them: moved, erased, masked, with noise, mixed; rows of validation and test never are.

What a row becomes follows from (seed, epoch, number of the row) alone, so that neither the order of batches, nor lanes, nor
workers can change it. Numbers are drawn by a hash of a counter: those of one row are found without drawing for the others.
The order is: move (mirror, turn, shift), scale, noise, then what becomes 0 (erase, mask, drop), then mixup of varied rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from tracker.hyperparameters import AUGMENTATION
from tracker.records import TrialSpec
from tracker.seeds import bit_generator
from tracker.training.arrays import Arrays

OF_IMAGES = ("augment_shift", "augment_rotate", "augment_flip", "augment_erase")
OF_SEQUENCES = ("augment_scale", "augment_mask")
OF_TABLES = ("augment_drop",)
_KINDS: Mapping[
    str, tuple[tuple[str, ...], str, str]
] = {  # by what a row is: what suits it, its name, what else to take
    "image": (OF_IMAGES, "images", "augment_shift, augment_rotate, augment_flip or augment_erase"),
    "sequence": (OF_SEQUENCES, "sequences", "augment_scale or augment_mask"),
    "table": (OF_TABLES, "rows of a table", "augment_drop"),
}
_GOLDEN, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def fault(params: Mapping[str, Any], shape: Sequence[int]) -> str | None:
    """What is wrong with the augmentation of rows of that shape (empty: rows of a table), or None."""
    here = _kind(shape)
    for kind, (names, told, _) in _KINDS.items():
        for name in names if kind != here else ():
            if params.get(name):
                _, found, instead = _KINDS[here]
                shaped = "" if shape else "; where they have a shape, say data.shape"
                return f"{name}: is for {told}, and these are {found}; take {instead}, augment_noise or augment_mixup{shaped}"
    if here == "image" and params.get("augment_shift", 0) >= min(shape[1:]):
        return (
            f"augment_shift: {params['augment_shift']} moves images of {shape[1]} x {shape[2]} out of sight; "
            f"at most {min(shape[1:]) - 1}, and {'1 to ' if (most := min(shape[1:]) // 7) > 1 else ''}{max(1, most)} is usual"
        )
    return None


def _kind(shape: Sequence[int]) -> str:
    return {3: "image", 2: "sequence"}.get(len(shape), "table")


@dataclass(frozen=True, slots=True)
class Mix:
    """Rows of mixup: the number of each one's partner, int64 (rows,), and its own share, float32 (rows,)."""

    partners: np.ndarray
    shares: np.ndarray

    def of(self, mine: np.ndarray, partners: np.ndarray) -> np.ndarray:
        """Numbers of the rows and of their partners (rows, ...), mixed."""
        share = self.shares.reshape(-1, *[1] * (mine.ndim - 1))
        mixed: np.ndarray = mine * share + partners * (1 - share)
        return mixed


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The augmentation of one run: `x` are its training rows, float32 (rows, features), of the given `shape`."""

    params: Mapping[str, Any]
    seed: int
    x: np.ndarray
    shape: tuple[int, ...]
    mask: bool

    @classmethod
    def of(cls, spec: TrialSpec, arrays: Arrays) -> Augmentation | None:
        """None where the run asks for none."""
        params = {name: spec.params[name] for name in AUGMENTATION if spec.params.get(name)}
        return cls(params, spec.seed, arrays.x_train, arrays.shape, arrays.mask) if params else None

    def rows(self, epoch: int, samples: np.ndarray) -> np.ndarray:
        """The rows of these numbers, int64 (rows,), as this epoch has them, float32 (rows, features)."""
        varied, mix = self._varied(epoch, samples), self.mix(epoch, samples)
        if mix is None:
            return varied
        partners = self._varied(epoch, mix.partners)
        mixed = mix.of(varied, partners)
        if self.mask:  # a step is there where it is in either of the two
            steps = (a.reshape(-1, *self.shape)[..., -1] for a in (varied, partners))
            mixed.reshape(-1, *self.shape)[..., -1] = np.maximum(*steps)
        return mixed

    def mix(self, epoch: int, samples: np.ndarray) -> Mix | None:
        """With which rows these are mixed, and how much of them stays; None without mixup."""
        if not (alpha := self.params.get("augment_mixup")):
            return None
        count = len(self.x)
        partners = (self._words("mixup", epoch, samples, 1)[:, 0] % np.uint64(count)).astype(np.int64)
        shares = np.random.Generator(bit_generator(self.seed, "augment", "share", epoch)).beta(alpha, alpha, count)
        return Mix(partners, shares[samples].astype(np.float32))

    def _varied(self, epoch: int, samples: np.ndarray) -> np.ndarray:
        rows = self.x[samples].reshape(-1, *(self.shape or self.x.shape[1:]))
        if any(self.params.get(name) for name in OF_IMAGES[:3]):
            rows = self._moved(rows, epoch, samples)
        rows = self._noised(rows, epoch, samples)
        for zeros in self._zeros(rows, epoch, samples):
            rows = np.where(zeros, np.float32(0), rows)
        return rows.reshape(len(samples), -1)

    def _moved(self, images: np.ndarray, epoch: int, samples: np.ndarray) -> np.ndarray:
        """Mirrored, then turned about the middle, then shifted; what comes in from outside repeats the edge."""
        down, right, turn, flip = self._shares("move", epoch, samples, 4).T
        most, degrees = int(self.params.get("augment_shift", 0)), self.params.get("augment_rotate", 0.0)
        down, right = (np.floor(share * (2 * most + 1)) - most for share in (down, right))
        angles = (2 * turn - 1) * math.radians(degrees)
        return move(images, angles, down, right, (flip < 0.5) & self.params.get("augment_flip", False))

    def _noised(self, rows: np.ndarray, epoch: int, samples: np.ndarray) -> np.ndarray:
        """Channels times 1 + noise, then noise on each number; the mask of a sequence and what it hides stay as they are."""
        before = rows
        if scale := self.params.get("augment_scale"):
            factors = self._normals("scale", epoch, samples, rows.shape[2])[:, None, :]
            rows = rows * (1 + np.float32(scale) * factors)
        if noise := self.params.get("augment_noise"):
            rows = rows + np.float32(noise) * self._normals("noise", epoch, samples, self.x.shape[1]).reshape(
                rows.shape
            )
        if self.mask and rows is not before:
            there = before[..., -1:]
            rows = np.concatenate([rows[..., :-1] * there, there], axis=2)
        return rows

    def _zeros(self, rows: np.ndarray, epoch: int, samples: np.ndarray) -> Iterator[np.ndarray]:
        """What becomes 0, as masks that fit `rows`."""
        if share := self.params.get("augment_erase"):
            tall, wide, top, left = self._shares("erase", epoch, samples, 4).T
            is_in_row = _span(rows.shape[2], share, tall, top)
            yield (is_in_row[:, :, None] & _span(rows.shape[3], share, wide, left)[:, None, :])[:, None]
        if share := self.params.get("augment_mask"):
            long, start = self._shares("mask", epoch, samples, 2).T
            steps = rows[..., -1].sum(axis=1) if self.mask else np.full(len(rows), rows.shape[1])
            zeros = np.repeat(_span(rows.shape[1], share, long, start, steps)[:, :, None], rows.shape[2], axis=2)
            if self.mask:
                zeros[..., -1] = False
            yield zeros
        if rate := self.params.get("augment_drop"):
            yield self._shorts("drop", epoch, samples, rows.shape[1]) < round(rate * 65536)

    def _words(self, purpose: str, epoch: int, samples: np.ndarray, count: int) -> np.ndarray:
        key = bit_generator(self.seed, "augment", purpose, epoch).random_raw()
        return words(key, samples, count)

    def _shares(self, purpose: str, epoch: int, samples: np.ndarray, count: int) -> np.ndarray:
        """Float64 (rows, count) in [0, 1)."""
        found: np.ndarray = (self._words(purpose, epoch, samples, count) >> np.uint64(11)) * 2.0**-53
        return found

    def _shorts(self, purpose: str, epoch: int, samples: np.ndarray, count: int) -> np.ndarray:
        """Uint16 (rows, count), four of a word."""
        found: np.ndarray = self._words(purpose, epoch, samples, -(-count // 4)).view(np.uint16)[:, :count]
        return found

    def _normals(self, purpose: str, epoch: int, samples: np.ndarray, count: int) -> np.ndarray:
        """Float32 (rows, count), normal; one of 65,536 quantiles each, so that no function of the machine's is asked."""
        found: np.ndarray = quantiles()[self._shorts(purpose, epoch, samples, count)]
        return found


def words(key: int, samples: np.ndarray, count: int) -> np.ndarray:
    """Uint64 (rows, count) of the rows of these numbers: SplitMix64 at a counter; Steele, Lea and Flood 2014."""
    counter = samples.astype(np.uint64)[:, None] * np.uint64(count) + np.arange(1, count + 1, dtype=np.uint64)
    z: np.ndarray = counter * _GOLDEN + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    found: np.ndarray = z ^ (z >> np.uint64(31))
    return found


@cache
def quantiles() -> np.ndarray:
    """The normal distribution's quantiles at the middles of 65,536 equal parts, float32."""
    upper = [NormalDist().inv_cdf((place + 0.5) / 65536) for place in range(32768, 65536)]
    return np.array([-value for value in reversed(upper)] + upper, np.float32)


def move(images: np.ndarray, angles: np.ndarray, down: np.ndarray, right: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """Images (rows, channels, height, width) mirrored, turned by radians (down the page: clockwise), shifted by pixels.

    Between pixels values are interpolated along both axes; a whole number of pixels without a turn moves them as they are.
    """
    count, channels, height, width = images.shape
    middle = (height - 1) / 2, (width - 1) / 2
    y = (np.arange(height) - middle[0])[None, :, None] - down[:, None, None]
    x = (np.arange(width) - middle[1])[None, None, :] - right[:, None, None]
    cos = np.fromiter(map(math.cos, angles), float, count)[:, None, None]
    sin = np.fromiter(map(math.sin, angles), float, count)[:, None, None]
    y, x = np.clip(y * cos - x * sin + middle[0], 0, height - 1), np.clip(y * sin + x * cos + middle[1], 0, width - 1)
    x = np.where(flip[:, None, None], width - 1 - x, x)
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    low, far = (y - top).astype(np.float32)[:, None], (x - left).astype(np.float32)[:, None]
    flat = images.reshape(count, channels, -1)

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        places = (np.minimum(rows, height - 1) * width + np.minimum(columns, width - 1)).reshape(count, 1, -1)
        return np.take_along_axis(flat, places, axis=2).reshape(images.shape)

    if not low.any() and not far.any():
        return at(top, left)
    upper = at(top, left) * (1 - far) + at(top, left + 1) * far
    lower = at(top + 1, left) * (1 - far) + at(top + 1, left + 1) * far
    moved: np.ndarray = upper * (1 - low) + lower * low
    return moved


def _span(
    size: int, share: float, length: np.ndarray, start: np.ndarray, sizes: np.ndarray | None = None
) -> np.ndarray:
    """Which places of `size` lie in each row's span (rows, size); `length` and `start` are shares of what is possible.

    A span is 0 to `share` of the row's own size long (`sizes`; None: all of `size`), and lies within it.
    """
    whole = np.full(len(length), size) if sizes is None else sizes
    long = np.floor(length * (np.floor(share * whole) + 1))
    first = np.floor(start * (whole - long + 1))
    places = np.arange(size)[None]
    inside: np.ndarray = (places >= first[:, None]) & (places < (first + long)[:, None])
    return inside
