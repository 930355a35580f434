"""Retuning in figures: how often an equal or worse challenger is promoted, what a warm start saves, what nothing to do costs.

    python -m benchmarks.retune promotions [--pairs 200]
    python -m benchmarks.retune exchangeable [--times 200] [--metric val_f1]
    python -m benchmarks.retune warm [--seeds 10] [--sampler random tpe] [--before 24 96]
    python -m benchmarks.retune idle

`promotions` judges pairs of models on the same rows, as `tracker retune` does. `exchangeable` retunes whole small projects
whose table grew by rows of the same kind, and asks 20,000 further rows which of champion and challenger is worse. `warm` tunes
on the first rows of a table, then on all of them (grown) or on rows of another kind (drifted), cold and warm, and counts trials
and seconds until the cold start's final validation score; `before` is how many trials the first study had, `kept` the best of
them trained once more and nothing else. `idle` times `tracker retune` with nothing to do beside `dvc status`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import f1_score

from tests.retuning.year import PARAMS, Year, month, table
from tracker import api
from tracker.config import Config, parse_config
from tracker.config.parts import Promote
from tracker.evaluation.scoring import index_labels
from tracker.paths import Paths
from tracker.remedies import find_dvc
from tracker.retuning.champion import open_model
from tracker.retuning.decide import Side, judge
from tracker.retuning.retune import retune
from tracker.retuning.warm import best_configurations
from tracker.seeds import bit_generator
from tracker.store.store import Store

TRIALS = 24
SPACE = {
    "hidden_layers": {"low": 1, "high": 2},
    "units": [8, 16, 32, 64],
    "activation": ["relu", "tanh"],
    "dropout": {"low": 0.0, "high": 0.5},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
}
TREE: dict[str, Any] = {
    "data": {"source": "table.csv", "target": "target"},
    "split": {"validation": 0.25, "test": 0.2, "promotion": 0.3},
    "training": {"epochs": 15},
    "search_space": SPACE,
    "objective": {"metric": "val_loss"},
}


def promotions(pairs: int) -> None:
    """How many of so many challengers are promoted: equals, and such as are right on 1 and 3 rows of 100 less."""
    for rows in (100, 300):
        for worse in (0.0, 0.01, 0.03):
            for metric in ("val_f1", "val_loss"):
                promoted = sum(_pair(pair, rows, worse, metric) for pair in range(pairs))
                share = promoted / pairs
                print(f"{rows} rows, {worse:.0%} worse, {metric}: promoted {promoted} of {pairs} ({share:.1%})")


def _pair(number: int, rows: int, worse: float, metric: str) -> bool:
    rng = np.random.default_rng([number, rows, round(1000 * worse)])
    truth = rng.integers(0, 2, rows)
    hard = rng.random(rows)  # both models err on the rows that are hard

    def side(right: float) -> Side:
        call = np.where(0.7 * hard + 0.3 * rng.random(rows) < right, truth, 1 - truth)
        sure = 0.6 + 0.35 * rng.random(rows)
        probabilities = np.stack([np.where(call == place, sure, 1 - sure) for place in (0, 1)], axis=1)
        return Side(probabilities, call.astype(np.int64))

    settings = Promote()
    found = judge(truth, side(0.85), side(0.85 - worse), settings, metric, 1, None, bit_generator(number, "pair"))
    return found.promotes(settings)


def exchangeable(times: int, metric: str) -> None:
    """In how many retunings a challenger is promoted that is worse on 20,000 rows than the champion it replaces."""
    worse = better = decided = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(times):
            lead = _retuned(Path(scratch) / f"{number}", number, metric)
            decided += lead is not None
            worse += lead is not None and lead < 0
            better += lead is not None and lead >= 0
    print(
        f"{metric}: {times} retunings on exchangeable data: {decided} promotions, {better} of a better challenger, "
        f"{worse} of a worse one ({worse / times:.1%})"
    )


def _retuned(root: Path, number: int, metric: str) -> float | None:
    """How far a promoted challenger leads the champion before it on 20,000 rows; None where none was promoted."""
    year = Year(root, PARAMS.replace("seed: 7", f"seed: {number}") + f"objective: {{metric: {metric}}}\n")
    year.config = year.config.with_("retune.promote.confidence", Promote().confidence)
    first = 100 * number
    year.write(table(first + 1, first + 2, first + 3))
    before = retune(year.job()).champion
    year.write(table(first + 1, first + 2, first + 3, first + 4))
    after = retune(year.job())
    lead = None
    if after.decision == "promoted" and before is not None and after.champion is not None:
        rows = month(10**6 + number, rows=20_000)
        with Store.open(year.paths.store) as store:
            old, new = (
                _score(year, store, one, rows, root / str(place), metric)
                for place, one in enumerate((before, after.champion))
            )
        lead = new - old
    shutil.rmtree(root)
    return lead


def _score(year: Year, store: Store, told: Mapping[str, Any], rows: pd.DataFrame, folder: Path, metric: str) -> float:
    """A model's score on labelled rows; more is better."""
    model = open_model(store, told, year.paths, None, folder)
    probabilities = model.probabilities(rows)
    truth = np.array([list(model.labels).index(label) for label in rows["kind"]])
    if metric == "val_loss":
        return float(np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-300)).mean())
    return float(f1_score(truth, index_labels(model.decided(probabilities), model.labels), pos_label=1))


