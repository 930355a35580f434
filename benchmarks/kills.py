"""Random SIGKILLs and what survived: python -m benchmarks.kills [--cheap 800 --networks 120 --build 60 --deliveries 200 ...]

After the kills the same command runs to its end, and all it leaves is compared with a life that was never interrupted.
Drivers are real processes, forked from one that has everything imported; see tests/faults/nursery.py.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults import deliveries, lives
from tests.faults.lives import STUDIES, Tally
from tests.faults.nursery import Nursery
from tests.faults.processes import hunt_processes
from tests.faults.stages import copy_project, ending, hunt_stage, make_split_project

MOST = 8  # kills in one life


def repeat(name: str, wanted: int, life: Callable[[int, Path], Tally], folder: Path) -> Tally:
    """Lives until there were as many kills as wanted."""
    total, started = Tally(), time.monotonic()
    for number in itertools.count():
        if total.kills >= wanted or not total.sound:
            break
        total += life(number, folder / f"life-{number}")
    print(f"{name}: {total} ({time.monotonic() - started:.0f} s)", flush=True)
    return total


def drivers(
    nursery: Nursery, folder: Path, wanted: int, seed: int, *, kind: str, studies: Sequence[str] = STUDIES, **call: Any
) -> Iterator[Tally]:
    """Drivers; `call` is what they are told beside their study."""
    origin = lives.make_project(folder / "origin", kind)
    said = "".join(f", {name} {value}" for name, value in call.items())
    for place, study in enumerate(studies):
        expected = lives.bear(nursery, origin, folder / f"whole-{study}", study)
        span = lives.length(nursery, origin, folder / "timed", study, **call)

        def life(number: int, root: Path, study=study, expected=expected, span=span, place=place) -> Tally:
            draw = lives.rng(seed, place, number)
            return lives.hunt(nursery, origin, root, study, expected, draw, span, MOST, **call)

        yield repeat(f"driver, {kind}, {study}{said}", -(-wanted // len(studies)), life, folder)


def processes(nursery: Nursery, folder: Path, wanted: int, seed: int) -> Iterator[Tally]:
    """Workers, the process they are forked from, the delivery process, and the driver."""
    origin = lives.make_project(folder / "origin", "networks", trials=24)
    deliveries.make_database(origin.paths.root / "mlflow.db")
    study = "median"
    whole = lives.bear(nursery, origin, folder / "whole", study)
    runs, _ = deliveries.deliver_once(nursery, lives.at(origin, folder / "whole"), folder / "delivered")
    span = lives.length(nursery, origin, folder / "timed", study, workers=2, deliver=True)

    def life(number: int, root: Path) -> Tally:
        return hunt_processes(nursery, origin, root, study, (whole, runs), lives.rng(seed, number), span)

    yield repeat("worker, delivery process, driver of two workers, networks, median", wanted, life, folder)


def delivered(nursery: Nursery, folder: Path, wanted: int, seed: int) -> Iterator[Tally]:
    finished = lives.make_project(folder / "origin", "function", trials=12)
    for study in STUDIES:
        assert nursery.run(finished.paths.root, folder / "log", do="tune", study=study) == 0
    deliveries.make_database(finished.paths.root / "mlflow.db")
    expected, span = deliveries.deliver_once(nursery, finished, folder / "whole")

    def life(number: int, root: Path) -> Tally:
        return deliveries.hunt_delivery(nursery, finished, root, expected, lives.rng(seed, number), span, MOST)

    yield repeat("delivery, six studies to one MLflow database", wanted, life, folder)


def stages(_: Nursery, folder: Path, wanted: int, seed: int) -> Iterator[Tally]:
    """`dvc repro`, its stage and whatever that started."""
    origin = make_split_project(folder / "origin")
    (origin.folder / "open").touch()
    whole = copy_project(origin, folder / "whole")
    started = time.monotonic()
    whole.repro("tune")
    span, expected = time.monotonic() - started, ending(whole)

    def life(number: int, root: Path) -> Tally:
        return hunt_stage(origin, root, expected, lives.rng(seed, number), span, MOST)

    yield repeat("dvc, stage, worker or delivery of `dvc repro`, function, tpe", wanted, life, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = {"cheap": 800, "networks": 120, "checkpoints": 60, "build": 60, "workers": 60}
    for name, default in {**defaults, "deliveries": 200, "processes": 60, "stages": 40, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    total = Tally()
    with tempfile.TemporaryDirectory() as folder, Nursery(*deliveries.MODULES) as nursery:
        place = Path(folder)
        parts = [
            (wanted.cheap, partial(drivers, kind="function")),
            (wanted.networks, partial(drivers, kind="networks")),
            (wanted.checkpoints, partial(drivers, kind="networks", studies=["median"], checkpoint_after_s=0)),
            (wanted.build, partial(drivers, kind="build", studies=["random", "median"])),
            (wanted.workers, partial(drivers, kind="build", studies=["median", "repeats"], workers=2)),
            (wanted.deliveries, delivered),
            (wanted.processes, processes),
            (wanted.stages, stages),
        ]
        for number, (count, part) in enumerate(parts):
            for tally in part(nursery, place / f"{number}", count, seed=wanted.seed) if count else ():
                total += tally
    print(f"all: {total}")
    raise SystemExit(0 if total.sound else 1)


if __name__ == "__main__":
    main()
