"""From a raw table to arrays for training, and a sealed test split."""
