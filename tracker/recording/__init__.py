"""The store (the truth) and its way to MLflow."""
