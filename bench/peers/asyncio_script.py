"""A plain asyncio script: a semaphore, tenacity and httpx; aiolimiter if the limit is known.

Usage: python asyncio_script.py
"""

import asyncio
import csv
import os
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import httpx
from aiolimiter import AsyncLimiter  # type: ignore[import-not-found] # of the peers' environment
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

OUTPUT = Path(os.environ["OUTPUT"])
LIMIT, LATENCY = os.environ["LIMIT"], os.environ["LATENCY"]
SUBMIT = "/api/v3/wavespeed-ai/flux-schnell"
POLL_SECONDS = 0.25
AT_A_TIME = 64
if LIMIT and LATENCY:  # Little's law, twice
    AT_A_TIME = max(8, round(2 * int(LIMIT) / 60 * (float(LATENCY) + POLL_SECONDS)))


class RateLimitedError(Exception):
    """Raised when the provider answers 429."""


@retry(
    retry=retry_if_exception_type((RateLimitedError, httpx.TransportError)),
    wait=wait_random_exponential(multiplier=1, max=60),
    stop=stop_after_attempt(12),
)
async def submit(client: httpx.AsyncClient, pace: AbstractAsyncContextManager[None], prompt: str) -> str:
    """Buy a picture; the id of its prediction."""
    async with pace:
        answer = await client.post(SUBMIT, json={"prompt": prompt, "size": "256*256", "output_format": "jpeg"})
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise RateLimitedError
    return str(answer.raise_for_status().json()["data"]["id"])


async def fetch(client: httpx.AsyncClient, prediction: str) -> bytes:
    """Wait for a picture."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        answer = await client.get(f"/api/v3/predictions/{prediction}/result")
        data = answer.raise_for_status().json()["data"]
        if data["status"] == "completed":
            return (await client.get(data["outputs"][0])).raise_for_status().content
        if data["status"] == "failed":
            raise RuntimeError(data["error"])


async def main(rows: list[dict[str, str]]) -> None:
    """Make what is not there yet. A known limit is kept by the second, so that no minute begins with a burst."""
    at_a_time = asyncio.Semaphore(AT_A_TIME)
    pace = AsyncLimiter(int(LIMIT) / 60, 1) if LIMIT else nullcontext()
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    limits = httpx.Limits(max_connections=AT_A_TIME)
    async with httpx.AsyncClient(base_url=os.environ["URL"], headers=headers, limits=limits, timeout=60) as client:

        async def make(row: dict[str, str]) -> None:
            file = OUTPUT / f"{row['id']}.jpg"
            async with at_a_time:
                if not file.exists():
                    file.write_bytes(await fetch(client, await submit(client, pace, row["prompt"])))

        await asyncio.gather(*map(make, rows), return_exceptions=True)


with Path(os.environ["ROWS"]).open(newline="") as lines:
    asyncio.run(main(list(csv.DictReader(lines))))
