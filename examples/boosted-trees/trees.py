"""Boosted trees of scikit-learn; how many, how large and how fast they learn is searched."""

from sklearn.ensemble import HistGradientBoostingClassifier


def build(hyperparameters, seed):
    """An estimator that is not fitted; all that it draws comes from the seed."""
    return HistGradientBoostingClassifier(**hyperparameters, early_stopping=False, random_state=seed)
