"""No log of this test run shows a prompt or a secret. Its name puts it last: it reads what all others left."""

from __future__ import annotations

import re

from ops.local.providers import SANDBOX_KEY
from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET
from tests.e2e.logs import logs
from tests.e2e.outside import Outside, signed
from tests.e2e.pipeline import CANARY, Pipeline

PRODUCT = "speckled stoneware mug"
"""Of the first prompt in events/products.csv."""

SIGNED_KEY = re.compile(r"[0-9a-f]{64}[.][0-9]+[.][0-9]+[.][0-9a-f]")
"""The beginning of one: whoever has it may call us."""

RECIPE = f'template = "{CANARY} of {{Title}}"\n'


def test_logs_tell_every_outcome_and_never_a_prompt_or_a_secret(pipeline: Pipeline) -> None:
    pipeline.behave(faults={"moderation": 0.3, "poll_500": 0.2, "corrupt_picture": 0.3}, seed=5)
    pipeline.put_recipe("told", RECIPE)
    pipeline.put_recipe("garbled", f'template = "{CANARY} {{"\n')
    rows = "".join(f'"{CANARY} told {number}",,256,256,\n' for number in range(12))
    bad = f'{CANARY},{CANARY},256,256,\n{CANARY},,256,{CANARY},\n{CANARY},,256,256,{CANARY}\n{CANARY}\n"{CANARY}\n'
    told = pipeline.put("told.csv", f"prompt,model,width,height,seed\n{rows}{bad}")
    by_recipe = pipeline.put("told/mugs.csv", f"Title\n{CANARY}\n")
    rejected = [pipeline.put("columns.csv", f"{CANARY}\nx\n"), pipeline.put("garbled/mugs.csv", f"Title\n{CANARY}\n")]
    batches = {pipeline.ended(batch_id).state for batch_id in (told, by_recipe, *rejected)}
    assert batches == {"completed", "rejected"}
    assert pipeline.batch(told).invalid_rows == 5
    outcomes = {row["job_id"]: row["status"] for row in pipeline.results(told) if row["job_id"]}
    assert set(outcomes.values()) == {"success", "failed"}

    outside = Outside.of(pipeline)
    slip = f'{{"input":{{"prompt":"{CANARY}"}}'.encode()
    key = outside.key(next(iter(outcomes)))
    assert [outside.post(slip, headers, key=key) for headers in (signed(slip), signed(b""))] == [400, 403]
    assert SIGNED_KEY.match(key)

    texts = dict(logs(pipeline))

    told_of = "".join(texts.values())
    assert all(job_id in told_of for job_id in outcomes), "these are the logs of this run"
    words = ('"operation":"submit"', '"operation":"fetch"', '"outcome":"failed"', '"batch_rejected"', '"unreadable"')
    for word in words:
        assert word in told_of
    for surprise in ('"message_failed"', '"attempt_broke"', '"changes_lost"', '"record_unknown"', '"unknown_message"'):
        assert surprise not in told_of, "the rule's ticks are among what was understood"
    for name, text in texts.items():
        for secret in (CANARY, PRODUCT, SANDBOX_KEY, DEFAULT_WEBHOOK_SECRET.removeprefix("whsec_"), outside.secret):
            assert secret not in text, f"{name} shows {secret!r}: {surroundings(text, secret)}"
        shown = SIGNED_KEY.search(text)
        assert shown is None, f"{name} shows a signed key: {surroundings(text, shown.group())}"


def surroundings(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 200) : at + 200]
