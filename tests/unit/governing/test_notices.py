"""What the operator is told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.governing import notices
from functions.core.governing.alarms import (
    AlarmChange,
    Guardrail,
    alarm_name,
    guarded,
    parse_alarm,
)
from functions.core.governing.workers import Throttle
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
    notice = notices.intake_paused(
        "imagebatch", "flux-schnell", recent=recent, before=before, recent_s=300, ratio=Decimal("1.5")
    )
    subject, text = notices.parts(notice)
    assert subject == "imagebatch: files are no longer taken in, flux-schnell costs more"
    assert "a picture costs $0.0045 over the last 5 minutes; $0.0030 in the hour before." in text


def test_a_paused_intake_is_told_with_what_waits_for_how_long_and_what_resuming_means() -> None:
    notice = notices.intake_paused("s", "m", recent=Done(), before=Done(), recent_s=300, ratio=None)
    for said in (
        "some two minutes of work, is worked off",
        "Batches that were taken in wait, and go on when it is resumed; files that are uploaded wait as well",
        "A batch ends seven days after its upload",
        "A file that has waited for ten days is not taken in any more",
        "`imagebatch resume --intake` lets all of it go on, at the price as it is",
        "for an hour it is not paused again for the price of this lane",
        "`imagebatch pause --lane m` stops what lies in the lane's queue as well",
    ):
        assert said in notice


@pytest.mark.parametrize(("ratio", "more"), [(Decimal("1.5"), "50 % more"), (None, "more")])
@pytest.mark.parametrize(
    ("recent", "before"), [(Done(), Done(pictures=1, cost_usd=Decimal(1))), (Done(pictures=1), Done())]
)
def test_without_pictures_to_tell_it_in_dollars_the_alarms_figure_is_told(
    recent: Done, before: Done, ratio: Decimal | None, more: str
) -> None:
    notice = notices.intake_paused("s", "m", recent=recent, before=before, recent_s=90, ratio=ratio)
    assert f"a picture costs {more} than in the hour before, as its alarm says. In the last 90 seconds" in notice


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


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("1 out of the last 1 datapoints [1.5 (21/11/26 08:41:00)] was greater than the threshold (1.3)", "1.5"),
        ("2 datapoints [2.0 (21/11/26 08:41:00), 1.4 (21/11/26 08:40:00)] were greater", "2"),
        ("no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching].", None),
        ("of this test", None),
    ],
)
def test_the_newest_value_of_an_alarms_metric_is_read_from_its_reason(reason: str, value: str | None) -> None:
    change = parse_alarm(as_text({**notification("a"), "NewStateReason": f"Threshold Crossed: {reason}"}))
    assert change.value == (None if value is None else Decimal(value))


@pytest.mark.parametrize("message", ["", "no json", "[]", "null", '{"AlarmName": "a"}'])
def test_anything_else_is_no_change_of_an_alarm(message: str) -> None:
    with pytest.raises(ValueError, match="no CloudWatch alarm"):
        parse_alarm(message)
