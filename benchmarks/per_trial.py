"""CPU time of one trial: ours against a plain PyTorch loop over the same network and rows: python benchmarks/per_trial.py

Digits (1,797 images of 8 x 8), a table of 200,000 rows of 28 numbers and 60,000 images of 28 x 28 (these two made up: what
their values are changes no time), adamw, one thread, validation after each epoch. The two take turns, and of the rounds the
fastest counts, so that what else runs on the machine matters little. `mlp` trains many trials side by side, the others one by
one. A process of its own for each plain trial would load torch each time: told apart. `--only large` leaves digits out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from tracker.execution.executor import one_thread
from tracker.families.family import open_family, train_cohort
from tracker.families.mlp_layout import initial_tensors
from tracker.families.solo import ModuleEngine
from tracker.hyperparameters import FAMILIES, active
from tracker.records import TrialSpec
from tracker.standalone.mlp import load_module
from tracker.training.arrays import Arrays


@dataclass(frozen=True)
class Case:
    """A network on rows; `at_once` trials are trained side by side, `rounds` times."""

    name: str
    data: str  # a key of DATA
    family: str
    params: Mapping[str, Any] = field(default_factory=dict)
    at_once: int = 1
    epochs: int = 10
    batch: int = 32
    rounds: int = 3


CASES = (
    Case("mlp 64-64", "digits", "mlp", {"units": 64, "hidden_layers": 2}, at_once=32),
    Case("cnn 16-16", "digits as images", "cnn", {"filters": 16, "batch_norm": True}),
    Case("gru 48", "digits as images", "rnn", {"cell": "gru", "units": 48, "head_units": 0}),
    Case("lstm 48", "digits as images", "rnn", {"cell": "lstm", "units": 48, "head_units": 0}),
    Case("tabular 128", "digits", "tabular", {"number_embedding": "piecewise", "batch_norm": True}),
    Case("build 64-64", "digits", "build"),
    Case("mlp 64-64", "table", "mlp", {"units": 64, "hidden_layers": 2}, at_once=8, epochs=2, batch=256, rounds=2),
    Case("mlp 256-256", "table", "mlp", {"units": 256, "hidden_layers": 2}, at_once=8, epochs=2, batch=256, rounds=2),
    Case("tabular 128", "table", "tabular", {"number_embedding": "piecewise"}, epochs=2, batch=256, rounds=2),
    Case("build 64-64", "table", "build", epochs=2, batch=256, rounds=2),
    Case(
        "mlp 64-64",
        "images as rows",
        "mlp",
        {"units": 64, "hidden_layers": 2},
        at_once=8,
        epochs=1,
        batch=128,
        rounds=2,
    ),
    Case("cnn 16-16", "images", "cnn", {"filters": 16, "batch_norm": True}, epochs=1, batch=128, rounds=2),
    Case("lstm 48", "images", "rnn", {"cell": "lstm", "units": 48, "head_units": 0}, epochs=1, batch=128, rounds=2),
    Case("build 64-64", "images", "build", epochs=1, batch=128, rounds=2),
)


def digits(shape: tuple[int, ...] = ()) -> Arrays:
    """Scaled pixels; the last 359 rows validate."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int64)
    return Arrays(x[:1438], y[:1438], x[1438:], y[1438:], 10, None, tuple(map(str, range(10))), shape=shape)


def made_up(rows: int, held: int, classes: int, shape: tuple[int, ...]) -> Arrays:
    """Uniform numbers and classes that have nothing to do with them."""
    draws = np.random.default_rng(0)
    width = int(np.prod(shape))
    x = draws.random((rows + held, width), dtype=np.float32)
    y = draws.integers(0, classes, rows + held)
    shape = shape if len(shape) > 1 else ()
    names = tuple(map(str, range(classes)))
    return Arrays(x[:rows], y[:rows], x[rows:], y[rows:], classes, None, names, shape=shape)


