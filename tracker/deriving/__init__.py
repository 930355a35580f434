"""Derives what was recorded again, compares it bit for bit, and names what may explain a difference."""
