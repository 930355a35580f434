"""What a person reads of a project: one page with pictures, from the reports on disk; it computes no score of its own."""
