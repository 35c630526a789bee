"""Catalogs of the tests, put together from accounts and models."""

from __future__ import annotations

import json


def account(name: str, *, provider: str = "wavespeed", images_per_minute: int = 500, concurrency: int = 300) -> str:
    """An account with a plan of its own, as catalog.toml has them."""
    return f"""
[accounts.{name}]
provider = "{provider}"
base_url = "https://api.example"
plan = "{name}"

[plans.{provider}.{name}]
images = {images_per_minute}
seconds = 60
concurrency = {concurrency}
"""


def model(name: str, *, account: str, mode: str = "poll", enabled: bool = True, workers: int = 2) -> str:
    """A model, as catalog.toml has it."""
    return f"""
[models.{name}]
account = "{account}"
provider_model = "vendor/{name}"
price_usd = "0.003"
enabled = {json.dumps(enabled)}
workers = {workers}
timeout_seconds = 60
mode = "{mode}"
min_side = 256
max_side = 1536
formats = ["jpeg"]
parameters = ["width", "height"]
"""
