"""From a search space and finished generations to proposals; the only room that speaks to Optuna."""
