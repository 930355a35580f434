"""Ranks on validation, chooses, records the look, opens the test split once."""
