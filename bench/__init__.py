"""Benchmarks. Each is a program of its own, prints a table and writes ``bench/results/<name>.json``."""
