"""No log of this test run shows a prompt or the key. Its name puts it last: it reads what all others left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ops.local.providers import SANDBOX_KEY
from tests.e2e.pipeline import CANARY, Pipeline

PRODUCT = "speckled stoneware mug"
"""Of the first prompt in events/products.csv."""

RECIPE = f'template = "{CANARY} of {{Title}}"\n'


def test_logs_tell_every_outcome_and_never_a_prompt_or_the_key(pipeline: Pipeline) -> None:
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

    texts = dict(logs(pipeline))

    told_of = "".join(texts.values())
    assert all(job_id in told_of for job_id in outcomes), "these are the logs of this run"
    for word in ('"operation":"submit"', '"operation":"fetch"', '"outcome":"failed"', '"batch_rejected"'):
        assert word in told_of
    for surprise in ('"message_failed"', '"attempt_broke"', '"changes_lost"', '"record_unknown"', '"unknown_message"'):
        assert surprise not in told_of, "the rule's ticks are among what was understood"
    for name, text in texts.items():
        for secret in (CANARY, PRODUCT, SANDBOX_KEY):
            assert secret not in text, f"{name} shows {secret!r}: {surroundings(text, secret)}"


def logs(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Everything that was logged: by the processes of this machine, and by the functions to CloudWatch."""
    for path in sorted((pipeline.instance.state.path / "logs").iterdir()):
        yield path.name, Path(path).read_text(errors="replace")
    client = pipeline.instance.session().client("logs")
    groups = client.get_paginator("describe_log_groups").paginate().build_full_result()["logGroups"]
    for group in (group["logGroupName"] for group in groups):
        streams = client.get_paginator("describe_log_streams").paginate(logGroupName=group).build_full_result()
        for stream in (stream["logStreamName"] for stream in streams["logStreams"]):
            events = client.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
            yield f"{group}/{stream}", "\n".join(event["message"] for event in events)


def surroundings(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 200) : at + 200]
