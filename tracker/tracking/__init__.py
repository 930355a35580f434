"""Everything that knows MLflow or its queue."""
