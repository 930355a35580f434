"""Which padded shape? Lanes per cohort, time per trial, exactness: python benchmarks/padding.py [--rounds 3] [--cases 2000]

Alternatives for the padded width of a trial's hidden layers: the next multiple of 8; 8, 16, then a multiple of 32 (the rule
in use); the next power of two up to 128, then a multiple of 64; one envelope, the widest the space allows. Batch size and
batch norm always split a cohort, depth never.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

from tracker import config
from tracker.execution.cohorts import form_cohorts
from tracker.execution.trainer import Segment
from tracker.families import mlp_layout
from tracker.families.family import train, train_cohort
from tracker.hyperparameters import FAMILIES, active
from tracker.records import StudySpec, TrialSpec
from tracker.search.samplers import open_sampler
from tracker.search.space import assemble, compile_space
from tracker.seeds import derive_seed
from tracker.standalone.mlp import multiple_of_8, padded_width
from tracker.training.arrays import Arrays

RULES = {
    "multiple of 8": multiple_of_8,
    "8, 16, multiple of 32": padded_width,
    "power of two": lambda size: max(8, 1 << (size - 1).bit_length()) if size <= 128 else -(-size // 64) * 64,
    "envelope 128": lambda size: max(128, multiple_of_8(size)),
}
TRAINING = {"epochs": 30, "early_stopping": {"monitor": "val_loss", "patience": 10}, "device": "cpu"}


def table() -> Arrays:
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x[:341].mean(0)) / x[:341].std(0)).astype(np.float32)
    return Arrays(x[:341], y[:341].astype(np.int64), x[341:455], y[341:455].astype(np.int64), 2, 1)


def draw(space: str, count: int, seed: int) -> list[TrialSpec]:
    """Random trials of the default search space, or of one with a width per layer."""
    settings = config.load_config()
    entries = dict(settings.search_space)
    if space == "width per layer":
        entries["units"] = config.Range(low=16, high=128, step=16, per="hidden_layers")
    compiled = compile_space(entries, settings.hyperparameters, "mlp")
    spec = StudySpec(
        "bench",
        "mlp",
        {"name": "random"},
        compiled.canonical(),
        compiled.fixed,
        TRAINING,
        {"metric": "val_f1", "direction": "maximize"},
        None,
        seed,
        {},
        "bench",
        1,
        {},
    )
    searched = open_sampler(spec).propose(0, count, 0)
    return [
        TrialSpec("mlp", assemble(compiled, s), TRAINING, derive_seed(seed, i), {}, "bench", 1)
        for i, s in enumerate(searched)
    ]


def measure(rule: str, space: str, generation: int, trials: int, data: Arrays) -> tuple[float, float]:
    """Lanes per cohort and processor seconds per trial when `generation` trials are known at a time."""
    mlp_layout.padded_width = RULES[rule]
    cohorts, started = 0, time.process_time()
    specs = draw(space, trials, 1)
    started = time.process_time()
    for first in range(0, trials, generation):
        for cohort in form_cohorts([Segment(spec) for spec in specs[first : first + generation]], 30, 2):
            train_cohort([segment.spec for segment in cohort], data)
            cohorts += 1
    return trials / cohorts, (time.process_time() - started) / trials


def exactness(rule: str, cases: int) -> tuple[int, int]:
    """Lanes that differ from solo training, over odd widths, batches, features, classes and random knobs."""
    mlp_layout.padded_width = RULES[rule]
    rng, done, different = np.random.default_rng(7), 0, 0
    while done < cases:
        features, classes = int(rng.integers(1, 60)), int(rng.choice([2, 3, 5, 7, 10, 37]))
        rows, held = int(rng.integers(40, 200)), int(rng.integers(1, 70))
        x = rng.normal(size=(rows + held, features)).astype(np.float32)
        y = rng.integers(0, classes, rows + held)
        data = Arrays(x[:rows], y[:rows], x[rows:], y[rows:], classes, None)
        specs = [odd_spec(rng, lane) for lane in range(16)]
        for cohort in form_cohorts([Segment(spec) for spec in specs], features, classes):
            for result in train_cohort([segment.spec for segment in cohort], data):
                done += len(cohort) > 1
                different += len(cohort) > 1 and result.outcome != train(result.spec, data).outcome
    return different, done


def odd_spec(rng: np.random.Generator, seed: int) -> TrialSpec:
    depth = int(rng.integers(1, 4))
    params = active("mlp", {
        "hidden_layers": depth, "units": [int(rng.choice([5, 7, 8, 13, 33, 60])) for _ in range(depth)],
        "activation": str(rng.choice(["sigmoid", "tanh", "relu", "leaky_relu", "gelu"])),
        "dropout": float(rng.choice([0, 0.3])), "batch_norm": bool(rng.random() < 0.2),
        "optimizer": str(rng.choice(["sgd", "adam", "adamw", "rmsprop"])), "momentum": float(rng.choice([0, 0.9])),
        "learning_rate": float(10 ** rng.uniform(-4, 0)), "weight_decay": float(rng.choice([0, 1e-3])),
        "batch_size": int(rng.choice([1, 7, 31, 32])),
    })  # fmt: skip
    return TrialSpec("mlp", params, {**TRAINING, "epochs": 2}, seed, {}, "bench", FAMILIES["mlp"].numerics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = table()
    print(
        "| space | generation | rule | lanes per cohort | CPU ms per trial (median) |\n| --- | --- | --- | --- | --- |"
    )
    for space in ("default", "width per layer"):
        for generation in (8, 16, 48):
            taken: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
            for _ in range(arguments.rounds):
                for rule in RULES:  # in turn, so that a slow minute hits all
                    taken[rule].append(measure(rule, space, generation, arguments.trials, data))
            for rule, values in taken.items():
                lanes, seconds = values[0][0], float(np.median([v[1] for v in values]))
                print(f"| {space} | {generation} | {rule} | {lanes:.1f} | {seconds * 1e3:.0f} |", flush=True)
    for rule in RULES:
        different, cases = exactness(rule, arguments.cases)
        print(f"{rule}: {different} of {cases} lanes differ from solo training", flush=True)


if __name__ == "__main__":
    main()
