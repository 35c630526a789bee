"""What the operator is told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.lanes import governing_notices as notices
from functions.core.lanes.governing_alarms import (
    AlarmChange,
    Guardrail,
    alarm_name,
    guarded,
    parse_alarm,
)
from functions.core.lanes.governing_workers import Throttle
from functions.core.lanes.measures import Done
from tests.fakes.governed import as_text, notification

DONE = Done(attempts=412, faults=51)


def slowed(to: Throttle, model: str = "flux-schnell", workers: int = 8) -> tuple[str, str]:
    notice = notices.slowed_down(
        "imagebatch", model, done=DONE, window_s=600, workers=workers, rate=Decimal("62.500"), to=to
    )
    return notices.parts(notice)


def test_a_slowed_lane_is_told_with_its_figures_and_how_to_intervene() -> None:
    subject, text = slowed(Throttle(4, None))
    assert subject == "imagebatch: flux-schnell slowed down, 12.4 % of its calls fail"
    assert text == (
        "Lane flux-schnell: 12.4 % of 412 calls failed in the last 10 minutes, by faults of the provider's (rate "
        "limits, moderation and rows that it refuses are not counted).\n\n"
        "Done: at most 4 workers at a time, down from 8.\n\n"
        "Next: while the alarm stands, this is halved again every 10 minutes, down to one image a minute. Once it has "
        "cleared, the lane climbs back by itself within some minutes. No job is lost; calls that fail are tried "
        "again as the catalog says.\n\n"
        "To intervene: `imagebatch lanes` shows the lane, `imagebatch pause --lane flux-schnell` stops it, `imagebatch "
        "resume --lane flux-schnell` lets it go on. `imagebatch lanes set flux-schnell` sets bounds that stay."
    )


def test_a_slower_rate_is_told_as_one() -> None:
    _, text = slowed(Throttle(2, Decimal("31.25")), workers=2)
    assert "Done: at most 31.25 images a minute, down from 62.5." in text


def test_a_paused_intake_is_told_with_both_prices() -> None:
    recent, before = Done(pictures=20, cost_usd=Decimal("0.09")), Done(pictures=600, cost_usd=Decimal("1.8"))
    notice = notices.intake_paused("imagebatch", "flux-schnell", recent=recent, before=before, recent_s=300)
    subject, text = notices.parts(notice)
    assert subject == "imagebatch: files are no longer taken in, flux-schnell costs more"
    assert "a picture costs $0.0045 over the last 5 minutes; $0.0030 in the hour before." in text
    assert "`imagebatch resume --intake`" in text


def test_what_nobody_knows_is_told_as_such() -> None:
    notice = notices.intake_paused("s", "m", recent=Done(), before=Done(), recent_s=90)
    assert "costs an unknown amount over the last 90 seconds; an unknown amount in the hour before." in notice


def test_a_subject_is_what_sns_takes() -> None:
    subject, _ = slowed(Throttle(4, None), model="ünusual-" * 20)
    assert subject.isascii()
    assert len(subject) == 99


def test_an_alarm_is_known_by_its_name() -> None:
    models = ("flux", "flux-schnell")
    for model in models:
        for guardrail in Guardrail:
            assert guarded(alarm_name("imagebatch", guardrail, model), "imagebatch", models) == (guardrail, model)
    for stranger in ("imagebatch-dead-letters-flux", "imagebatch-cost-other", "other-cost-flux", ""):
        assert guarded(stranger, "imagebatch", models) is None


def test_names_of_alarms_are_a_contract_with_who_deploys_them() -> None:
    assert alarm_name("imagebatch", Guardrail.ERROR_RATE, "flux-schnell") == "imagebatch-error-rate-flux-schnell"
    assert alarm_name("imagebatch", Guardrail.COST, "flux-schnell") == "imagebatch-cost-flux-schnell"


def test_a_change_is_read_from_what_cloudwatch_publishes() -> None:
    assert parse_alarm(as_text(notification("a", at="09:00"))) == AlarmChange("a", "ALARM", "09:00")


@pytest.mark.parametrize("message", ["", "no json", "[]", "null", '{"AlarmName": "a"}'])
def test_anything_else_is_no_change_of_an_alarm(message: str) -> None:
    with pytest.raises(ValueError, match="no CloudWatch alarm"):
        parse_alarm(message)
