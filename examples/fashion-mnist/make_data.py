"""Writes clothes.npz: the first rows of Fashion-MNIST from its IDX files, or made-up pictures where no folder is given.

python make_data.py FOLDER [ROWS [SIDE]]    such as /usr/share/datasets/fashion-mnist 6000 28
python make_data.py                         made up, to see the example run

SIDE is 8 or 28 pixels. 8 is as small as the digits of scikit-learn, made as these were: 32 x 32 pixels, means of 4 x 4.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

NAMES = np.array(["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"])


def read_idx(path: Path) -> np.ndarray:
    """The numbers of an IDX file: two bytes 0, the type (8: bytes), how many dimensions, each as 32 bits, the numbers."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise SystemExit(f"{path}: expected an IDX file of bytes, found one that begins with {content[:3].hex()}")
    sides = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sides)


def made_up(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles, a size for each class, anywhere, with noise; no clothes, but pictures of 28 x 28 in ten classes."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 10, rows)
    x = rng.integers(0, 40, (rows, 28, 28))
    for row, kind in enumerate(y):
        tall, wide = 4 + 4 * (kind % 5), 8 + 8 * (kind // 5)
        top, left = rng.integers(0, 28 - tall), rng.integers(0, 28 - wide)
        x[row, top : top + tall, left : left + wide] += 150
    return x.astype(np.uint8), y


def smaller(x: np.ndarray) -> np.ndarray:
    """Pictures (rows, 28, 28) as (rows, 8, 8), from 0 to 16."""
    wide = np.pad(x, ((0, 0), (2, 2), (2, 2)))
    return (wide.reshape(-1, 8, 4, 8, 4).mean((2, 4)) / 255 * 16).round().astype(np.uint8)


def main() -> None:
    """Writes the file beside this one."""
    folder, rows, side = [*sys.argv[1:], *["", "6000", "8"][len(sys.argv) - 1 :]][:3]
    if folder:
        x = read_idx(Path(folder) / "train-images-idx3-ubyte.gz")[: int(rows)]
        y = read_idx(Path(folder) / "train-labels-idx1-ubyte.gz")[: int(rows)]
    else:
        x, y = made_up(300)
    np.savez_compressed(Path(__file__).with_name("clothes.npz"), X=smaller(x) if side == "8" else x, y=NAMES[y])
    sys.stdout.write(f"clothes.npz: {len(x)} {'pictures of Fashion-MNIST' if folder else 'made-up pictures'}\n")


if __name__ == "__main__":
    main()
