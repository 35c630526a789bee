"""ministack 1.5.33 with its gaps closed, so that streams, metrics and alarms behave here as they do in AWS.

Run by ministack's own interpreter, never imported: nothing but ministack and the standard library is there. Each gap is
named with what AWS does. Without those of streams a batch's progress on this machine would lag until the recount
corrects it; those of CloudWatch, without which no guardrail would work, are in a file of their own.
"""

import sys
from typing import Any

import embedded_cloudwatch  # type: ignore[import-not-found]  # beside this file
from ministack.app import main  # type: ignore[import-not-found]  # lives in an environment of its own
from ministack.services import dynamodb, lambda_svc  # type: ignore[import-not-found]

_insert = dynamodb._partiql_insert
_restore_positions = lambda_svc._restore_esm_positions


def _insert_with_stream_record(table: Any, parsed: Any) -> Any:
    """AWS writes a stream record for an item that PartiQL inserts; ministack does so for the other writes alone."""
    answer = _insert(table, parsed)
    if answer[0] == 200:
        item = parsed["item"]
        dynamodb._emit_stream_event(parsed["table"], "INSERT", None, item["M"] if set(item) == {"M"} else item)
    return answer


def _restore_no_stream_positions(store: Any, positions: Any) -> None:
    """A restart forgets a table's stream records but not how many of them a mapping had read, and so skips as many."""
    if store is not lambda_svc._dynamodb_stream_positions:
        _restore_positions(store, positions)


if __name__ == "__main__":
    dynamodb._partiql_insert = _insert_with_stream_record
    lambda_svc._restore_esm_positions = _restore_no_stream_positions
    embedded_cloudwatch.install()
    sys.exit(main())
