"""Accounts and models: what may be bought, from whom, how fast and at what price."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from functions.core.errors import ErrorClass

CATALOG_FILE = Path(__file__).parent.parent / "catalog.toml"

LONGEST_TIMEOUT_SECONDS = 120
"""A worker's invocation has time for one call of this length, its slot and the storing of its picture."""

LONGEST_PATIENCE_SECONDS = 1800
"""A job whose call has no end after an hour is held; until then it is looked at at least once."""

INLINE_SECONDS = 8
"""Polling for so long is cheaper than a callback, where models are fast."""

PATIENCE_SECONDS = 180

WINDOW_SECONDS = 60
"""The window that an account is counted in whose plan nobody knows."""

START_PER_MINUTE = 60
"""Where a rate begins that has to find its limit by itself: ten calls in flight at a model that takes ten seconds."""

MOST_PER_MINUTE = 10_000
"""Where such a rate ends, if nothing stops it before: twice the largest plan that we know of."""


class Mode(StrEnum):
    """How a worker comes by the picture of a paid call.

    `sync`: the answer to the submit has it. `poll`: the worker asks until it is there. `callback`: the worker asks for
    some seconds and leaves; the provider's callback brings the picture, and the queue message is the alarm clock that
    asks again when none came.
    """

    SYNC = "sync"
    POLL = "poll"
    CALLBACK = "callback"


class OnAmbiguous(StrEnum):
    """What becomes of a job whose paid call may or may not have been taken, when nobody can find out.

    `hold`: it waits for a person. `repay`: it is submitted once more, at the risk of paying twice, which is counted.
    """

    HOLD = "hold"
    REPAY = "repay"


class CatalogError(Exception):
    """Raised when catalog.toml does not say what the catalog needs to know."""


@dataclass(frozen=True, slots=True)
class Account:
    """A provider account. Its limits are shared by every model bought through it.

    `plan` is empty and the limits are None where nobody knows them. The provider counts its images in windows of
    `window_seconds` of the clock.
    """

    name: str
    provider: str
    base_url: str
    plan: str
    images_per_minute: int | None
    concurrency: int | None
    window_seconds: int = WINDOW_SECONDS


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often one error class is retried, and after how long if not by backoff (seconds)."""

    retries: int = 4
    delay_seconds: float | None = None


DEFAULT_RULES = {ErrorClass.AUTH: RetryRule(retries=1, delay_seconds=90)}
"""A refused key is tried once more, when the workers have read a key that was changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model, which is also a lane: its own queue, dead-letter queue and workers.

    Of callback mode: `inline_seconds`, for how long the worker polls before it leaves, and `patience_seconds`, after
    which it asks again when no callback came.

    `images_per_minute`: a limit of its own, below its account's. `start_per_minute`: where its rate begins that finds
    its limit by itself.
    """

    name: str
    account: Account
    provider_model: str
    price_usd: Decimal
    enabled: bool
    workers: int
    timeout_seconds: float
    mode: Mode
    min_side: int
    max_side: int
    formats: tuple[str, ...]
    parameters: tuple[str, ...]
    inline_seconds: float = INLINE_SECONDS
    patience_seconds: int = PATIENCE_SECONDS
    on_ambiguous: OnAmbiguous = OnAmbiguous.HOLD
    images_per_minute: int | None = None
    start_per_minute: int | None = None
    retry: Mapping[ErrorClass, RetryRule] = field(default_factory=dict)

    def retry_rule(self, error_class: ErrorClass) -> RetryRule:
        """The rule for an error class: the model's own, else the default."""
        return self.retry.get(error_class) or DEFAULT_RULES.get(error_class, RetryRule())


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every account and model, by name."""

    accounts: Mapping[str, Account]
    models: Mapping[str, Model]

    @property
    def enabled_models(self) -> tuple[Model, ...]:
        """The models that have a lane, in the catalog's order; the first is the default."""
        return tuple(model for model in self.models.values() if model.enabled)

    @property
    def called_back_accounts(self) -> tuple[Account, ...]:
        """The accounts with a model in callback mode.

        Enabled or not: callbacks of calls that were paid for come after the model was switched off too.
        """
        return self._accounts(model for model in self.models.values() if model.mode is Mode.CALLBACK)

    @property
    def accounts_in_use(self) -> tuple[Account, ...]:
        """The accounts whose key is needed: something is bought through them, or may still be called back."""
        buying = self._accounts(self.enabled_models)
        return tuple(dict.fromkeys((*buying, *self.called_back_accounts)))

    @staticmethod
    def _accounts(models: Iterable[Model]) -> tuple[Account, ...]:
        return tuple(dict.fromkeys(model.account for model in models))

    def check_providers(self, *, known: Collection[str], calling_back: Collection[str]) -> None:
        """See that the code can buy all that is in the catalog.

        Args:
            known: the providers that there is an image API for.
            calling_back: those whose callbacks can be read.

        Raises:
            CatalogError: naming what cannot be bought, and what to do.
        """
        for account in self.accounts.values():
            if account.provider not in known:
                raise CatalogError(
                    f"catalog.toml: accounts.{account.name}.provider is '{account.provider}', which no code in "
                    f"functions/providers speaks to; it is one of {', '.join(sorted(known))}"
                )
        for model in self.models.values():
            if model.mode is Mode.CALLBACK and model.account.provider not in calling_back:
                raise CatalogError(
                    f"catalog.toml: models.{model.name}.mode is 'callback', and no code in functions/providers reads "
                    f"the callbacks of '{model.account.provider}': make it 'poll', or add what reads them"
                )


