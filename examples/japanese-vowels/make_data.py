"""Writes vowels.ts: the sequences of JapaneseVowels from its `.ts` files, or made-up ones where nothing is given.

python make_data.py PLACE    the wheel of `aeon`, or a folder with JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts
python make_data.py          made up, to see the example run
"""

import sys
import zipfile
from pathlib import Path

import numpy as np

FILES = ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts")
HEAD = """# 9 speakers say two vowels: 12 channels, 7 to 29 steps
@problemName JapaneseVowels
@timeStamps false
@univariate false
@dimensions 12
@equalLength false
@classLabel true 1 2 3 4 5 6 7 8 9
@data
"""


def texts(place: Path) -> list[str]:
    """The two files, out of a folder or a wheel, which is a zip."""
    if place.is_dir():
        return [(place / name).read_text(encoding="utf-8") for name in FILES]
    with zipfile.ZipFile(place) as wheel:
        return [wheel.read(f"aeon/datasets/data/JapaneseVowels/{name}").decode() for name in FILES]


def sequences(text: str) -> list[str]:
    """The lines of a `.ts` file that hold sequences: those behind `@data`."""
    lines = text.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.strip().lower() == "@data")
    return [line.strip() for line in lines[begin + 1 :] if line.strip()]


def made_up(rows: int) -> list[str]:
    """Waves about a level, both of the speaker, with noise; no voices, but 12 channels of 7 to 12 steps."""
    rng = np.random.default_rng(1)
    levels = rng.normal(0, 1, (9, 12))
    found = []
    for row in range(rows):
        speaker, steps = row % 9, np.arange(rng.integers(7, 13))
        waves = levels[speaker] + np.sin(steps[:, None] * (1 + speaker) / 10) + rng.normal(0, 0.3, (len(steps), 12))
        channels = [",".join(f"{number:.4f}" for number in channel) for channel in waves.T]
        found.append(":".join([*channels, str(speaker + 1)]))
    return found


def main() -> None:
    """Writes the file beside this one."""
    place = sys.argv[1] if len(sys.argv) > 1 else ""
    found = [line for text in texts(Path(place)) for line in sequences(text)] if place else made_up(135)
    Path(__file__).with_name("vowels.ts").write_text(HEAD + "\n".join(found) + "\n", encoding="utf-8")
    sys.stdout.write(f"vowels.ts: {len(found)} {'sequences of JapaneseVowels' if place else 'made-up sequences'}\n")


if __name__ == "__main__":
    main()
