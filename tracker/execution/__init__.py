"""Runs trials here or in worker processes; what it gives back does not depend on which."""
