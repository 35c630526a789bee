"""What a function works with, put together when it is first needed and kept while the function is warm.

The composition root: one module for each function, so that none imports what only another one uses.
"""

from __future__ import annotations

from functions.adapters import aws
from functions.adapters.dynamodb import DynamoJobStore, Table


def job_store(table: str) -> DynamoJobStore:
    """The jobs table."""
    return DynamoJobStore(Table(aws.dynamodb(), table, "job_id"))
