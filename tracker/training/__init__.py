"""From trial specs and arrays to outcomes: the cohort loop."""
