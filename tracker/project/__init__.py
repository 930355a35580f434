"""A project in any folder: how it begins, its stages, and the files that begin it."""
