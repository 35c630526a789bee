"""Each conditional write without its condition, or without one part of it: some test must notice."""
