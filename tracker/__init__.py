"""Experiment tracking for hyperparameter tuning in which every number can be derived again, and is checked."""
