"""The same trials here, in two processes, on Ray, and as plain Ray tasks: python -m benchmarks.ray_cluster [--trials 256]

Workers are started and have loaded torch before anything is timed; each round takes all in turn, so that a machine that is
busy with other things is busy with them for all. Plain tasks train one trial each and record nothing. Ray Tune, which takes
seconds to start a trial and is timed once, by itself, with fewer trials, draws which of the same trials it trains with
OptunaSearch.

`--digests` runs a study of each sampler, one with a pruner among them, in each of these ways, and compares their digests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.studies.project import SmallProject, make_table
from tracker.execution.executor import Executor, InlineExecutor
from tracker.execution.processes import ProcessExecutor
from tracker.execution.ray_cluster import RayExecutor
from tracker.execution.row_sets import arrays_of
from tracker.execution.trainer import Segment
from tracker.records import TrialSpec
from tracker.store.store import Store
from tracker.studies.runner import run_study

CALLS = 500
LEARNS = {"trials": 16, "generation": 8}
STUDIES: dict[str, dict[str, Any]] = {
    "random": {"sampler": "random", "trials": 16},
    "qmc": {"sampler": "qmc", "trials": 16},
    **{name: {"sampler": name, **LEARNS} for name in ("tpe", "gp", "cmaes", "nsga2")},
    "tpe, median": {"sampler": "tpe", **LEARNS, "pruner": {"name": "median", "n_startup_trials": 3}},
    "random, halving": {"sampler": "random", **LEARNS, "pruner": {"name": "halving"}},
}
Way = Callable[[Sequence[TrialSpec]], int]


def through(executor: Executor) -> Way:
    """Trials through an executor, as a study runs them."""
    return lambda specs: sum(len(results) for results in executor.run([Segment(spec) for spec in specs]))


def plainly(ray: Any, project: SmallProject) -> Way:
    """A Ray task per trial, two at a time, as a script without any of this would have it; the actors hold the CPUs."""
    rows = ray.put(arrays_of(project.data))

    @ray.remote(num_cpus=0)
    def one(spec: TrialSpec, arrays: Any) -> Any:
        import torch

        from tracker.families.family import train

        torch.set_num_threads(1)
        return train(spec, arrays).outcome.metrics

    def run(specs: Sequence[TrialSpec]) -> int:
        waiting, flying, found = list(specs), [], 0
        while waiting or flying:
            while waiting and len(flying) < 2:
                flying.append(one.remote(waiting.pop(0), rows))
            done, flying = ray.wait(flying)
            found += len(ray.get(done))
        return found

    return run


def ray_tune(ray: Any, project: SmallProject, specs: Sequence[TrialSpec], folder: Path) -> float:
    """Seconds of Ray Tune with OptunaSearch for so many trials, two at a time; its actors are used again."""
    import optuna
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    rows = ray.put(arrays_of(project.data))

    def trainable(config: dict[str, int]) -> None:
        import torch

        from tracker.families.family import train

        torch.set_num_threads(1)
        tune.report({"val_loss": train(specs[config["which"]], ray.get(rows)).outcome.metrics["val_loss"]})

    names = list(range(len(specs)))
    search = OptunaSearch(
        {"which": optuna.distributions.CategoricalDistribution(names)},
        metric="val_loss",
        mode="min",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=search, num_samples=len(specs), max_concurrent_trials=2, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    started = time.monotonic()
    assert len(specs) == tuner.fit().num_terminated
    return time.monotonic() - started


def timed(ways: dict[str, Way], specs: Sequence[TrialSpec], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, round by round."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(specs[:64])  # workers start and load
        way(specs[:64])
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.monotonic()
            assert len(specs) == way(specs)
            took[name].append(time.monotonic() - started)
    return took


def digests(project: SmallProject, executors: dict[str, Executor], folder: Path) -> bool:
    """Whether each study is the same whoever runs it; prints a line per study."""
    alike = True
    for name, study in STUDIES.items():
        plan = project.plan("random", studies__random=study)
        found = {}
        for way, executor in executors.items():
            with Store.open(folder / f"{name}-{way}") as store:
                found[way] = run_study(plan, store, executor, {}).digest
        same = len(set(found.values())) == 1
        verdict = "the same in" if same else "DIFFERS BETWEEN"
        print(f"{name:16} {next(iter(found.values()))[:12]} {verdict} {', '.join(found)}", flush=True)
        alike &= same
    return alike


def call_s(ray: Any) -> float:
    """Seconds of a call of an actor that does nothing."""

    @ray.remote(num_cpus=0)
    class Idle:
        def answer(self) -> None:
            return None

    idle = Idle.remote()
    ray.get(idle.answer.remote())
    started = time.monotonic()
    for _ in range(CALLS):
        ray.get(idle.answer.remote())
    return (time.monotonic() - started) / CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tune-trials", type=int, default=24, help="trials of Ray Tune")
    parser.add_argument("--digests", action="store_true")
    wanted = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    with tempfile.TemporaryDirectory() as place:
        project = SmallProject.made(Path(place) / "project", make_table())
        specs = project.specs("random", studies__random__trials=wanted.trials, training={"epochs": 20})
        executors: dict[str, Executor] = {
            "inline": InlineExecutor(project.data),
            "2 processes": ProcessExecutor(project.data, 2),
            "ray, 2 CPUs": RayExecutor(project.data, None),
        }
        ways = {name: through(executor) for name, executor in executors.items()}
        if wanted.digests:
            alike = digests(project, {**executors, "4 processes": ProcessExecutor(project.data, 4)}, Path(place))
            raise SystemExit(0 if alike else 1)
        took = timed({**ways, "plain Ray tasks": plainly(ray, project)}, specs, wanted.rounds)
        for name, times in took.items():
            ratio = statistics.median(one / other for one, other in zip(times, took["2 processes"], strict=True))
            print(f"{name:16} {wanted.trials / statistics.median(times):8.1f} trials/s, {ratio:6.2f} times 2 processes")
        print(f"a call of an actor: {1000 * call_s(ray):.2f} ms")
        for executor in executors.values():
            executor.close()  # their actors hold the CPUs
        took_s = ray_tune(ray, project, specs[: wanted.tune_trials], Path(place) / "tune")
        print(f"Ray Tune with OptunaSearch: {wanted.tune_trials} trials, {wanted.tune_trials / took_s:.2f} trials/s")
    ray.shutdown()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
