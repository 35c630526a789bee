"""What reads a provider's callbacks, by the name the catalog calls it: of those that call back.

Apart from the image APIs, which the worker needs without.
"""

from __future__ import annotations

from collections.abc import Mapping

from functions.core.ports import CallbackReader
from functions.providers.wavespeed_callbacks import read_callback as read_wavespeed_callback

CALLBACK_READERS: Mapping[str, CallbackReader] = {"wavespeed": read_wavespeed_callback}
