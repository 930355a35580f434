"""A small convolutional network over images of the declared shape; its width and dropout are searched."""

import torch


def build(hyperparameters, input_shape, classes):
    """Images (rows, channels, height, width) to logits (rows, classes)."""
    channels, height, width = input_shape
    filters = hyperparameters["filters"]
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, filters, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Dropout(hyperparameters["drop"]),
        torch.nn.Linear(filters * (height // 2) * (width // 2), classes),
    )
