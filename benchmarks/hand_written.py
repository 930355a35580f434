"""The loop people write: Optuna on SQLite, PyTorch, early stopping, no tracking: python benchmarks/hand_written.py --help

It is written as a careful person would for speed: rows as tensors (no DataLoader), one thread, no prints.
"""

import argparse
import copy
import json
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
import optuna  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score  # noqa: E402
from torch import nn  # noqa: E402

EPOCHS, PATIENCE = 30, 10
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def read(splits: Path) -> tuple[torch.Tensor, ...]:
    train, held = pd.read_parquet(splits / "train.parquet"), pd.read_parquet(splits / "validation.parquet")
    x, v = train.drop(columns="target"), held.drop(columns="target")
    mean, std = x.mean(), x.std()
    as_x = lambda frame: torch.tensor(((frame - mean) / std).to_numpy(np.float32))  # noqa: E731
    as_y = lambda frame: torch.tensor((frame["target"] == "malignant").to_numpy(np.int64))  # noqa: E731
    return as_x(x), as_y(train), as_x(v), as_y(held)


def build(trial: optuna.Trial) -> nn.Module:
    depth, units = trial.suggest_int("hidden_layers", 1, 3), trial.suggest_categorical("units", [32, 64, 128])
    activation = ACTIVATIONS[trial.suggest_categorical("activation", ["relu", "tanh", "gelu"])]
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    layers, size = [], 30
    for _ in range(depth):
        layers += [nn.Linear(size, units), activation(), nn.Dropout(dropout)]
        size = units
    return nn.Sequential(*layers, nn.Linear(size, 2))


def optimizer_of(trial: optuna.Trial, model: nn.Module) -> torch.optim.Optimizer:
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
    if trial.suggest_categorical("optimizer", ["adamw", "sgd"]) == "adamw":
        return torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    momentum = trial.suggest_float("momentum", 0.5, 0.99)
    return torch.optim.SGD(model.parameters(), rate, momentum=momentum, weight_decay=decay)


def objective(trial: optuna.Trial, data: tuple[torch.Tensor, ...]) -> float:
    x, y, xv, yv = data
    torch.manual_seed(trial.number)
    model = build(trial)
    optimizer, size = optimizer_of(trial, model), trial.suggest_categorical("batch_size", [32, 64])
    best, best_f1, best_state, waiting = float("inf"), 0.0, None, 0
    for _ in range(EPOCHS):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(size):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        model.eval()
        with torch.no_grad():
            logits = model(xv)
            val_loss = nn.functional.cross_entropy(logits, yv).item()
        predicted, truth = logits.argmax(1).numpy(), yv.numpy()
        accuracy_score(truth, predicted)
        precision_score(truth, predicted, zero_division=0)
        recall_score(truth, predicted, zero_division=0)
        f1 = f1_score(truth, predicted, zero_division=0)
        if val_loss < best:
            best, best_f1, best_state, waiting = val_loss, f1, copy.deepcopy(model.state_dict()), 0
        else:
            waiting += 1
            if waiting >= PATIENCE:
                break
    assert best_state is not None
    return float(best_f1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", type=Path)
    parser.add_argument("storage", help="for example sqlite:///study.db")
    parser.add_argument("--sampler", choices=["tpe", "random"], default="tpe")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = read(arguments.splits)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study = optuna.create_study(
        storage=arguments.storage, study_name="hand", load_if_exists=True, direction="maximize",
        sampler=samplers[arguments.sampler](seed=arguments.seed),
    )  # fmt: skip
    ready = time.perf_counter()
    study.optimize(lambda trial: objective(trial, data), n_trials=arguments.trials)
    done = time.perf_counter()
    json.dump({"imports_s": ready - STARTED, "tuning_s": done - ready}, sys.stdout)


if __name__ == "__main__":
    main()