class Begun(NamedTuple):
    """Trials and seconds until the cold start's best value, cold and warm; whether one refit had it, and the gap."""

    cold: int
    warm: int
    cold_s: float
    warm_s: float
    kept: bool
    gap: float


def warm(seeds: int, samplers: list[str], before: list[int]) -> None:
    """Trials and seconds of a warm start until the cold start's best, on grown and on drifted data; medians over seeds."""
    for sampler, trials in itertools.product(samplers, before):
        for rows, kind in itertools.product((_breast_cancer, _digits), ("grown", "drifted")):
            told = [_warm(rows, kind, seed, sampler, trials) for seed in range(seeds)]
            shares = statistics.median(one.warm / one.cold for one in told)
            seconds = statistics.median(one.warm_s / one.cold_s for one in told)
            cold, begun = (statistics.median(column) for column in zip(*((o.cold, o.warm) for o in told), strict=True))
            half, never = sum(2 * one.warm <= one.cold for one in told), sum(one.warm > TRIALS for one in told)
            kept, gap = sum(one.kept for one in told), statistics.median(one.gap for one in told)
            print(
                f"{sampler}, {trials} trials before, {rows.__name__[1:]}, {kind}: cold {cold:g} of {TRIALS} trials, "
                f"warm {begun:g}: {shares:.2f} of its trials, {seconds:.2f} of its seconds (medians of {seeds}); "
                f"at most half in {half}; never in {never}; kept: as good in {kept}, {gap:+.4f} behind",
                flush=True,
            )


