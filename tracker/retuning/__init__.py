"""When data changed: what changed, whether it may be used, and which model is served afterwards."""
