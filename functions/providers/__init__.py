"""The image APIs, by the name the catalog calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import httpx

from functions.core.catalog import Model
from functions.core.ports import ImageApi
from functions.providers.wavespeed import WaveSpeed


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
