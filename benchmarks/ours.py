"""One study of ours in a fresh process, for benchmarks/tuning.py: FOLDER SAMPLER TRIALS WORKERS SEED RECORDED.

RECORDED is 1 or 0, or `split`: then the rows that the seed draws are made, and nothing is tuned.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    from tracker import api
    from tracker.config import load_config

    _, sampler, trials, workers, seed, recorded = sys.argv[1:]
    config = load_config(Path(__file__).resolve().parent.parent / "params.yaml").with_("seed", int(seed))
    config = config.with_(f"studies.{sampler}.trials", int(trials))
    here = api.Project.now(workers=int(workers))
    if recorded == "split":
        api.prepare(config, here)
        api.split(config, here)
        return
    heard: list[float] = []  # the first progress is told when everything is imported and read
    tuned = api.tune(
        config, sampler, project=here, deliver=recorded == "1", on_progress=lambda _: heard.append(time.perf_counter())
    )
    json.dump({"tuning_s": time.perf_counter() - heard[0], "trials": len(tuned.trials)}, sys.stdout)


if __name__ == "__main__":
    main()
