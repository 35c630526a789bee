"""A loop over chunks of 25 rows with a checkpoint after each, and threads within a chunk.

Usage: python chunk_loop.py
"""

import csv
import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

OUTPUT = Path(os.environ["OUTPUT"])
CHECKPOINT = OUTPUT / "checkpoint.json"
LIMIT = os.environ["LIMIT"]
SUBMIT = "/api/v3/wavespeed-ai/flux-schnell"
CHUNK = 25
POLL_SECONDS = 0.25
TRIES = 12
LONGEST_WAIT_SECONDS = 60

client = httpx.Client(
    base_url=os.environ["URL"],
    headers={"Authorization": f"Bearer {os.environ['KEY']}"},
    limits=httpx.Limits(max_connections=CHUNK),
    timeout=60,
)


def submit(prompt: str) -> str:
    """Buy a picture; the id of its prediction. It waits longer after each 429."""
    for number in range(TRIES):
        answer = client.post(SUBMIT, json={"prompt": prompt, "size": "256*256", "output_format": "jpeg"})
        if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
            break
        wait = float(answer.headers.get("retry-after", min(LONGEST_WAIT_SECONDS, 2**number)))
        time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter
    return str(answer.raise_for_status().json()["data"]["id"])


def fetch(prediction: str) -> bytes:
    """Wait for a picture."""
    while True:
        time.sleep(POLL_SECONDS)
        data = client.get(f"/api/v3/predictions/{prediction}/result").raise_for_status().json()["data"]
        if data["status"] == "completed":
            return client.get(data["outputs"][0]).raise_for_status().content
        if data["status"] == "failed":
            raise RuntimeError(data["error"])


def make(row: dict[str, str]) -> str | None:
    """Make one picture; the row's id, or None if it could not be made."""
    try:
        (OUTPUT / f"{row['id']}.jpg").write_bytes(fetch(submit(row["prompt"])))
    except (httpx.HTTPError, RuntimeError):
        return None
    return row["id"]


def main() -> None:
    """Make what the checkpoint does not name. A known limit gives each chunk the time that it takes up of a minute."""
    with Path(os.environ["ROWS"]).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    done = set(json.loads(CHECKPOINT.read_text())) if CHECKPOINT.exists() else set()
    todo = [row for row in rows if row["id"] not in done]
    seconds = CHUNK * 60 / int(LIMIT) if LIMIT else 0.0
    due = time.monotonic()
    with ThreadPoolExecutor(CHUNK) as pool:
        for at in range(0, len(todo), CHUNK):
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + seconds
            done.update(made for made in pool.map(make, todo[at : at + CHUNK]) if made)
            CHECKPOINT.write_text(json.dumps(sorted(done)))


main()
