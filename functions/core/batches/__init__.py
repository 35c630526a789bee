"""A file's way from the inbox to its results: scanned, cut, rung, counted, closed."""
