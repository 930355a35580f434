"""CPU time of one trial: ours against a plain PyTorch loop over the same network and rows: python benchmarks/per_trial.py

Digits (1,797 images of 8 x 8), 10 epochs, batches of 32, adamw, one thread, validation after each epoch. The two take turns,
and of three rounds the fastest counts, so that what else runs on the machine matters little. `mlp` trains 32 trials side by
side, the others one by one. A process of its own for each plain trial would load torch each time: told apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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

EPOCHS, BATCH, ROUNDS, LANES = 10, 32, 3, 32
CASES: Mapping[str, tuple[str, dict[str, Any], int]] = {  # family, hyperparameters, trials at once
    "mlp 64-64": ("mlp", {"units": 64, "hidden_layers": 2}, LANES),
    "cnn 16-16": ("cnn", {"filters": 16, "batch_norm": True}, 1),
    "gru 48": ("rnn", {"cell": "gru", "units": 48, "head_units": 0}, 1),
    "lstm 48": ("rnn", {"cell": "lstm", "units": 48, "head_units": 0}, 1),
    "tabular 128": ("tabular", {"number_embedding": "piecewise", "batch_norm": True}, 1),
}


def digits(shape: tuple[int, ...]) -> Arrays:
    """Scaled pixels; the last 359 rows validate."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int64)
    return Arrays(x[:1438], y[:1438], x[1438:], y[1438:], 10, None, tuple(map(str, range(10))), shape=shape)


def spec(family: str, params: Mapping[str, Any], seed: int) -> TrialSpec:
    training = {"epochs": EPOCHS, "early_stopping": None, "device": "cpu"}
    known = active(family, {"optimizer": "adamw", "batch_size": BATCH, **params})
    return TrialSpec(family, known, training, seed, {}, "benchmark", FAMILIES[family].numerics)


def plain(net: torch.nn.Module, data: Arrays) -> None:
    """The loop that people write: rows as tensors, no DataLoader."""
    as_rows = lambda rows: torch.from_numpy(rows).reshape(-1, *data.input_shape)  # noqa: E731
    x, y, held, truth = (
        as_rows(data.x_train),
        torch.from_numpy(data.y_train),
        as_rows(data.x_validation),
        data.y_validation,
    )
    steps, loss = torch.optim.AdamW(net.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(len(y)).split(BATCH):
            steps.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            steps.step()
        net.eval()
        with torch.no_grad():
            logits = net(held)
            loss(logits, torch.from_numpy(truth)).item()
            (logits.argmax(1).numpy() == truth).mean()


def seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def module_of(run: TrialSpec, data: Arrays) -> torch.nn.Module:
    """The same network with its initial weights."""
    if run.family != "mlp":
        engine = open_family(run.family).start([run], data, None)
        engine.prepare()
        assert isinstance(engine, ModuleEngine)
        assert engine.module is not None
        return engine.module
    return load_module(run.params, initial_tensors(run, data.x_train.shape[1], 10))


def one_round(runs: Sequence[TrialSpec], data: Arrays) -> tuple[float, float]:
    """Seconds of a trial: ours, then the plain loop."""
    ours = seconds(lambda: train_cohort(runs, data)) / len(runs)
    return ours, seconds(lambda: plain(module_of(runs[0], data), data))


def main() -> None:
    """A line per family."""
    began = os.times()
    subprocess.run([sys.executable, "-c", "import torch, numpy, sklearn.datasets"], check=True)
    ended = os.times()
    start_s = ended.children_user + ended.children_system - began.children_user - began.children_system
    print(f"a process that loads torch: {start_s:.1f} s of CPU")
    with one_thread():
        for name, (family, params, at_once) in CASES.items():
            data = digits((1, 8, 8) if family in {"cnn", "rnn"} else ())
            runs = [spec(family, params, seed) for seed in range(at_once)]
            pairs = [one_round(runs, data) for _ in range(ROUNDS)]
            ours, theirs = (min(times) for times in zip(*pairs, strict=True))
            print(
                f"{name:12} ours {ours:.3f} s, plain loop {theirs:.3f} s: {theirs / ours:.1f} x; "
                f"with its process {(theirs + start_s) / ours:.0f} x; load {os.getloadavg()[0]:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
