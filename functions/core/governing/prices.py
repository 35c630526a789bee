"""What the providers ask for a picture now: asked for, and passed on to the workers as far as it can be believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Context, Decimal

from functions.core.catalog import Model
from functions.core.governing.ports import LaneTable
from functions.core.lanes import control as changes
from functions.core.lanes.records import account_record, lane_record
from functions.core.ports import Clock, EventLog, ImageApi, PollError
from functions.core.writes import StaleWriteError

QUOTE_SECONDS = 10.0
"""For so long a provider may think about its price."""

BELIEVED_TIMES = 100
"""So many times the catalog's price, or so small a part of it, is believed: what is further off is a mistake."""

KEPT_SECONDS = 24 * 3600
"""For so long a price counts that the provider does not say again; then the catalog's does."""

_DIGITS = Context(prec=12)
"""Of a price; DynamoDB has 38."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Asks the providers, and keeps what they say on the lanes table."""

    api: Callable[[Model], ImageApi]
    table: LaneTable
    clock: Clock
    log: EventLog

    async def ask(self, model: Model, *, known: Decimal | None, quoted_at: int) -> None:
        """Ask what a picture costs now, and let the workers know.

        known: the price that they go by, None for the catalog's. quoted_at: when the provider last said one.
        """
        price_usd = await self._quote(model)
        now_ms = self.clock.now_ms()
        if price_usd is not None:
            self._pass_on(model, price_usd, known)
            with suppress(StaleWriteError):  # somebody has asked later
                self.table.write(lane_record(model.name), changes.quoted(now_ms))
        elif known is not None and quoted_at <= now_ms - KEPT_SECONDS * 1000:
            self._pass_on(model, None, known)

    async def _quote(self, model: Model) -> Decimal | None:
        """What the provider says; None if it does not, or nothing that can be believed."""
        try:
            async with asyncio.timeout(QUOTE_SECONDS):
                price_usd = await self.api(model).quote()
        except (PollError, TimeoutError) as error:
            self.log("price_unknown", model=model.name, error=type(error).__name__)
            return None
        if not model.price_usd / BELIEVED_TIMES <= price_usd <= model.price_usd * BELIEVED_TIMES:
            self.log("price_unbelievable", model=model.name, price_usd=f"{price_usd:.6g}")
            return None
        return _DIGITS.plus(price_usd)

    def _pass_on(self, model: Model, price_usd: Decimal | None, known: Decimal | None) -> None:
        if price_usd == known:
            return
        with suppress(StaleWriteError):  # somebody has passed on another one
            self.table.write(account_record(model.account.name), changes.quote(model.name, price_usd, seen=known))
            self.log(
                "price",
                model=model.name,
                price_usd=float(model.price_usd if price_usd is None else price_usd),
                said_by="catalog" if price_usd is None else "provider",
            )
