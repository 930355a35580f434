"""One family of networks per file."""
