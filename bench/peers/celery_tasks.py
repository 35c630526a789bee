"""Celery with Redis: one task for each picture, `rate_limit` if the limit is known, autoretry with backoff.

Usage: python celery_tasks.py            # sends the tasks
       celery -A celery_tasks worker --pool gevent -c N
"""

import csv
import os
import time
from pathlib import Path

import httpx
from celery import Celery  # type: ignore[import-not-found] # of the peers' environment

OUTPUT = Path(os.environ["OUTPUT"])
LIMIT = os.environ["LIMIT"]
SUBMIT = "/api/v3/wavespeed-ai/flux-schnell"
POLL_SECONDS = 0.25

app = Celery("celery_tasks", broker=os.environ["BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
client = httpx.Client(
    base_url=os.environ["URL"],
    headers={"Authorization": f"Bearer {os.environ['KEY']}"},
    limits=httpx.Limits(max_connections=None),
    timeout=60,
)


class RateLimitedError(Exception):
    """Raised when the provider answers 429."""


@app.task(  # type: ignore[untyped-decorator] # Celery has no types
    rate_limit=f"{LIMIT}/m" if LIMIT else None,
    autoretry_for=(RateLimitedError, httpx.TransportError),
    retry_backoff=True,
    retry_backoff_max=60,
    retry_jitter=True,
    max_retries=12,
)
def make(row_id: str, prompt: str) -> None:
    """Make one picture."""
    answer = client.post(SUBMIT, json={"prompt": prompt, "size": "256*256", "output_format": "jpeg"})
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise RateLimitedError
    prediction = answer.raise_for_status().json()["data"]["id"]
    while True:
        time.sleep(POLL_SECONDS)
        data = client.get(f"/api/v3/predictions/{prediction}/result").raise_for_status().json()["data"]
        if data["status"] == "completed":
            break
        if data["status"] == "failed":
            raise RuntimeError(data["error"])
    picture = client.get(data["outputs"][0]).raise_for_status().content
    (OUTPUT / f"{row_id}.jpg").write_bytes(picture)


def main() -> None:
    """Send a task for each row that has no picture yet."""
    with Path(os.environ["ROWS"]).open(newline="") as lines:
        for row in csv.DictReader(lines):
            if not (OUTPUT / f"{row['id']}.jpg").exists():
                make.delay(row["id"], row["prompt"])


if __name__ == "__main__":
    main()
