"""A kill, a full disk and a failing disk at every write-type system call of a retuning: python -m benchmarks.retune_points

The table has grown, and the retuning ends with a promotion. After each fault the same command must end with the same decision,
one line of record, one run, one version and one move of the alias; no version may ever be half a model. Needs strace.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import retunings
from tests.faults.lives import Tally
from tests.faults.nursery import Nursery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="every how many calls")
    parser.add_argument("--first", type=int, default=0, help="which call is the first")
    parser.add_argument("--only", default="", help="only calls that name this, such as mlflow.db")
    parser.add_argument("--faults", nargs="*", default=["kill", "ENOSPC", "EIO"])
    wanted = parser.parse_args()
    total, started = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Nursery(*retunings.MODULES) as nursery:
        grown = retunings.make_grown(Path(folder), nursery)
        calls = [one for one in grown.calls if wanted.only in one.line]
        kinds = Counter(moment.name for moment in calls)
        print(f"{len(calls)} calls: " + ", ".join(f"{count} {name}" for name, count in kinds.most_common()), flush=True)
        for fault in wanted.faults:
            part = Tally()
            for moment in calls[wanted.first :: wanted.step]:
                one = retunings.strike(nursery, grown, moment, fault)
                print(*one.notes, sep="\n", end="\n" if one.notes else "", flush=True)
                part += one
            struck = f"{fault}: {part.kills} of {part.lives} lives struck, {part.different} ended otherwise"
            print(f"{struck}, {len(part.notes)} remarks ({time.monotonic() - started:.0f} s)", flush=True)
            total += part
    raise SystemExit(0 if total.sound else 1)


if __name__ == "__main__":
    main()
