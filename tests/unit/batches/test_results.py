"""results.csv: the file as it was sent, and what became of each row."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches.results import COLUMNS, added_columns, safe_cell
from functions.core.jobs.records import State
from functions.core.keys import results_key, seed_for
from ops.results_file import shown_cell
from tests.fakes.plant import PICTURE, PRICE, Plant


def results_of(text: str) -> tuple[Plant, str, list[dict[str, str]]]:
    plant = Plant(chunk_rows=2)
    batch_id = plant.upload("a.csv", text)
    plant.heal()
    return plant, batch_id, plant.results(batch_id)


def test_lines_stand_in_the_order_of_the_file_with_its_columns_first() -> None:
    _, _, lines = results_of("Note,Prompt,SKU\nb,cat,1\na,dog,2\nc,cat,3\n")
    assert list(lines[0]) == ["Note", "Prompt", "SKU", *COLUMNS]
    assert [(line["Note"], line["Prompt"], line["row"], line["line"]) for line in lines] == [
        ("b", "cat", "1", "2"),
        ("a", "dog", "2", "3"),
        ("c", "cat", "3", "4"),
    ]


def test_a_picture_is_described_by_what_was_made() -> None:
    _, _, (line,) = results_of("prompt,sku\ncat,A 1\n")
    assert line["image"] == f"{line['job_id'][:2]}/{line['job_id']}.jpg"
    assert (line["status"], line["picture_name"], line["made_by"]) == ("success", "A 1", "flux-schnell")
    assert (line["width"], line["height"], line["sha256"]) == ("1024", "1024", PICTURE.sha256)
    assert (line["cost_usd"], line["attempts"], line["latency_ms"]) == ("0.003", "1", "1200")
    assert line["seed"] == str(seed_for(line["job_id"]))


def test_the_seed_is_the_rows_own_where_it_has_one() -> None:
    _, _, lines = results_of("prompt,seed\ncat,0\ndog,42\n")
    assert [line["result_seed"] for line in lines] == ["0", "42"]


def test_variants_have_a_line_each_and_names_that_differ() -> None:
    _, _, lines = results_of("prompt,id,variants\ncat,7,2\ndog,8,1\n")
    assert [line["picture_name"] for line in lines] == ["7-1", "7-2", "8"]
    assert len({line["job_id"] for line in lines}) == 3


def test_costs_add_up_to_the_batchs_cost_and_duplicates_name_their_row() -> None:
    plant, batch_id, lines = results_of("prompt\ncat\ndog\ncat\ncat\n")
    assert [line["duplicate_of"] for line in lines] == ["", "", "1", "1"]
    assert [line["cost_usd"] for line in lines] == ["0.003", "0.003", "0", "0"]
    assert sum(Decimal(line["cost_usd"]) for line in lines) == plant.batch(batch_id).cost_usd == 2 * PRICE


def test_a_picture_of_another_batch_names_that_batch() -> None:
    plant, batch_id, _ = results_of("prompt\ncat\n")
    again = plant.upload("b.csv", "prompt\ncat\n")
    plant.heal()
    (line,) = plant.results(again)
    assert (line["duplicate_of"], line["cost_usd"]) == (batch_id, "0")


def test_a_bad_row_has_every_problem_with_line_and_column() -> None:
    _, _, (line,) = results_of("prompt,seed,width\n,abc,-5\n")
    assert (line["status"], line["error_class"]) == ("invalid", "invalid")
    for column in ("prompt", "seed", "width"):
        assert f"line 2, column {column}:" in line["error"]
    assert (line["image"], line["job_id"], line["cost_usd"]) == ("", "", "")


def test_a_failed_row_says_why(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.run(lambda job_id: State.FAILED)
    (line,) = plant.results(batch_id)
    assert (line["status"], line["error_class"], line["error"]) == ("failed", "capacity", "as the test wanted")


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "-",
        "=",
        "-5;-3",
        "+1-1",
        "\n=1",
        " =1",
        "\u3000@x",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "'=1",
        "''-x",
    ],
)
def test_what_a_spreadsheet_would_execute_is_made_text(cell: str) -> None:
    assert safe_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-5", "+3.5", "-3,5", "-10%", "cat", "", "a=b", "1-2", "'tis", "'-5", " cat"])
def test_what_computes_nothing_stays_as_it_is(cell: str) -> None:
    assert safe_cell(cell) == cell


@given(st.text("'=+-@＝ \t\r\n1a,", max_size=6))
def test_the_cell_that_was_sent_can_be_told_from_the_safe_one(cell: str) -> None:
    assert shown_cell(safe_cell(cell)) == cell


def test_cells_headers_and_names_are_all_made_safe() -> None:
    _, _, (line,) = results_of("prompt,=note,sku\ncat,@x,=1+1\n")
    assert (line["'=note"], line["sku"], line["picture_name"]) == ("'@x", "'=1+1", "'=1+1")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9), min_size=1, max_size=4))
def test_cells_come_back_as_they_were_sent_apart_from_the_apostrophe(cells: list[str]) -> None:
    sent = io.StringIO()
    csv.writer(sent).writerows([["prompt", *(f"c{at}" for at in range(len(cells)))], ["cat", *cells]])
    _, _, (line,) = results_of(sent.getvalue())
    assert line["status"] == "success"
    assert [line[f"c{at}"] for at in range(len(cells))] == [safe_cell(cell) for cell in cells]


@pytest.mark.parametrize(
    ("columns", "status"),
    [(["Status"], "result_status"), (["STATUS", "result_status"], "result_result_status"), (["stat"], "status")],
)
def test_our_columns_step_aside_for_the_files(columns: list[str], status: str) -> None:
    assert added_columns(columns)[0] == status


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_comes_back_if_one_was_sent(mark: str) -> None:
    plant, batch_id, _ = results_of(f"{mark}prompt\nkäse\n")
    text = plant.metadata.objects[results_key(batch_id)].decode()
    assert text.startswith(f"{mark}prompt,status")
    assert "\nkäse,success" in text


def test_results_are_comma_separated_whatever_the_file_was() -> None:
    _, _, (line,) = results_of("prompt;note\ncat;a,b\n")
    assert (line["prompt"], line["note"], line["status"]) == ("cat", "a,b", "success")
