"""Our signed key: nobody else can make one, and none is good for another call or for ever."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functions.core.jobs.callback_key import (
    LIFE_SECONDS,
    SHORTEST_SECRET,
    CallbackKey,
    KeyRefusedError,
    callback_url,
    read_key,
)

SECRET = "a-secret-of-at-least-32-characters!"
JOB = "ab" * 32
KEY = CallbackKey(JOB, attempt=3, expires=1_790_604_800)
MAC = "e1bc4c2b55a723076ab803dd68a80599d9eaddf298e8f8661e81489c10a07952"
"""As openssl makes it: printf 'wavespeed\\nabab…\\n3\\n1790604800' | openssl dgst -sha256 -hmac "$SECRET"."""

TEXT = f"{JOB}.3.1790604800.{MAC}"
IN_TIME_MS = 1_790_000_000_000


def read(text: str, *, secret: str = SECRET, provider: str = "wavespeed", now_ms: int = IN_TIME_MS) -> CallbackKey:
    return read_key(text, secret=secret, provider=provider, now_ms=now_ms)


def refused(text: str, *, secret: str = SECRET, provider: str = "wavespeed", now_ms: int = IN_TIME_MS) -> str:
    with pytest.raises(KeyRefusedError) as error:
        read(text, secret=secret, provider=provider, now_ms=now_ms)
    return error.value.reason


def test_the_key_is_job_attempt_expiry_and_their_mac() -> None:
    assert KEY.signed(SECRET, "wavespeed") == TEXT
    assert read(TEXT) == KEY


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(1, 999_999_999),
    st.integers(IN_TIME_MS // 1000, 99_999_999_999),
    st.text(min_size=SHORTEST_SECRET),
    st.sampled_from(["wavespeed", "fal"]),
)
def test_what_we_signed_we_read(job: bytes, attempt: int, expires: int, secret: str, provider: str) -> None:
    key = CallbackKey(job.hex(), attempt, expires)
    assert read(key.signed(secret, provider), secret=secret, provider=provider) == key


@given(st.integers(0, len(TEXT) - 1), st.characters())
def test_a_key_of_which_one_character_differs_is_forged(at: int, character: str) -> None:
    assume(TEXT[at] != character)
    assert refused(TEXT[:at] + character + TEXT[at + 1 :]) == "forged"


@given(st.integers(0, len(TEXT)), st.text(min_size=1, max_size=5))
def test_a_key_with_more_in_it_is_forged(at: int, more: str) -> None:
    assert refused(TEXT[:at] + more + TEXT[at:]) == "forged"


@given(st.integers(0, len(TEXT) - 1))
def test_a_key_that_was_cut_is_forged(at: int) -> None:
    assert refused(TEXT[:at]) == "forged"


@given(st.text())
def test_any_other_text_is_forged(text: str) -> None:
    assert refused(text) == "forged"


@pytest.mark.parametrize(
    "other",
    [
        CallbackKey("cd" * 32, KEY.attempt, KEY.expires),
        CallbackKey(KEY.job_id, 4, KEY.expires),
        CallbackKey(KEY.job_id, KEY.attempt, KEY.expires + 1),
    ],
)
def test_the_mac_of_one_call_is_not_that_of_another(other: CallbackKey) -> None:
    assert refused(f"{other.job_id}.{other.attempt}.{other.expires}.{MAC}") == "forged"


@pytest.mark.parametrize(
    "other_form",
    [
        TEXT.upper(),
        TEXT.replace(".3.", ".03."),
        TEXT.replace(".3.", ".+3."),
        TEXT.replace(".3.", ".٣."),  # a digit, but not an ASCII one
        TEXT + "\n",
        " " + TEXT,
        TEXT + "." + MAC,
    ],
)
def test_a_key_has_one_form(other_form: str) -> None:
    assert refused(other_form) == "forged"


def test_a_key_for_one_provider_is_forged_at_another() -> None:
    assert refused(TEXT, provider="fal") == "forged"


def test_a_key_by_another_secret_is_forged() -> None:
    assert refused(TEXT, secret=SECRET + "!") == "forged"


def test_a_key_is_good_up_to_its_last_second() -> None:
    assert read(TEXT, now_ms=KEY.expires * 1000 + 999) == KEY
    assert refused(TEXT, now_ms=(KEY.expires + 1) * 1000) == "expired"


def test_of_a_forged_key_nobody_is_told_that_its_time_is_over() -> None:
    assert refused(TEXT, provider="fal", now_ms=(KEY.expires + 1) * 1000) == "forged"


@pytest.mark.parametrize("secret", ["", "unset", "x" * (SHORTEST_SECRET - 1)])
def test_a_secret_that_nobody_has_set_signs_nothing(secret: str) -> None:
    assert callback_url("https://api.example", "wavespeed", JOB, 3, secret=secret, now_ms=0) == ""
    assert refused(KEY.signed(secret, "wavespeed"), secret=secret) == "forged"


def test_the_url_leads_to_the_providers_callbacks_and_lasts_as_long_as_a_picture_is_kept() -> None:
    now_ms = (KEY.expires - LIFE_SECONDS) * 1000 + 999
    url = callback_url("https://api.example", "wavespeed", JOB, 3, secret=SECRET, now_ms=now_ms)
    assert url == f"https://api.example/callbacks/wavespeed?key={TEXT}"


def test_without_an_api_there_is_no_url() -> None:
    assert callback_url("", "wavespeed", JOB, 3, secret=SECRET, now_ms=0) == ""