def parse_catalog(text: str) -> Catalog:
    """Read a catalog from TOML.

    Raises:
        CatalogError: naming the table and the key that is missing or wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"catalog.toml: {error}") from error
    plans = document.get("plans", {})
    accounts = {name: _account(name, table, plans) for name, table in document.get("accounts", {}).items()}
    models = {name: _model(name, table, accounts) for name, table in document.get("models", {}).items()}
    if not any(model.enabled for model in models.values()):
        raise CatalogError("catalog.toml: no model is enabled")
    return Catalog(accounts=accounts, models=models)


@cache
def load_catalog() -> Catalog:
    """The catalog that is deployed with the code."""
    return parse_catalog(CATALOG_FILE.read_text(encoding="utf-8"))


def _account(name: str, table: Mapping[str, Any], plans: Mapping[str, Any]) -> Account:
    where = f"accounts.{name}"
    provider, plan = _need(table, "provider", where), table.get("plan", "")
    limits: Mapping[str, Any] = {}
    if plan:
        limits = _need(_need(plans, provider, "plans"), plan, f"plans.{provider}")
        _need(limits, "images", f"plans.{provider}.{plan}")
        for limit in ("images", "seconds", "concurrency"):
            if not _is_whole(limits.get(limit, 1)):
                raise CatalogError(f"catalog.toml: plans.{provider}.{plan}.{limit} is no whole number above 0")
    seconds = limits.get("seconds", WINDOW_SECONDS)
    return Account(
        name=name,
        provider=provider,
        base_url=_need(table, "base_url", where).rstrip("/"),
        plan=plan,
        images_per_minute=max(1, limits["images"] * 60 // seconds) if plan else None,
        concurrency=limits.get("concurrency"),
        window_seconds=seconds,
    )


def _model(name: str, table: Mapping[str, Any], accounts: Mapping[str, Account]) -> Model:
    where = f"models.{name}"
    account = _need(table, "account", where)
    if account not in accounts:
        raise CatalogError(f"catalog.toml: {where}.account names '{account}', which is no account")
    price, timeout = _need(table, "price_usd", where), _need(table, "timeout_seconds", where)
    if not isinstance(price, str):
        raise CatalogError(f'catalog.toml: {where}.price_usd is text, such as "0.003": a price is exact')
    if not _is_number(timeout):
        raise CatalogError(f"catalog.toml: {where}.timeout_seconds is {timeout!r}; it is a number")
    if not 0 < timeout <= LONGEST_TIMEOUT_SECONDS:
        raise CatalogError(f"catalog.toml: {where}.timeout_seconds is not within 1 to {LONGEST_TIMEOUT_SECONDS}")
    inline = table.get("inline_seconds", min(INLINE_SECONDS, timeout))
    patience = table.get("patience_seconds", PATIENCE_SECONDS)
    if not _is_number(inline) or not 0 <= inline <= timeout:
        raise CatalogError(f"catalog.toml: {where}.inline_seconds is not within 0 and timeout_seconds ({timeout})")
    if not _is_number(patience) or patience != int(patience) or not 1 <= patience <= LONGEST_PATIENCE_SECONDS:
        raise CatalogError(
            f"catalog.toml: {where}.patience_seconds is no whole number within 1 to {LONGEST_PATIENCE_SECONDS}"
        )
    for limit in ("images_per_minute", "start_per_minute"):
        if limit in table and not _is_whole(table[limit]):
            raise CatalogError(f"catalog.toml: {where}.{limit} is no whole number above 0")
    try:
        retry = {ErrorClass(error_class): RetryRule(**rule) for error_class, rule in table.get("retry", {}).items()}
    except (TypeError, ValueError) as error:
        raise CatalogError(f"catalog.toml: {where}.retry: {error}") from error
    return Model(
        name=name,
        account=accounts[account],
        provider_model=_need(table, "provider_model", where),
        price_usd=Decimal(price),
        enabled=_need(table, "enabled", where),
        workers=_need(table, "workers", where),
        timeout_seconds=timeout,
        mode=_choice(Mode, _need(table, "mode", where), f"{where}.mode"),
        min_side=_need(table, "min_side", where),
        max_side=_need(table, "max_side", where),
        formats=tuple(_need(table, "formats", where)),
        parameters=tuple(_need(table, "parameters", where)),
        inline_seconds=inline,
        patience_seconds=int(patience),
        on_ambiguous=_choice(OnAmbiguous, table.get("on_ambiguous", "hold"), f"{where}.on_ambiguous"),
        images_per_minute=table.get("images_per_minute"),
        start_per_minute=table.get("start_per_minute"),
        retry=retry,
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_E = TypeVar("_E", bound=StrEnum)


def _choice(kind: type[_E], value: object, where: str) -> _E:
    try:
        return kind(str(value))
    except ValueError as error:
        raise CatalogError(f"catalog.toml: {where} is {value!r}; it is one of {', '.join(kind)}") from error


def _need(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise CatalogError(f"catalog.toml: {where} has no '{key}'")
    return table[key]
