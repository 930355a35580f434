"""Writes tests/golden/training.json anew: python -m tests.training.renew_golden (and raise the numerics of mlp in FAMILIES)."""

import json

import torch

from tests.training.cases import STOPPING, arrays, spec
from tests.training.test_loop import GOLDEN
from tracker.families.family import train
from tracker.hyperparameters import FAMILIES

CASES = [
    {"units": 16, "optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05, "activation": "tanh"},
    {"units": [9, 12], "optimizer": "adamw", "dropout": 0.3, "learning_rate": 0.01, "weight_decay": 0.01},
    {"units": 33, "hidden_layers": 3, "optimizer": "rmsprop", "batch_norm": True, "activation": "gelu"},
    {"units": 7, "optimizer": "adam", "activation": "sigmoid", "weight_init": "orthogonal", "batch_size": 5},
]

if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = []
    for seed, params in enumerate(CASES):
        outcome = train(spec(seed, 5, STOPPING, **params), arrays()).outcome
        history = [{"train_loss": e["train_loss"], "val_loss": e["val_loss"]} for e in outcome.history]
        cases.append({"seed": seed, "params": params, "history": history})
    GOLDEN.write_text(json.dumps({"version": FAMILIES["mlp"].numerics, "cases": cases}, indent=1) + "\n")
