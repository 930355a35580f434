"""The DVC stages: each reads the world and calls one function of tracker."""
