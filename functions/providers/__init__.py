"""The image APIs, by the name the catalog calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import httpx

from functions.core.catalog import Model
from functions.core.ports import CallbackReader, ImageApi
from functions.providers.wavespeed import WaveSpeed
from functions.providers.wavespeed_callbacks import read_callback as read_wavespeed_callback


class Provider(Protocol):
    """What makes the image API of one model."""

    def __call__(
        self,
        *,
        http: httpx.AsyncClient,
        base_url: str,
        key: str,
        model: Model,
        monotonic: Callable[[], float],
    ) -> ImageApi:
        """The image API of `model`, at `base_url`."""


PROVIDERS: Mapping[str, Provider] = {"wavespeed": WaveSpeed}

CALLBACK_READERS: Mapping[str, CallbackReader] = {"wavespeed": read_wavespeed_callback}
"""What reads the callbacks of a provider that has some."""
