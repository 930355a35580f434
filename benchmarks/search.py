"""Which search for which budget: python -m benchmarks.search [--seeds 10] [--trials 64] [--only sphere,mixed,sizes,asks]

What is left to the best value after so many trials, median and quartiles over seeds: on two functions whose best value is
known, and, with `--tables FILE`, on the real scores that `python -m benchmarks.tabulated build FILE` wrote, of which a search
reads one configuration a trial. `sizes`: TPE in generations of 1, 8 and 16, beside Optuna's TPE told after every trial.
`asks`: seconds of gp for a generation of 8 after 24, 48 and 104 trials. `long`: of tpe and cmaes, after thousands.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmarks.tabulated import GRID, SHOWN, quartiles, read
from tests.search.conftest import build_spec
from tests.search.toys import MIXED, SPHERE, mixed, plainly, run_study, sphere
from tracker.sampler_table import SAMPLERS
from tracker.search.optuna_border import optuna_border, suggest
from tracker.search.samplers import open_sampler
from tracker.search.sampling import Told
from tracker.search.space import space_from

Objective = Callable[[Mapping[str, Any]], float]


def best_so_far(objective: Objective, proposals: list[dict[str, Any]]) -> list[float]:
    """What is left after each trial."""
    left, least = [], float("inf")
    for searched in proposals:
        least = min(least, 0.0 - objective(searched))
        left.append(least)
    return left


def one_by_one(entries: Mapping[str, Any], objective: Objective, trials: int, seed: int) -> list[dict[str, Any]]:
    """Optuna's TPE with its defaults, told after every trial."""
    spec = build_spec("tpe", entries, seed=seed)
    space, proposals = space_from(spec.space, spec.fixed, spec.family), []
    with optuna_border():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        for _ in range(trials):
            trial = study.ask()
            proposals.append(space.walk(lambda name, entry, trial=trial: suggest(trial, name, entry))[0])
            study.tell(trial, objective(proposals[-1]))
    return proposals


def show(name: str, objective: Objective, seeds: int, search: Callable[[int], list[dict[str, Any]]]) -> None:
    """A row: medians and quartiles over seeds, CPU seconds of one study."""
    started = time.process_time()
    runs = [best_so_far(objective, search(seed)) for seed in range(seeds)]
    seconds = (time.process_time() - started) / seeds
    shown = [count for count in SHOWN if count <= len(runs[0])]
    medians = " | ".join(quartiles([run[count - 1] for run in runs]) for count in shown)
    print(f"| {name} | {medians} | {seconds:.2f} |", flush=True)


def header(title: str, trials: int) -> None:
    """Of a table in Markdown."""
    shown = [count for count in SHOWN if count <= trials]
    print(f"\n{title}\n| sampler | {' | '.join(map(str, shown))} | CPU s |\n{'| --- ' * (len(shown) + 2)}|", flush=True)


def told_by(entries: Mapping[str, Any], objective: Objective) -> Callable[[int, Mapping[str, Any]], Told]:
    """How a trial ends; of a table, which knows its own points alone, without slopes."""
    return (lambda number, one: Told(number, (objective(one),))) if entries is GRID else plainly(objective)


def asks(trials: int = 104) -> None:
    """Wall and CPU seconds of gp for a generation of 8, medians of three, on numbers alone and with choices."""
    for title, entries, objective in (("4 numbers", SPHERE, sphere), ("7 names, 2 choices", MIXED, mixed)):
        taken: dict[int, list[tuple[float, float]]] = {}
        for seed in range(3):
            sampler = open_sampler(build_spec("gp", entries, seed=seed))
            for generation in range(trials // 8 + 1):
                wall, used = time.perf_counter(), time.process_time()
                proposed = sampler.propose(generation, 8, 8 * generation)
                taken.setdefault(8 * generation, []).append((time.perf_counter() - wall, time.process_time() - used))
                sampler.tell([Told(8 * generation + i, (objective(one),)) for i, one in enumerate(proposed)])
        for count in (24, 48, 104):
            wall, used = (statistics.median(column) for column in zip(*taken[count], strict=True))
            print(f"gp, {title}, {count} trials told: 8 asked in {wall:.3f} s, {used:.3f} CPU s", flush=True)


def long_asks(counts: Sequence[int] = (1_000, 3_000, 10_000)) -> None:
    """CPU seconds of a generation of 8 after so many trials, which are drawn at random and given as if proposed."""
    drawn = open_sampler(build_spec("random", MIXED, seed=1)).propose(0, max(counts), 0)
    for name in ("tpe", "cmaes"):
        entries, objective = (SPHERE, sphere) if name == "cmaes" else (MIXED, mixed)
        points = (
            open_sampler(build_spec("random", entries, seed=1)).propose(0, max(counts), 0) if name == "cmaes" else drawn
        )
        sampler, taken = open_sampler(build_spec(name, entries, seed=1, generation=8)), []
        for start in range(0, max(counts) + 8, 8):
            used = time.process_time()
            if start in counts:
                proposed = sampler.propose(start // 8, 8, start)
                taken.append(f"{start:,}: {time.process_time() - used:.3f}")
            elif SAMPLERS[name].rebuilds:
                sampler.take(start // 8, proposed := points[start : start + 8])
            else:
                proposed = sampler.propose(start // 8, 8, start)
            sampler.tell([Told(start + place, (objective(one),)) for place, one in enumerate(proposed)])
        print(f"{name}, CPU seconds of 8 asked after so many trials: {', '.join(taken)}", flush=True)


def main() -> None:
    """Prints the tables one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--only", default="sphere,mixed,sizes,asks")
    parser.add_argument("--tables", type=Path)
    given = parser.parse_args()
    only, trials = given.only.split(","), given.trials
    known: dict[str, tuple[Mapping[str, Any], Objective]] = {"sphere": (SPHERE, sphere), "mixed": (MIXED, mixed)}
    cases = {title: case for title, case in known.items() if title in only}
    cases |= {title: (GRID, table.left) for title, table in (read(given.tables) if given.tables else {}).items()}
    for title, (entries, objective) in cases.items():
        header(title, trials)
        for name in (row.name for row in SAMPLERS.values() if row.needs_trials):

            def search(
                seed: int, name: str = name, entries: Any = entries, objective: Any = objective
            ) -> list[dict[str, Any]]:
                return run_study(build_spec(name, entries, seed=seed), trials, told_by(entries, objective))

            if not SAMPLERS[name].hypergradients or title in known:
                show(name, objective, given.seeds, search)
    if "sizes" in only:
        header("TPE on mixed, by generation", trials)
        show("Optuna, one by one", mixed, given.seeds, lambda seed: one_by_one(MIXED, mixed, trials, seed))
        for size in (1, 8, 16):
            show(
                f"generations of {size}",
                mixed,
                given.seeds,
                lambda seed, size=size: run_study(
                    build_spec("tpe", MIXED, seed=seed, generation=size), trials, plainly(mixed)
                ),
            )
    if "long" in only:
        long_asks()
    if "asks" in only:
        asks()


if __name__ == "__main__":
    main()
