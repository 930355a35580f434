"""A kill, a full disk and a failing disk at every write-type system call of a small study: python -m benchmarks.crash_points

After each the same command runs to its end; digest, reports and store must equal those of an undisturbed life. Needs strace.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import lives, syscalls
from tests.faults.lives import Tally
from tests.faults.nursery import Nursery
from tests.faults.syscalls import Moment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=list(lives.MODELS), default="function", help="what trials are")
    parser.add_argument("--study", choices=lives.STUDIES, default="random")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--checkpoints", action="store_true", help="a checkpoint wherever networks pause")
    parser.add_argument("--step", type=int, default=1, help="every how many calls")
    parser.add_argument("--only", default="", help="only calls that name this, such as /checkpoints")
    parser.add_argument("--errors", nargs="*", default=["ENOSPC", "EIO"])
    wanted = parser.parse_args()
    call, study = ({"checkpoint_after_s": 0} if wanted.checkpoints else {}), wanted.study
    total, started = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Nursery() as nursery:
        place = Path(folder)
        origin = lives.make_project(place / "origin", wanted.kind, trials=wanted.trials)
        expected = lives.bear(nursery, origin, place / "whole", study)
        calls = syscalls.list_calls(nursery, origin, place / "traced", study, **call)
        calls = [moment for moment in calls if wanted.only in moment.line]
        kinds = Counter(moment.name for moment in calls)
        print(f"{len(calls)} calls: " + ", ".join(f"{count} {name}" for name, count in kinds.most_common()), flush=True)
        for number, moment in enumerate(calls[:: wanted.step]):
            root = place / f"{number}"
            tally = syscalls.crash_at(nursery, origin, root, study, expected, moment, **call)
            total += report(moment, tally)
        print(f"killed: {total} ({time.monotonic() - started:.0f} s)", flush=True)
        for error in wanted.errors:
            failed = Tally()
            for number, moment in enumerate(calls[:: wanted.step]):
                root = place / f"{error}-{number}"
                tally, _ = syscalls.fail_at(nursery, origin, root, study, expected, moment, error, **call)
                failed += report(moment, tally)
            print(f"{error}: {failed} ({time.monotonic() - started:.0f} s)", flush=True)
            total += failed
    raise SystemExit(0 if total.sound else 1)


def report(moment: Moment, tally: Tally) -> Tally:
    if not tally.sound:
        print(f"{moment}: {tally}", flush=True)
    return tally


if __name__ == "__main__":
    main()
