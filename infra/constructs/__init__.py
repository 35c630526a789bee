"""Constructs by logical unit: what is deployed, changed and understood together."""
