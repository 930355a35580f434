"""A kill at every write-type system call of `tracker compare --test`: python -m benchmarks.look_points

After each, either no test row had been read or the look is on record, and the same command ends with the same report and
one look. Needs strace.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import looks
from tests.faults.nursery import Nursery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="every how many calls")
    wanted = parser.parse_args()
    started, seen = time.monotonic(), looks.Watched()
    with tempfile.TemporaryDirectory() as folder, Nursery(*looks.MODULES) as nursery:
        place = Path(folder)
        origin = looks.make_project(place / "origin", nursery)
        expected = looks.whole_look(nursery, origin, place / "whole")
        calls = looks.calls_of(nursery, origin, place / "traced")
        kinds = Counter(moment.name for moment in calls)
        print(f"{len(calls)} calls: " + ", ".join(f"{count} {name}" for name, count in kinds.most_common()), flush=True)
        for number, moment in enumerate(calls[:: wanted.step]):
            looks.kill_at(nursery, origin, place / f"{number}", moment, expected, seen)
    print(f"{seen} ({time.monotonic() - started:.0f} s)")
    raise SystemExit(1 if seen.notes else 0)


if __name__ == "__main__":
    main()
