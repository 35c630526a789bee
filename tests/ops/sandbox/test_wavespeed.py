"""The protocol as WaveSpeed's documentation has it, over real HTTP."""

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SLOW = {"min": 10.0, "mean": 10.0, "max": 10.0}


def test_submit_is_answered_with_a_task_that_has_not_run(sandbox: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    answer = sandbox.submit("a kite", seed=7)
    data = answer.json()["data"]
    assert answer.json() == {"code": 200, "message": "success", "data": data}
    assert data == {
        "id": data["id"],
        "model": "wavespeed-ai/flux-schnell",
        "outputs": [],
        "urls": {"get": f"{sandbox.http.base_url}/api/v3/predictions/{data['id']}/result"},
        "has_nsfw_contents": [],
        "status": "created",
        "created_at": data["created_at"],
        "error": "",
        "timings": {"inference": 0},
    }


def test_a_task_is_created_then_processing_then_completed(sandbox: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    task = sandbox.accepted()["id"]
    seen = []
    for _ in range(3):
        seen.append(sandbox.poll(task)["status"])
        sandbox.clock.advance(5)
    assert seen == ["created", "processing", "completed"]
    done = sandbox.poll(task)
    assert done["timings"] == {"inference": 10_000}
    assert done["has_nsfw_contents"] == [False]


def test_the_address_in_the_answer_and_the_path_without_result_both_answer(sandbox: Any) -> None:
    task = sandbox.accepted()
    assert sandbox.http.get(task["urls"]["get"]).json()["data"]["id"] == task["id"]
    assert sandbox.http.get(f"/api/v3/predictions/{task['id']}").json()["data"]["id"] == task["id"]


@pytest.mark.parametrize(("asked", "decoded"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_the_output_is_a_picture_of_the_size_and_format_asked_for(sandbox: Any, asked: str, decoded: str) -> None:
    task = sandbox.accepted(size="320*512", output_format=asked)
    (link,) = sandbox.poll(task["id"])["outputs"]
    answer = sandbox.http.get(link, headers={"Authorization": ""})
    assert answer.headers["content-type"] == f"image/{asked}"
    picture = Image.open(io.BytesIO(answer.content))
    picture.load()
    assert (picture.format, picture.size) == (decoded, (320, 512))


def test_several_images_are_several_pictures_for_one_charge(sandbox: Any) -> None:
    links = sandbox.poll(sandbox.accepted(num_images=3, size="256*256")["id"])["outputs"]
    assert len({sandbox.http.get(link).content for link in links}) == 3
    assert [charge["usd"] for charge in sandbox.charges()] == [0.003]


def test_same_prompt_and_seed_give_the_same_bytes_and_no_seed_another_picture(sandbox: Any) -> None:
    def bytes_of(**fields: Any) -> bytes:
        (link,) = sandbox.poll(sandbox.accepted(size="256*256", **fields)["id"])["outputs"]
        content: bytes = sandbox.http.get(link).content
        return content

    assert bytes_of(seed=1) == bytes_of(seed=1)
    assert len({bytes_of(seed=1), bytes_of(seed=2), bytes_of(), bytes_of(seed=-1)}) == 4


def test_an_output_is_not_there_before_the_task_is_done(sandbox: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    task = sandbox.accepted()["id"]
    assert sandbox.http.get(f"/outputs/{task}/0.jpg").status_code == 404
    sandbox.clock.advance(10)
    assert sandbox.http.get(f"/outputs/{task}/0.jpg").status_code == 200
    assert sandbox.http.get(f"/outputs/{task}/1.jpg").status_code == 404
    assert sandbox.http.get(f"/outputs/{task}/0.png").status_code == 404


def test_base64_output_is_bare(sandbox: Any) -> None:
    task = sandbox.accepted(enable_base64_output=True, size="256*256")
    (text,) = sandbox.poll(task["id"])["outputs"]
    assert Image.open(io.BytesIO(base64.b64decode(text, validate=True))).size == (256, 256)


def test_sync_mode_answers_with_the_finished_task(sandbox: Any) -> None:
    sandbox.behave(latency_seconds={"min": 0.02, "mean": 0.02, "max": 0.02})
    data = sandbox.accepted(enable_sync_mode=True)
    assert data["status"] == "completed"
    sandbox.clock.advance(0.02)
    assert sandbox.http.get(data["outputs"][0]).status_code == 200


def test_sync_mode_that_runs_out_of_patience_names_code_5004_and_the_task_goes_on(sandbox: Any) -> None:
    sandbox.behave(latency_seconds=SLOW, sync_timeout_seconds=0.01)
    data = sandbox.accepted(enable_sync_mode=True)
    assert (data["status"], data["code"], data["outputs"]) == ("processing", 5004, [])
    sandbox.clock.advance(10)
    assert sandbox.poll(data["id"])["status"] == "completed"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"size": "1024x1024"}, "size"),
        ({"size": "255*1024"}, "size"),
        ({"size": "1024*1537"}, "size"),
        ({"size": 1024}, "size"),
        ({"num_images": 0}, "num_images"),
        ({"num_images": 5}, "num_images"),
        ({"num_images": "1"}, "num_images"),
        ({"seed": "abc"}, "seed"),
        ({"seed": -2}, "seed"),
        ({"seed": True}, "seed"),
        ({"output_format": "gif"}, "output_format"),
        ({"strength": 1.5}, "strength"),
        ({"enable_sync_mode": "yes"}, "enable_sync_mode"),
        ({"enable_base64_output": 1}, "enable_base64_output"),
    ],
)
def test_a_body_out_of_range_is_refused_naming_the_field_and_costs_nothing(
    sandbox: Any, fields: dict[str, Any], named: str
) -> None:
    body = json.dumps({"prompt": "p"} | fields)
    answer = sandbox.http.post("/api/v3/wavespeed-ai/flux-schnell", content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert named in answer.json()["message"]
    assert sandbox.charges() == []
    assert sandbox.summary()["refused"] == {"invalid": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"prompt"'])
def test_a_body_that_is_no_json_object_is_refused(sandbox: Any, body: bytes) -> None:
    answer = sandbox.http.post("/api/v3/wavespeed-ai/flux-schnell", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


def test_sizes_at_the_edges_of_the_range_are_accepted(sandbox: Any) -> None:
    sandbox.accepted(size="256*1536")
    sandbox.accepted(size="1536*256")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic right", "right"])
def test_a_missing_or_wrong_key_is_401_everywhere(sandbox: Any, header: str) -> None:
    sandbox.behave(api_key="right")
    requests = [
        ("POST", "/api/v3/wavespeed-ai/flux-schnell"),
        ("POST", "/api/v3/predictions"),
        ("GET", "/api/v3/predictions/0/result"),
        ("GET", "/api/v3/balance"),
        ("POST", "/api/v3/model/pricing"),
    ]
    for method, path in requests:
        answer = sandbox.http.request(method, path, headers={"Authorization": header}, json={"prompt": "p"})
        assert (answer.status_code, answer.json()["code"]) == (401, 401), path
    assert sandbox.charges() == []


def test_the_right_key_is_accepted(sandbox: Any) -> None:
    sandbox.behave(api_key="right")
    answer = sandbox.http.get("/api/v3/balance", headers={"Authorization": "Bearer right"})
    assert answer.status_code == 200


def test_unknown_model_and_unknown_task_are_404(sandbox: Any) -> None:
    assert sandbox.http.post("/api/v3/wavespeed-ai/none", json={"prompt": "p"}).status_code == 404
    assert sandbox.http.get("/api/v3/predictions/none/result").status_code == 404
    assert sandbox.charges() == []


def test_an_idempotency_key_is_recorded_and_not_honoured(sandbox: Any) -> None:
    ids = set()
    for _ in range(2):
        answer = sandbox.http.post(
            "/api/v3/wavespeed-ai/flux-schnell", json={"prompt": "p"}, headers={"Idempotency-Key": "job-1"}
        )
        ids.add(answer.json()["data"]["id"])
    assert len(ids) == 2
    assert [charge["idempotency_key"] for charge in sandbox.charges()] == ["job-1", "job-1"]
    assert (sandbox.summary()["idempotency_keys"], sandbox.summary()["charged_again"]) == (1, 1)


def test_the_listing_is_paged_newest_first_without_inputs(sandbox: Any) -> None:
    made = []
    for number in range(5):
        made.append(sandbox.accepted(f"secret {number}")["id"])
        sandbox.clock.advance(1)
    listed: list[str] = []
    for page in (1, 2, 3):
        answer = sandbox.http.post("/api/v3/predictions", json={"page": page, "page_size": 2})
        assert answer.json()["data"]["page"] == page
        assert "secret" not in answer.text
        listed += [item["id"] for item in answer.json()["data"]["items"]]
    assert listed[:5] == made[::-1]


def test_the_listing_filters_by_time_status_and_model(sandbox: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    before = sandbox.accepted()["id"]
    sandbox.clock.advance(100)
    moment = sandbox.accepted()["created_at"]
    sandbox.clock.advance(1)
    after = sandbox.accepted()["id"]

    def listed(**query: Any) -> list[str]:
        answer = sandbox.http.post("/api/v3/predictions", json={"page": 1, "page_size": 100} | query)
        return [item["id"] for item in answer.json()["data"]["items"]]

    assert listed(created_after=moment)[0] == after
    assert before not in listed(created_after=moment)
    assert len(listed(created_after=moment, created_before=moment)) == 1
    assert after not in listed(created_before=moment)
    assert before in listed(status="completed")
    assert after not in listed(status="completed")
    assert listed(model="wavespeed-ai/flux-dev", created_after=moment) == []


@pytest.mark.parametrize("query", [{"page": 0}, {"page_size": 101}, {"created_after": "yesterday"}, {"status": 1}])
def test_a_listing_query_out_of_range_is_refused(sandbox: Any, query: dict[str, Any]) -> None:
    assert sandbox.http.post("/api/v3/predictions", json=query).status_code == 400


def test_after_seven_days_a_task_and_its_outputs_are_gone(sandbox: Any) -> None:
    task = sandbox.accepted()["id"]
    sandbox.clock.advance(7 * 24 * 3600 + 1)
    assert sandbox.http.get(f"/api/v3/predictions/{task}/result").status_code == 404
    assert sandbox.http.get(f"/outputs/{task}/0.jpg").status_code == 404
    items = sandbox.http.post("/api/v3/predictions", json={"page": 1}).json()["data"]["items"]
    assert items == []


def test_the_balance_falls_by_what_was_charged(sandbox: Any) -> None:
    def balance(path: str) -> float:
        left: float = sandbox.http.get(path).json()["data"]["balance"]
        return left

    full = balance("/api/v3/balance")
    sandbox.accepted()
    sandbox.accepted()
    assert full - balance("/api/v3/account/balance") == pytest.approx(0.006)


def test_pricing_tells_the_price_of_a_run_and_costs_nothing(sandbox: Any) -> None:
    answer = sandbox.pricing()
    assert answer.json() == {
        "code": 200,
        "message": "success",
        "data": {"model_id": "wavespeed-ai/flux-schnell", "unit_price": 0.003, "currency": "USD"},
    }
    assert (sandbox.summary()["submits"], sandbox.charges()) == (0, [])


def test_pricing_tells_the_price_of_now(sandbox: Any) -> None:
    sandbox.behave(unit_price_usd=0.0045)
    assert sandbox.pricing().json()["data"]["unit_price"] == 0.0045
    sandbox.behave()
    assert sandbox.pricing().json()["data"]["unit_price"] == 0.003


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"model_id": "wavespeed-ai/none", "inputs": {}}, "model_id names no model, got 'wavespeed-ai/none'"),
        ({"model_id": ["wavespeed-ai/flux-schnell"], "inputs": {}}, "Missing required parameter: model_id"),
        ({"inputs": {}}, "Missing required parameter: model_id"),
        ({"model_id": "wavespeed-ai/flux-schnell"}, "Missing required parameter: inputs"),
        ({"model_id": "wavespeed-ai/flux-schnell", "inputs": []}, "Missing required parameter: inputs"),
        ([], "The request body must be a JSON object."),
    ],
)
def test_a_pricing_request_that_asks_for_nothing_is_refused(sandbox: Any, body: Any, sentence: str) -> None:
    answer = sandbox.http.post("/api/v3/model/pricing", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert sentence in answer.json()["message"]
