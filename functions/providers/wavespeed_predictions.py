"""How WaveSpeed shows a prediction: the same in the answer to a submit, to a poll and in a callback.

Field by field at https://wavespeed.ai/docs; none is relied on to be there or to be what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from functions.core.errors import ErrorClass, Fault
from functions.core.ports import Completed, Gone, Output, PollAnswer, Refused, Working

TASK_ERRORS: Mapping[int, ErrorClass] = {
    1200: ErrorClass.MODERATED,
    1400: ErrorClass.INVALID,
    1401: ErrorClass.INVALID,
    1402: ErrorClass.INVALID,
    1403: ErrorClass.INVALID,
    1405: ErrorClass.INVALID,
    1406: ErrorClass.CAPACITY,
    1407: ErrorClass.FUNDS,
    5000: ErrorClass.CAPACITY,
    5003: ErrorClass.CAPACITY,
}
"""Task codes of failed predictions; failures are refunded."""

STILL_WORKING = 5004
"""The code of an answer that gave up waiting for a task which goes on, whatever its status says."""

_FAILED = "failed"
_GONE = frozenset({"cancelled", "timeout", "deleted"})
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CODE_IN_TEXT = re.compile(r"\b(1[24]\d\d|50\d\d)\b")


def read_reference(data: Mapping[str, Any]) -> str:
    """The prediction's id; empty if it has none that could be one."""
    reference = data.get("id")
    return reference if isinstance(reference, str) and _REFERENCE.fullmatch(reference) else ""


def read_prediction(data: Mapping[str, Any], reference: str, status: int) -> PollAnswer:
    """What became of a prediction. `status` is HTTP's, and goes into the answer.

    A status that is not known ends nothing.
    """
    if has_failed(data):
        return Refused(_task_fault(data, status))
    said = data.get("status")
    if isinstance(said, str) and said in _GONE and data.get("code") != STILL_WORKING:
        return Gone(Fault(ErrorClass.AMBIGUOUS, f"the prediction is {said}, and may have been charged", status))
    if data.get("status") != "completed" or data.get("code") == STILL_WORKING:
        return Working()
    outputs = data.get("outputs")
    if not isinstance(outputs, list) or not outputs or not isinstance(outputs[0], str):
        why = "the prediction is completed but has no picture"
        return Refused(Fault(ErrorClass.CORRUPT, why, status, resumable=True))
    return Completed(Output(url=outputs[0]), status, reference)


def has_failed(data: Mapping[str, Any]) -> bool:
    """Whether a prediction ended without a picture and without a charge: failures are refunded, and nothing else is."""
    return data.get("status") == _FAILED and data.get("code") != STILL_WORKING


def _task_fault(data: Mapping[str, Any], status: int) -> Fault:
    """A task that failed. Its text may repeat the prompt: its code says as much."""
    known, text = data.get("code"), data.get("error")
    match = _CODE_IN_TEXT.search(text) if isinstance(text, str) else None
    code = known if isinstance(known, int) else int(match.group()) if match else 0
    flags = data.get("has_nsfw_contents")
    flagged = isinstance(flags, list) and any(flag is True for flag in flags)
    error_class = TASK_ERRORS.get(code, ErrorClass.MODERATED if flagged else ErrorClass.PROVIDER_ERROR)
    return Fault(error_class, f"the task failed with code {code}" if code else "the task failed", status)
