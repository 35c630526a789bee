"""The catalog: what a model may say of itself, and what is said to whoever gets it wrong."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from functions.core.catalog import (
    CATALOG_FILE,
    INLINE_SECONDS,
    LONGEST_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    CatalogError,
    Mode,
    Model,
    OnAmbiguous,
    RetryRule,
    load_catalog,
    parse_catalog,
)
from functions.core.errors import ErrorClass

ACCOUNT = """
[accounts.one]
provider = "wavespeed"
base_url = "https://api.example/"
plan = "small"
"""
PLANS = """
[plans.wavespeed]
small = { images = 60, seconds = 60, concurrency = 4 }
quick = { images = 5, seconds = 1 }
"""
MODEL = """
[models.m]
account = "one"
provider_model = "maker/m"
price_usd = "0.003"
enabled = true
workers = 2
timeout_seconds = 60
mode = "poll"
min_side = 256
max_side = 1536
formats = ["png"]
parameters = ["width", "height"]
"""


def model(*lines: str) -> Model:
    """The model of a catalog with these lines, in place of those of the same key."""
    return parse_catalog(text(*lines)).models["m"]


def text(*lines: str) -> str:
    keys = {line.partition(" = ")[0] for line in lines}
    kept = [line for line in MODEL.splitlines() if line.partition(" = ")[0] not in keys]
    return PLANS + ACCOUNT + "\n".join([*kept, *lines])


def test_what_is_deployed_can_be_read() -> None:
    schnell = load_catalog().models["flux-schnell"]
    assert load_catalog().enabled_models[0] is schnell
    assert (schnell.mode, schnell.inline_seconds, schnell.patience_seconds) == (Mode.CALLBACK, 8, 180)
    assert schnell.on_ambiguous is OnAmbiguous.HOLD


def test_a_model_is_read_as_it_stands() -> None:
    read = model()
    assert (read.name, read.mode, read.price_usd) == ("m", Mode.POLL, Decimal("0.003"))
    assert (read.account.base_url, read.account.images_per_minute) == ("https://api.example", 60)


def test_what_is_left_out_has_its_default() -> None:
    read = model()
    assert (read.inline_seconds, read.patience_seconds) == (INLINE_SECONDS, PATIENCE_SECONDS)
    assert read.on_ambiguous is OnAmbiguous.HOLD, "nothing is paid for twice unless somebody asks for it"


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_may_be_chosen(mode: Mode) -> None:
    assert model(f'mode = "{mode}"').mode is mode


@pytest.mark.parametrize("policy", list(OnAmbiguous))
def test_every_policy_may_be_chosen(policy: OnAmbiguous) -> None:
    assert model(f'on_ambiguous = "{policy}"').on_ambiguous is policy


@pytest.mark.parametrize(("line", "said"), [("inline_seconds = 0", 0), ("inline_seconds = 60", 60)])
def test_a_worker_polls_inline_for_no_time_or_for_all_of_it(line: str, said: float) -> None:
    assert model(line).inline_seconds == said


@pytest.mark.parametrize("seconds", [1, LONGEST_PATIENCE_SECONDS])
def test_patience_lasts_as_long_as_a_message_can_be_hidden(seconds: int) -> None:
    assert model(f"patience_seconds = {seconds}").patience_seconds == seconds


WRONG = {
    'mode = "carrier pigeon"': "models.m.mode is 'carrier pigeon'; it is one of sync, poll, callback",
    "mode = 3": "models.m.mode is 3; it is one of",
    'on_ambiguous = "guess"': "models.m.on_ambiguous is 'guess'; it is one of hold, repay",
    "inline_seconds = -1": "models.m.inline_seconds is not within 0 and timeout_seconds",
    "inline_seconds = 60.5": "models.m.inline_seconds is not within 0 and timeout_seconds",
    "patience_seconds = 0": "models.m.patience_seconds is no whole number",
    f"patience_seconds = {LONGEST_PATIENCE_SECONDS + 1}": "models.m.patience_seconds is no whole number",
    "timeout_seconds = 0": "models.m.timeout_seconds is not within 1 to 120",
    "timeout_seconds = 121": "models.m.timeout_seconds is not within 1 to 120",
    "price_usd = 0.003": "models.m.price_usd is text",
    'account = "two"': "models.m.account names 'two', which is no account",
    "enabled = false": "no model is enabled",
    "retry = { bad_luck = { retries = 1 } }": "models.m.retry",
    "retry = { capacity = { times = 1 } }": "models.m.retry",
    "=": "catalog.toml",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_named(line: str) -> None:
    with pytest.raises(CatalogError) as error:
        model(line)
    assert WRONG[line] in str(error.value)


@pytest.mark.parametrize("key", [line.partition(" = ")[0] for line in MODEL.splitlines() if " = " in line])
def test_what_is_missing_is_named(key: str) -> None:
    without = "\n".join(line for line in MODEL.splitlines() if not line.startswith(f"{key} = "))
    with pytest.raises(CatalogError, match=rf"models\.m has no '{key}'"):
        parse_catalog(PLANS + ACCOUNT + without)


@pytest.mark.parametrize("limit", ["images = 60", "seconds = 60", "concurrency = 4"])
def test_a_plan_that_lets_nothing_through_is_none(limit: str) -> None:
    name = limit.partition(" = ")[0]
    with pytest.raises(CatalogError, match=rf"plans\.wavespeed\.small\.{name} is no whole number above 0"):
        parse_catalog(text().replace(limit, f"{name} = 0", 1))


def test_a_plan_of_images_a_second_is_one_of_images_a_minute_in_a_window_of_its_own() -> None:
    account = parse_catalog(text().replace('plan = "small"', 'plan = "quick"')).models["m"].account
    assert (account.images_per_minute, account.window_seconds, account.concurrency) == (300, 1, None)


def test_a_plan_that_nobody_has_is_named() -> None:
    with pytest.raises(CatalogError, match=r"plans\.wavespeed has no 'platinum'"):
        parse_catalog(text().replace('plan = "small"', 'plan = "platinum"'))


def test_an_account_without_a_plan_has_no_limits_that_anybody_knows() -> None:
    account = parse_catalog(text().replace('plan = "small"', "")).models["m"].account
    assert (account.images_per_minute, account.window_seconds, account.concurrency) == (None, 60, None)


def test_every_plan_that_providers_sell_is_there() -> None:
    plans = tomllib.loads(CATALOG_FILE.read_text())["plans"]
    assert {name: plan["images"] / plan["seconds"] for name, plan in plans["thena"].items()} == {
        "free": 1,
        "basic": 5,
        "pro": 10,
        "ultra": 15,
    }
    assert {name: (plan["images"], plan["concurrency"]) for name, plan in plans["wavespeed"].items()} == {
        "bronze": (2, 2),
        "silver": (500, 300),
        "gold": (3000, 3000),
        "ultra": (5000, 10000),
    }


@pytest.mark.parametrize("limit", ["images_per_minute", "start_per_minute"])
def test_a_model_may_have_limits_of_its_own(limit: str) -> None:
    assert getattr(model(f"{limit} = 30"), limit) == 30
    with pytest.raises(CatalogError, match=rf"models\.m\.{limit} is no whole number above 0"):
        model(f"{limit} = 0.5")


def test_a_models_own_rule_comes_before_the_default() -> None:
    read = model("retry = { capacity = { retries = 2, delay_seconds = 9 } }")
    assert read.retry_rule(ErrorClass.CAPACITY) == RetryRule(retries=2, delay_seconds=9)
    assert read.retry_rule(ErrorClass.NETWORK) == RetryRule()
    assert read.retry_rule(ErrorClass.AUTH) == RetryRule(retries=1, delay_seconds=90)


def test_what_the_code_can_buy_is_not_refused() -> None:
    catalog = parse_catalog(text('mode = "callback"'))

    catalog.check_providers(known={"wavespeed", "other"}, calling_back={"wavespeed"})


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_callbacks_that_nothing_reads_are_refused_with_the_model_and_what_to_do(enabled: str) -> None:
    """A model that is off is refused too: it is switched on by one word."""
    on = MODEL.replace("models.m]", "models.on]")
    catalog = parse_catalog(text('mode = "callback"', f"enabled = {enabled}") + on)

    with pytest.raises(CatalogError, match=r"models\.m\.mode is 'callback'.*callbacks of 'wavespeed'.*'poll'"):
        catalog.check_providers(known={"wavespeed"}, calling_back={"other"})


def test_a_provider_that_no_code_speaks_to_is_refused_with_those_there_are() -> None:
    with pytest.raises(CatalogError, match=r"accounts\.one\.provider is 'wavespeed'.*one of fal, other$"):
        parse_catalog(text()).check_providers(known={"other", "fal"}, calling_back=())


@pytest.mark.parametrize(
    ("lines", "in_use", "called_back"),
    [
        ((), ["one"], []),
        (('mode = "callback"',), ["one"], ["one"]),
        (("enabled = false",), [], []),
        (('mode = "callback"', "enabled = false"), ["one"], ["one"]),
    ],
)
def test_an_account_is_in_use_while_it_is_bought_through_or_may_be_called_back(
    lines: tuple[str, ...], in_use: list[str], called_back: list[str]
) -> None:
    """Late callbacks of a model that was switched off need its account's secrets."""
    other = (ACCOUNT + MODEL).replace(".one", ".two").replace('"one"', '"two"').replace("models.m]", "models.on]")
    catalog = parse_catalog(text(*lines) + other)

    assert {account.name for account in catalog.accounts_in_use} == {*in_use, "two"}
    assert [account.name for account in catalog.called_back_accounts] == called_back