def _warm(parts: Any, kind: str, seed: int, sampler: str, before: int) -> Begun:
    old, new = parts(kind, seed)
    study = {"sampler": sampler, "trials": TRIALS, **({"generation": 8} if sampler == "tpe" else {})}
    config = parse_config({**TREE, "seed": seed, "studies": {"study": study}}, "params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        _tune(Path(scratch), config.with_("studies.study.trials", before), old)
        with Store.open(Path(scratch) / ".tracker") as store:
            first = best_configurations(config, store, {"study": store.studies("study")[0][0]})
    later = config.with_("seed", seed + 1000)
    cold, begun = (_fresh(one, new)[0] for one in (later, later.with_("warm_start", first)))
    best = min(cold)
    needed, warm_needed = (
        1 + next((place for place, value in enumerate(values) if value <= best), TRIALS) for values in (cold, begun)
    )
    cold_s = _fresh(later.with_("studies.study.trials", needed), new)[1]
    warm_s = _fresh(later.with_("warm_start", first).with_("studies.study.trials", min(warm_needed, TRIALS)), new)[1]
    return Begun(needed, warm_needed, cold_s, warm_s, begun[0] <= best, begun[0] - best)


def _fresh(config: Config, frame: pd.DataFrame) -> tuple[list[float], float]:
    """The values of the study's trials in an empty project, and the seconds that `tune` took."""
    with tempfile.TemporaryDirectory() as scratch:
        return _tune(Path(scratch), config, frame)


def _tune(root: Path, config: Config, frame: pd.DataFrame) -> tuple[list[float], float]:
    """The values of the study's trials in their order, on a table; and the seconds that `tune` took."""
    frame.to_csv(root / "table.csv", index=False)
    project = api.Project(Paths.of(root, {}), "sqlite:///unused.db", 1, "benchmark")
    api.prepare(config, project)
    api.split(config, project)
    started = time.perf_counter()
    study = api.tune(config, "study", project=project, deliver=False)
    took = time.perf_counter() - started
    return [float("inf") if trial.value is None else trial.value for trial in study.trials], took


def _breast_cancer(kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _parts(load_breast_cancer(as_frame=True).frame, kind, seed)


def _digits(kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _parts(load_digits(as_frame=True).frame, kind, seed)


def _parts(frame: pd.DataFrame, kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Half of a table, and all of it; drifted: the other half, its features moved and noisy."""
    rng = np.random.default_rng(seed)
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    half = len(frame) // 2
    if kind == "grown":
        return frame.iloc[:half], frame
    features = [name for name in frame if name != "target"]
    moved = frame.iloc[half:].copy().astype(dict.fromkeys(features, float))
    spread = frame[features].std().to_numpy()
    moved[features] += spread * (
        0.5 * rng.normal(size=len(features)) + 0.5 * rng.normal(size=(len(moved), len(features)))
    )
    return frame.iloc[:half], moved


def idle() -> None:
    """Seconds of `tracker retune` with nothing to do, and of `dvc status` in the same project; medians of five, in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        frame = load_breast_cancer(as_frame=True).frame
        (root / "data" / "raw").mkdir(parents=True)
        frame.to_csv(root / "data/raw/table.csv", index=False)
        run = [sys.executable, "-m", "tracker.cli"]
        environ = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
        _call(["git", "init", "-q"], root, environ)
        _call([*run, "init", "data/raw/table.csv", "--target", "target"], root, environ)
        params = root / "params.yaml"
        params.write_text(params.read_text().replace("  validation: ", "  promotion: 0.3\n  validation: ", 1))
        dvc = find_dvc()
        _call([*run, "retune"], root, environ)
        pairs = [
            (_timed([*run, "retune"], root, environ), _timed([str(dvc), "status"], root, environ)) for _ in range(5)
        ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"nothing to do: tracker retune {ours:.2f} s, dvc status {theirs:.2f} s, ratio {ours / theirs:.2f}")


def _call(words: list[str], root: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(words, cwd=root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")


def _timed(words: list[str], root: Path, environ: dict[str, str]) -> float:
    started = time.perf_counter()
    _call(words, root, environ)
    return time.perf_counter() - started


def main() -> None:
    """Runs one of the four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("promotions", "exchangeable", "warm", "idle"))
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--metric", default="val_f1", choices=("val_f1", "val_loss"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sampler", nargs="*", default=["random", "tpe"])
    parser.add_argument("--before", nargs="*", type=int, default=[TRIALS], metavar="TRIALS")
    given = parser.parse_args()
    {
        "promotions": lambda: promotions(given.pairs),
        "exchangeable": lambda: exchangeable(given.times, given.metric),
        "warm": lambda: warm(given.seeds, given.sampler, given.before),
        "idle": idle,
    }[given.what]()


if __name__ == "__main__":
    main()
