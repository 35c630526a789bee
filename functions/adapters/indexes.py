"""What the indexes of the tables are called: the stack makes them by these names, the adapters query them.

Alone in a module that imports nothing, for the stack to read without a client of AWS.
"""

REFERENCE_INDEX = "by-reference"
"""Jobs by the reference their provider gave."""

HELD_INDEX = "by-held"
"""Jobs that are held, the longest first."""

LISTING_INDEX = "by-listing"
"""Batches, open and closed apart, the oldest first."""
