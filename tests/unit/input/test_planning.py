"""From rows to pictures, or to everything that is wrong with a row."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from functions.core.catalog import Catalog, Model, load_catalog
from functions.core.input.errors import Problem, UnusableFileError
from functions.core.input.identity import job_id
from functions.core.input.planning import PlannedRow, RowPlanner
from functions.core.input.recipe import Recipe, parse_recipe
from functions.core.input.rows import read_records
from functions.core.input.table import read_table

EVENTS = Path(__file__).parents[3] / "events"
SCHNELL = load_catalog().models["flux-schnell"]


def model(name: str, **changes: Any) -> Model:
    return replace(SCHNELL, name=name, **changes)


STUDIO = model(
    "studio",
    formats=("png", "webp"),
    min_side=512,
    max_side=2048,
    parameters=(*SCHNELL.parameters, "negative_prompt", "steps", "guidance", "params.loraScale"),
)
CATALOG = Catalog(
    accounts={SCHNELL.account.name: SCHNELL.account},
    models={each.name: each for each in (SCHNELL, STUDIO, model("retired", enabled=False))},
)


def plan(text: str | bytes, recipe: str | None = None, filename: str = "a.csv") -> list[PlannedRow]:
    data = text if isinstance(text, bytes) else text.encode()
    table = read_table(data, filename)
    planner = RowPlanner(table.header, parse_recipe("shop", recipe) if recipe else Recipe(), CATALOG)
    return [planner.plan(record) for record in read_records([data[table.start.offset :]], table, table.start)]


def faults(text: str, recipe: str | None = None) -> list[tuple[str, str]]:
    """Column and message of what is wrong with the only row, which then has no jobs."""
    (row,) = plan(text, recipe)
    assert row.jobs == ()
    assert {problem.line for problem in row.problems} == {2}
    return [(problem.column, problem.message) for problem in row.problems]


def reasons(text: str, recipe: str | None = None) -> tuple[str, ...]:
    with pytest.raises(UnusableFileError) as refusal:
        plan(text, recipe)
    return refusal.value.reasons


# Good rows.


def test_a_prompt_alone_is_a_picture_by_the_first_enabled_model() -> None:
    (row,) = plan("Prompt\n  a red\tkite \n")
    (job,) = row.jobs
    assert (job.model, job.prompt, job.width, job.height, job.format) == (
        "flux-schnell",
        "a red kite",
        1024,
        1024,
        "jpeg",
    )
    assert (row.row, row.line, row.picture_name, row.problems) == (1, 2, "", ())


def test_every_column_reaches_the_picture() -> None:
    (row,) = plan(
        "PROMPT,Negative Prompt,Model,Width,HEIGHT,seed,Steps,Guidance,Format,Variant,Edition,Params.LORAscale\n"
        'a kite,people,Studio,768.0,512,42,4,"3,50",PNG,2,spring,0.8\n'
    )
    (job,) = row.jobs
    assert (job.negative_prompt, job.model, job.width, job.height) == ("people", "studio", 768, 512)
    assert (job.seed, job.steps, job.guidance, job.format) == (42, 4, Decimal("3.5"), "png")
    assert (job.variant, job.edition, job.params) == (2, "spring", {"loraScale": "0.8"})


def test_unknown_columns_are_carried_through_untouched() -> None:
    (row,) = plan('prompt,Our Note\na kite,"  =1+1 "\n')
    assert row.cells == ("a kite", "  =1+1 ")


def test_rows_that_mean_the_same_picture_share_an_id() -> None:
    rows = plan("prompt,width,seed,format,sku\na kite,1024,,,1\n a  kite ,1024.0,,jpg,2\na kite,,0,,3\n")
    ids = [job_id(row.jobs[0]) for row in rows]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_variants_of_a_row_are_different_pictures() -> None:
    (row,) = plan("prompt,variants\na kite,3\n")
    assert [(job.variant, job.seed) for job in row.jobs] == [(0, None), (1, None), (2, None)]
    assert len({job_id(job) for job in row.jobs}) == 3


def test_variants_of_a_seeded_row_have_consecutive_seeds() -> None:
    (row,) = plan("prompt,variants,seed\na kite,3,7\n")
    assert [(job.variant, job.seed) for job in row.jobs] == [(0, 7), (1, 8), (2, 9)]


def test_without_a_format_a_model_that_makes_no_jpeg_makes_its_first() -> None:
    (row,) = plan("prompt,model\na kite,studio\n")
    assert row.jobs[0].format == "png"


@pytest.mark.parametrize(
    ("header", "cells", "name"),
    [("prompt,SKU,id", "a,s-1,7", "s-1"), ("prompt,SKU,Id", "a,,7", "7"), ("prompt,name", "a,b", "")],
)
def test_pictures_are_named_after_sku_or_id(header: str, cells: str, name: str) -> None:
    assert plan(f"{header}\n{cells}\n")[0].picture_name == name


def test_a_picture_name_is_no_longer_than_a_file_name_may_be() -> None:
    (row,) = plan(f"prompt,sku\na kite,{'x' * 30_000}\n")
    assert len(row.picture_name) == 200


# Recipes.


def test_the_template_makes_the_prompt_and_names_the_pictures() -> None:
    rows = plan(
        "Handle,Title,Size\noak,Oak  Chair,S\noak,,M\n",
        'template = "photo of {title}"\npicture_name = "{Handle}-{size}"',
    )
    assert rows[0].jobs[0].prompt == "photo of Oak Chair"
    assert [row.picture_name for row in rows] == ["oak-S", "oak-M"]
    assert rows[1].jobs == ()
    assert [(problem.line, problem.column) for problem in rows[1].problems] == [(3, "Title")]
    assert "fill it in or remove the row" in rows[1].problems[0].message


def test_a_rows_cell_beats_the_recipe_and_an_empty_cell_does_not() -> None:
    rows = plan("prompt,width,format\na,512,\nb,,webp\n", '[defaults]\nwidth = 768\nformat = "png"\nvariants = 2')
    assert [(job.width, job.format) for row in rows for job in row.jobs] == [
        (512, "png"),
        (512, "png"),
        (768, "webp"),
        (768, "webp"),
    ]


def test_a_filled_prompt_beats_a_template_that_does_not_use_it() -> None:
    rows = plan("prompt,Title\na kite,Chair\n,Chair\n", 'template = "photo of {Title}"')
    assert [row.jobs[0].prompt for row in rows] == ["a kite", "photo of Chair"]


def test_a_template_may_be_made_of_the_prompt() -> None:
    (row,) = plan("prompt\na kite\n", 'template = "{Prompt}, studio light"')
    assert row.jobs[0].prompt == "a kite, studio light"


def test_braces_in_a_prompt_without_a_recipe_are_characters() -> None:
    assert plan("prompt,Title\nphoto of {Title},x\n")[0].jobs[0].prompt == "photo of {Title}"


def test_the_variant_of_a_row_beats_the_variants_of_the_recipe() -> None:
    rows = plan("prompt,variant\na,4\nb,\n", "[defaults]\nvariants = 2")
    assert [[job.variant for job in row.jobs] for row in rows] == [[4], [0, 1]]


# Bad rows.


@pytest.mark.parametrize(
    ("column", "cell", "parts"),
    [
        ("seed", "abc", ["seed 'abc' is not a whole number", "42"]),
        ("seed", "-1", ["seed -1 is outside 0 to 2147483647", "empty"]),
        ("seed", "1.5", ["seed '1.5' is not a whole number"]),
        ("seed", "9" * 5000, ["is not a whole number"]),
        ("width", "-5", ["width -5", "flux-schnell", "from 256 to 1536"]),
        ("Height", "1537", ["height 1537", "from 256 to 1536"]),
        ("width", "1,024", ["width '1,024' is not a whole number"]),
        ("model", "flux-schnel", ["'flux-schnel'", "did you mean 'flux-schnell'?", "'studio'"]),
        ("model", "retired", ["'retired' is not enabled", "'flux-schnell' and 'studio'"]),
        ("steps", "4", ["flux-schnell does not honour steps"]),
        ("guidance", "x", ["guidance 'x' is not a number"]),
        ("negative_prompt", "people", ["does not honour negative_prompt"]),
        ("negative_prompt", "x" * 10_001, ["the negative_prompt has 10,001 characters"]),
        ("params.strength", "1", ["does not honour params.strength"]),
        ("format", "gif", ["format 'gif' is not known", "jpeg, png or webp"]),
        ("variants", "0", ["variants 0 is outside 1 to 100"]),
        ("variants", "101", ["variants 101 is outside 1 to 100"]),
        ("variants", "many", ["variants 'many' is not a whole number"]),
        ("variant", "-1", ["variant -1 is outside 0 to 99"]),
    ],
)
def test_a_bad_cell_is_reported_with_its_column_and_what_to_do(column: str, cell: str, parts: list[str]) -> None:
    ((where, message),) = faults(f'prompt,{column}\na kite,"{cell}"\n')
    assert where == column
    assert [part for part in parts if part not in message] == []


def test_what_a_model_cannot_make_is_measured_by_that_model() -> None:
    assert plan("prompt,model,width\na,studio,2048\n")[0].problems == ()
    ((_, message),) = faults("prompt,model,format\na,studio,jpeg\n")
    assert "studio does not make jpeg; choose from 'png' and 'webp'" in message


@pytest.mark.parametrize("prompt", ["", "  ", "\u3000"])
def test_an_empty_prompt_is_reported(prompt: str) -> None:
    assert faults(f"sku,Prompt\n1,{prompt}\n") == [
        ("Prompt", "the prompt is empty; write what the picture should show")
    ]


def test_a_prompt_may_have_ten_thousand_characters_and_no_more() -> None:
    assert plan(f"prompt\n{'x' * 10_000}\n")[0].problems == ()
    assert "10,001 characters; shorten it to 10,000" in faults(f"prompt\n{'x' * 10_001}\n")[0][1]
    assert "10,007 characters" in faults(f"t\n{'x' * 10_000}\n", 'template = "photo: {t}"')[0][1]


def test_variant_and_variants_exclude_each_other() -> None:
    ((_, message),) = faults("prompt,variant,variants\na,1,2\n")
    assert "either 'variant' or 'variants'" in message


def test_seeds_of_variants_stay_within_what_providers_take() -> None:
    ((column, message),) = faults("prompt,seed,variants\na,2147483646,3\n")
    assert column == "seed"
    assert "no room for 3 variants" in message


def test_all_problems_of_a_row_are_reported_together() -> None:
    found = faults("prompt,model,width,height,seed,format,variants\n,nope,0,x,-1,bmp,101\n")
    assert sorted(column for column, _ in found) == [
        "format",
        "height",
        "model",
        "prompt",
        "seed",
        "variants",
        "width",
    ]


def test_of_very_many_problems_a_row_names_ten() -> None:
    names = ",".join(f"params.p{number}" for number in range(500))
    (row,) = plan(f"prompt,{names}\na kite{',1' * 500}\n")
    assert len(row.problems) == 11
    assert row.problems[-1].message == "and 490 more problems in this row"


def test_no_problem_is_too_long_for_the_records_and_cells_it_goes_to() -> None:
    problem = Problem(1, "c" * 5_000, "m" * 200_000)
    assert (len(problem.column), len(problem.message)) == (200, 600)


def test_a_default_at_fault_is_laid_to_the_recipe() -> None:
    rows = plan("prompt,model\na,studio\nb,\n", "[defaults]\nsteps = 4")
    assert rows[0].problems == ()
    assert [problem.column for problem in rows[1].problems] == ["steps"]
    assert rows[1].problems[0].message.endswith("(from recipe 'shop')")


def test_a_bad_row_never_harms_a_good_one() -> None:
    rows = plan('prompt,seed,sku\na,1,x\nb,abc,y\n"c,2,z\nd,3\ne,4,v\n')
    assert [len(row.jobs) for row in rows] == [1, 0, 0, 0, 1]
    assert [row.picture_name for row in rows[:2]] == ["x", "y"]
    assert [problem.line for row in rows for problem in row.problems] == [3, 4, 5]


# Whole files.


def test_a_file_without_prompts_or_template_is_refused_with_its_columns() -> None:
    (reason,) = reasons("Promt,width\na,1\n")
    assert "no column 'prompt'; did you mean 'Promt'?" in reason
    assert "It has 'Promt' and 'width'" in reason


def test_a_file_without_the_columns_of_its_recipe_is_refused() -> None:
    found = reasons("Handle,Titel\na,b\n", 'template = "{Title}"\npicture_name = "{sku}"')
    assert ["'Title'" in found[0], "'sku'" in found[1]] == [True, True]


def test_a_recipe_for_a_model_that_is_not_there_is_refused() -> None:
    (reason,) = reasons("prompt\na\n", '[defaults]\nmodel = "flux-snell"')
    assert "Recipe 'shop': model 'flux-snell' is not in the catalog; did you mean 'flux-schnell'?" in reason


def test_a_recipe_whose_defaults_its_model_cannot_do_is_refused() -> None:
    found = reasons("prompt\na\n", "[defaults]\nwidth = 4096\nsteps = 4")
    assert sorted(["width 4096" in reason for reason in found]) == [False, True]
    assert any("does not honour steps" in reason for reason in found)


# The samples.


def test_the_sample_catalogue_has_24_rows_and_one_picture_twice() -> None:
    rows = plan((EVENTS / "products.csv").read_bytes())
    assert [row.problems for row in rows] == [()] * 24
    assert len({row.picture_name for row in rows}) == 24
    assert len({job_id(job) for row in rows for job in row.jobs}) == 23


def test_the_sample_of_bad_rows_runs_its_good_ones() -> None:
    rows = plan((EVENTS / "bad.csv").read_bytes())
    assert [row.picture_name for row in rows if row.jobs] == ["GOOD-1", "GOOD-2"]
    assert [row.line for row in rows if row.problems] == list(range(3, 17))
    assert all(problem.column and ";" in problem.message for row in rows for problem in row.problems)
