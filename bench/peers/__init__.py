"""What people would otherwise use, written as a competent user writes it; each runs in the environment of
requirements.txt, knows nothing of imagebatch, and takes its input as environment variables:

ROWS (a CSV with the columns id and prompt), OUTPUT (a folder), URL and KEY of the provider, and what its user was told:
LIMIT in pictures a minute and LATENCY in seconds for each, both empty if nothing.
"""
