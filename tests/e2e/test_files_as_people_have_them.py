"""Real files: tab-separated prompts with stray quotes, Excel's semicolons, a shop's export through a recipe."""

from __future__ import annotations

from functions.core.batches.records import BatchState
from tests.e2e.pipeline import CANARY, Pipeline, table

# Cells as PartiPrompts has them: a row that begins with a quote, an apostrophe, quotes inside, no quoting at all.
PROMPTS = f"""\
Prompt\tCategory\tChallenge\tNote
{CANARY} bond\tAbstract\tBasic\tBiology-inspired concepts with multiple meanings
"G I G G L E" painted on a brick wall, {CANARY}\tIllustrations\tWriting & Symbols\t
a painter's easel, {CANARY}, that says "Very Deep\tArtifacts\tWriting & Symbols\t6" tall
a 5" tall {CANARY} statue\tArtifacts\tQuantity\tinch marks
{CANARY} bond\tAbstract\tBasic\tthe first one again
"""

SEMICOLONS = (
    "\N{ZERO WIDTH NO-BREAK SPACE}ID;Prompt;Width;Height;Preis\r\n"
    f'17;"{CANARY}; mit Gämse und ""Almdudler""";512;256;3,50\r\n'
    f"18;{CANARY} auf der Alm;256;256;=1+1\r\n"
)

EXPORT = f"""\
Handle,Title,Body (HTML),Option1 Value,Variant SKU,Variant Price
ocean-shirt,Ocean {CANARY} Shirt,"<p>Blue, with a ""narrow"" collar.</p>
<ul><li>Cotton</li></ul>",Small,OS-1,50
ocean-shirt,,,Medium,OS-2,50
ocean-shirt,,,Large,OS-3,50
clay-pot,Clay {CANARY} Pot,<p>Terracotta</p>,,CP-1,12
"""

RECIPE = """\
template = "product photo of {Title}, studio light"
picture_name = "{Handle}"

[defaults]
width = 256
height = 256
"""


def test_tab_separated_prompts_with_stray_quotes_are_read_cell_by_cell(pipeline: Pipeline) -> None:
    sent = [line.split("\t") for line in PROMPTS.splitlines()]

    batch_id = pipeline.put("parti.tsv", PROMPTS)
    batch = pipeline.ended(batch_id)

    assert (batch.state, batch.rows, batch.invalid_rows, batch.jobs) == (BatchState.COMPLETED, 5, 0, 4)
    rows = pipeline.results(batch_id)
    assert [[row[name] for name in sent[0]] for row in rows] == sent[1:]
    assert rows[4]["duplicate_of"] == "1"
    for row in rows:
        pipeline.check_picture(row, (1024, 1024))


def test_semicolons_and_a_byte_order_mark_are_what_excel_makes_of_a_csv(pipeline: Pipeline) -> None:
    batch_id = pipeline.put("aus-excel.csv", SEMICOLONS)
    batch = pipeline.ended(batch_id)

    assert (batch.state, batch.rows, batch.invalid_rows) == (BatchState.COMPLETED, 2, 0)
    assert pipeline.results_text(batch_id).startswith(
        "\N{ZERO WIDTH NO-BREAK SPACE}ID,Prompt,Width,Height,Preis,status,"
    )
    first, second = pipeline.results(batch_id)
    assert (first["Prompt"], first["Preis"]) == (f'{CANARY}; mit Gämse und "Almdudler"', "3,50")
    assert second["Preis"] == "'=1+1", "a spreadsheet would execute this cell"
    assert (first["picture_name"], second["picture_name"]) == ("17", "18")
    pipeline.check_picture(first, (512, 256))
    pipeline.check_picture(second, (256, 256))


def test_variant_rows_of_a_shop_export_without_a_title_are_reported_not_guessed(pipeline: Pipeline) -> None:
    pipeline.put_recipe("shop", RECIPE)

    batch_id = pipeline.put("shop/export.csv", EXPORT)
    batch = pipeline.ended(batch_id)

    assert (batch.recipe, batch.rows, batch.invalid_rows, batch.succeeded) == ("shop", 4, 2, 2)
    shirt, medium, large, pot = pipeline.results(batch_id)
    assert [row["Variant SKU"] for row in (shirt, medium, large, pot)] == ["OS-1", "OS-2", "OS-3", "CP-1"]
    assert shirt["Body (HTML)"] == table(EXPORT)[0]["Body (HTML)"]
    assert (shirt["picture_name"], pot["picture_name"]) == ("ocean-shirt", "clay-pot")
    for row in (shirt, pot):
        pipeline.check_picture(row, (256, 256))
    for row, line in ((medium, 4), (large, 5)):
        assert (row["status"], row["image"], row["cost_usd"]) == ("invalid", "", "")
        assert row["error"].startswith(f"line {line}, column Title: 'Title' is empty and the template needs it")
    assert [(one["line"], one["column"]) for one in pipeline.status(batch)["problems"]] == [(4, "Title"), (5, "Title")]
    assert pipeline.charges().keys() == {shirt["job_id"], pot["job_id"]}


def test_a_template_and_a_prompt_column_that_mean_the_same_are_one_picture(pipeline: Pipeline) -> None:
    pipeline.put_recipe("shop", RECIPE)
    direct = f'prompt,width,height\n"product photo of Ocean {CANARY}  Hat, studio light",256,256\n'
    first = pipeline.ended(pipeline.put("hat.csv", direct))

    batch_id = pipeline.put("shop/hat.csv", f"Handle,Title\nhat,Ocean {CANARY} Hat\n")

    assert pipeline.ended(batch_id).cost_usd == 0
    assert pipeline.results(batch_id)[0]["duplicate_of"] == first.batch_id
    assert pipeline.charges().total() == 1
