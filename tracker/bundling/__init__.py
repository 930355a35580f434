"""One file with all that a result rests on, which is checked where there is nothing but this package."""
