"""Derives what was recorded again: `find_*` the record, `derive*` it, `compare_*` the two, `judge_*` what came of it."""
