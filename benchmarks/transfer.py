"""Does a network for digits gain by beginning with one for clothes? python benchmarks/transfer.py IDX_FOLDER [SEED ...]

The example fashion-mnist, and its digits with and without the parent, over five seeds with a split of its own each: macro-F1
on the test rows of what 8 trials chose on validation.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tracker
from benchmarks.examples import EXAMPLES, SEEDS, macro_f1
from tracker import api
from tracker.paths import Paths

SPLITS = {180: "{validation: 0.1, test: 0.8}", 50: "{validation: 0.05, test: 0.92}"}  # by rows for training, about


def result(folder: Path) -> float:
    """Tunes the project of a folder; macro-F1 on its test rows."""
    config = tracker.load_config(folder / "params.yaml")
    project = api.Project(Paths.of(folder, {}), "sqlite:///unused.db", 1, "benchmark")
    api.prepare(config, project)
    api.split(config, project)
    api.tune(config, "random", project=project, deliver=False)
    return macro_f1(api.compare(config, project).test().result["test"])


def main() -> None:
    """The parent once, then all children."""
    source, *seeds = sys.argv[1:]
    example = EXAMPLES / "fashion-mnist"
    with tempfile.TemporaryDirectory() as folder:
        clothes = Path(folder) / "clothes"
        clothes.mkdir()
        for name in ("params.yaml", "make_data.py"):
            (clothes / name).write_bytes((example / name).read_bytes())
        subprocess.run([sys.executable, clothes / "make_data.py", source, "6000", "8"], check=True)
        print(f"clothes: {result(clothes):.4f}", flush=True)
        text = (example / "digits" / "params.yaml").read_text().replace("../models", "../clothes/models")
        alone = re.sub(r"  (transfer|freeze): .*\n", "", text)
        for rows, split in SPLITS.items():
            for name, given in {"from nothing": alone, "from clothes": text}.items():
                found = []
                for seed in seeds or SEEDS:
                    child, begun = Path(folder) / f"{name}-{rows}-{seed}", time.monotonic()
                    child.mkdir()
                    own = given.replace("seed: 2026", f"seed: {seed}").replace(SPLITS[180], split)
                    (child / "params.yaml").write_text(own)
                    found.append(result(child))
                    took = f"{time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.0f}"
                    print(f"{name}, {rows} rows, seed {seed}: {found[-1]:.4f}, {took}", flush=True)
                print(
                    f"{name}, {rows} rows: median {statistics.median(found):.4f}, lowest {min(found):.4f}", flush=True
                )


if __name__ == "__main__":
    main()
