"""A provider that misbehaves as real ones do: every row gets its picture, and nothing is paid for twice."""

from __future__ import annotations

from collections import Counter

from functions.core.batches.records import BatchState
from tests.e2e.pipeline import CANARY, PRICE, Pipeline, file_of

ROWS = 120


def test_faults_of_a_provider_cost_no_row_and_no_money(pipeline: Pipeline) -> None:
    """Takes as long as the retry of a 429, which waits for the provider's next minute."""
    faults = {"submit_429": 0.05, "poll_500": 0.05, "corrupt_picture": 0.05, "submit_500_before": 0.03}
    pipeline.behave(faults=faults, seed=2)
    prompts = [f"{CANARY} in bad weather {number}" for number in range(ROWS)]

    batch_id = pipeline.put("weather.csv", file_of(prompts))
    batch = pipeline.ended(batch_id)

    met = pipeline.sandbox.ledger()["summary"]["injected"]
    assert met.keys() == faults.keys(), "each fault was met, so each was got over"
    assert (batch.state, batch.succeeded, batch.failed, batch.held) == (BatchState.COMPLETED, ROWS, 0, 0)
    rows = pipeline.results(batch_id)
    assert [row["prompt"] for row in rows] == prompts
    for row in rows:
        pipeline.check_picture(row, (256, 256))
    assert pipeline.charges() == Counter(row["job_id"] for row in rows)
    assert batch.cost_usd == ROWS * PRICE == pipeline.net_usd()


def test_what_the_provider_moderates_fails_alone_with_its_reason_and_a_dead_letter(pipeline: Pipeline) -> None:
    pipeline.dead_letters()
    pipeline.behave(faults={"moderation": 0.3}, seed=1)
    batch_id = pipeline.put("moderated.csv", file_of([f"{CANARY} daring {number}" for number in range(20)]))

    batch = pipeline.ended(batch_id)

    rows = pipeline.results(batch_id)
    failed = [row for row in rows if row["status"] == "failed"]
    assert (batch.state, batch.failed, batch.succeeded) == (BatchState.COMPLETED, len(failed), 20 - len(failed))
    assert failed
    assert {(row["error_class"], row["image"], row["cost_usd"]) for row in failed} == {("moderated", "", "0")}
    assert {row["error"] for row in failed} == {"the task failed with code 1200"}
    letters = pipeline.dead_letters()
    assert {letter["job_id"] for letter in letters} == {row["job_id"] for row in failed}
    assert {(letter["error_class"], letter["batch_id"]) for letter in letters} == {("moderated", batch_id)}
    assert batch.cost_usd == batch.succeeded * PRICE == pipeline.net_usd()


def test_rows_that_failed_for_want_of_money_are_made_when_the_file_is_sent_again(pipeline: Pipeline) -> None:
    file = file_of([f"{CANARY} broke {number}" for number in range(4)])
    pipeline.behave(out_of_funds=True)
    batch_id = pipeline.put("broke.csv", file)
    first = pipeline.ended(batch_id)
    assert (first.failed, str(first.cost_usd)) == (4, "0")
    assert {row["error_class"] for row in pipeline.results(batch_id)} == {"funds"}
    pipeline.dead_letters()

    pipeline.behave()
    again = pipeline.ended(pipeline.put("broke.csv", file))

    assert (again.succeeded, again.failed, again.cost_usd) == (4, 0, 4 * PRICE)
    assert {row["status"] for row in pipeline.results(batch_id)} == {"failed"}, "a closed batch's results do not change"
    assert pipeline.batch(batch_id) == first
