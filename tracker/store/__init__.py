"""The truth: what studies proposed and what came of it, in one folder that only grows."""
