"""WaveSpeed's view of a prediction: what the poll, the listing and the webhook tell of it."""

from datetime import UTC, datetime
from typing import Any

from ops.sandbox.outputs import Outputs
from ops.sandbox.predictions import Prediction

#: Task faults as they appear in a failed prediction: code and message.
_TASK_ERRORS = {
    "task_failed": (1403, "Task execution failed. Please adjust the input and try again."),
    "moderation": (
        1200,
        "The content was flagged as potentially sensitive. Please modify the input and retry.",
    ),
}


def summary(prediction: Prediction, base_url: str, now: float) -> dict[str, Any]:
    """The prediction as the poll shows it at that time, its outputs as links below ``base_url``."""
    order, status = prediction.order, prediction.status(now)
    done = status in ("completed", "failed")
    links = [base_url + path for path in Outputs.paths(prediction)] if status == "completed" else []
    data: dict[str, Any] = {
        "id": prediction.id,
        "model": order.model,
        "outputs": links,
        "urls": {"get": f"{base_url}api/v3/predictions/{prediction.id}/result"},
        "has_nsfw_contents": [False] * order.images if status == "completed" else [],
        "status": status,
        "created_at": _iso(prediction.accepted_at),
        "error": "",
        "timings": {"inference": round((prediction.ready_at - prediction.accepted_at) * 1000) if done else 0},
    }
    if status == "failed" and prediction.task_fault:
        data |= failure(prediction.task_fault)
        data["has_nsfw_contents"] = [True] * order.images if prediction.task_fault == "moderation" else []
    return data


def failure(task_fault: str) -> dict[str, Any]:
    """How a failed prediction says why it failed."""
    code, error = _TASK_ERRORS[task_fault]
    return {"code": code, "error": error}


def item(prediction: Prediction, base_url: str, now: float) -> dict[str, Any]:
    """The prediction as the listing shows it."""
    data = summary(prediction, base_url, now)
    return data | {"executionTime": data["timings"]["inference"]}


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
