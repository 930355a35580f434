"""What surrounds a computation: the environment that changes numbers, and what is recorded beside it."""