DATA: Mapping[str, Callable[[], Arrays]] = {
    "digits": digits,
    "digits as images": lambda: digits((1, 8, 8)),
    "table": lambda: made_up(200_000, 20_000, 2, (28,)),
    "images as rows": lambda: made_up(60_000, 10_000, 10, (784,)),
    "images": lambda: made_up(60_000, 10_000, 10, (1, 28, 28)),
}
data_of = cache(lambda name: DATA[name]())


def own_network(hyperparameters: Mapping[str, Any], input_shape: Sequence[int], classes: int) -> torch.nn.Module:  # noqa: ARG001
    """What a user would write as `model.entry`."""
    width = int(np.prod(input_shape))
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(width, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, classes),
    )


def own_of(case: Case) -> Callable[..., Any] | None:
    """The user's function, where the family wants one."""
    return own_network if case.family == "build" else None


def spec(case: Case, seed: int, device: str = "cpu") -> TrialSpec:
    """A trial of the case."""
    training = {"epochs": case.epochs, "early_stopping": None, "device": device}
    known = active(case.family, {"optimizer": "adamw", "batch_size": case.batch, **case.params})
    return TrialSpec(case.family, known, training, seed, {}, "benchmark", FAMILIES[case.family].numerics)


def plain(net: torch.nn.Module, data: Arrays, case: Case, device: str = "cpu") -> None:
    """The loop that people write: rows as tensors on the device, no DataLoader."""
    net, rows_of = net.to(device), (data.x_train, data.x_validation)
    x, held = (torch.from_numpy(rows).reshape(-1, *data.input_shape).to(device) for rows in rows_of)
    y, truth = (torch.from_numpy(labels).to(device) for labels in (data.y_train, data.y_validation))
    steps, loss = torch.optim.AdamW(net.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()
    for _ in range(case.epochs):
        net.train()
        for rows in torch.split(torch.randperm(len(y), device=device), case.batch):
            steps.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            steps.step()
        net.eval()
        with torch.no_grad():
            logits = net(held)
            loss(logits, truth).item()
            (logits.argmax(1) == truth).float().mean().item()


def seconds(work: Callable[[], Any], device: str = "cpu") -> float:
    """Seconds of this process's CPU; on another device those of the clock, until it has done all that it was given."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    began = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def module_of(case: Case, data: Arrays) -> torch.nn.Module:
    """The same network with its initial weights."""
    run = spec(case, 0)
    if run.family != "mlp":
        engine = open_family(run.family).start([run], data, own_of(case))
        engine.prepare()
        assert isinstance(engine, ModuleEngine)
        assert engine.module is not None
        return engine.module
    return load_module(run.params, initial_tensors(run, data.x_train.shape[1], data.classes))


def one_round(case: Case, device: str = "cpu") -> tuple[float, float]:
    """Seconds of a trial: ours, then the plain loop."""
    data = data_of(case.data)
    runs = [spec(case, seed, device) for seed in range(case.at_once)]
    ours = seconds(lambda: train_cohort(runs, data, own_of(case)), device) / len(runs)
    return ours, seconds(lambda: plain(module_of(case, data), data, case, device), device)


def main() -> None:
    """A line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["large"], help="the table and the images, without digits")
    parser.add_argument("--device", default="cpu", help="another one by its name: seconds are those of the clock then")
    wanted = parser.parse_args()
    large, device = wanted.only == "large", wanted.device
    began = os.times()
    subprocess.run([sys.executable, "-c", "import torch, numpy, sklearn.datasets"], check=True)
    ended = os.times()
    start_s = ended.children_user + ended.children_system - began.children_user - began.children_system
    print(f"a process that loads torch: {start_s:.1f} s of CPU")
    with one_thread():
        for case in CASES:
            if (large and case.data.startswith("digits")) or (device != "cpu" and case.family == "mlp"):
                continue
            pairs = [one_round(case, device) for _ in range(case.rounds)]
            ours, theirs = (min(times) for times in zip(*pairs, strict=True))
            print(
                f"{case.data:16} {case.name:12} ours {ours:.3f} s, plain loop {theirs:.3f} s: {theirs / ours:.1f} x; "
                f"with its process {(theirs + start_s) / ours:.1f} x; load {os.getloadavg()[0]:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
