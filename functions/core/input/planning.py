"""From a row of a table to its pictures, or to everything that is wrong with it.

    planner = RowPlanner(table.header, recipe, catalog)     UnusableFileError: the whole file is rejected
    for record in read_records(...):
        planned = planner.plan(record)                      jobs, or problems; one row never harms another

A row's own cell beats the recipe's default, which beats the identity's. The template makes the prompt; where
the file has a `prompt` column besides, one that the template does not name, a filled cell of it beats the
template.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from functions.core.catalog import Catalog, Model
from functions.core.input.errors import Problem, UnusableFileError
from functions.core.input.fields import (
    MAX_SEED,
    WHOLE_NUMBERS,
    check_length,
    parse_format,
    parse_guidance,
    parse_whole,
)
from functions.core.input.header import NAME_COLUMNS, PARAMETER_PREFIX, Header
from functions.core.input.identity import PictureSpec
from functions.core.input.limits import find_model, limit_faults
from functions.core.input.recipe import Recipe
from functions.core.input.rows import Record
from functions.core.input.text import clip, did_you_mean, listing, normalize_text

_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "negative_prompt": partial(check_length, "negative_prompt"),
    **{name: partial(parse_whole, name) for name in WHOLE_NUMBERS},
    "guidance": parse_guidance,
    "format": parse_format,
    "edition": normalize_text,
}

PROBLEMS_OF_A_ROW = 10
"""As many are named; a row of a thousand wrong columns has one cell for what is wrong with it."""

_PICTURE_NAME_LIMIT = 200  # characters: it becomes the name of a file

_Faults = list[tuple[str, str]]
"""Faults of one row so far: the field or column at fault, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row and its pictures; with problems it has no jobs.

    cells: the original ones, as many as the header has. picture_name: what a person calls this row's pictures
    (not made safe for file names), empty where nothing names them.
    """

    row: int
    line: int
    cells: tuple[str, ...]
    jobs: tuple[PictureSpec, ...]
    picture_name: str
    problems: tuple[Problem, ...] = ()


class RowPlanner:
    """Plans the rows of one file. Raises UnusableFileError with every reason why none can be planned."""

    def __init__(self, header: Header, recipe: Recipe, catalog: Catalog) -> None:
        self._header = header
        self._recipe = recipe
        self._catalog = catalog
        self._default_model = recipe.defaults.model or catalog.enabled_models[0].name
        fields = ("prompt", "model", *NAME_COLUMNS, *_PARSERS)
        self._columns = {name: at for name in fields if (at := header.find_field(name)) is not None}
        self._defaults = {
            name: value for name in _PARSERS if (value := getattr(recipe.defaults, name, None)) is not None
        }
        reasons = self._prompt_misfits() + self._recipe_misfits()
        if reasons:
            raise UnusableFileError(reasons)
        self._template_columns = recipe.template.columns(header) if recipe.template else ()
        self._name_columns = recipe.picture_name.columns(header) if recipe.picture_name else ()
        self._own_prompts = self._columns.get("prompt") not in self._template_columns
        self._parameters = self._parameter_columns()

    def plan(self, record: Record) -> PlannedRow:
        """The row's pictures, or all of its problems."""
        cells = record.cells
        row = PlannedRow(record.start.row, record.start.line, cells, (), self._picture_name(cells))
        if record.problem is not None:
            return replace(row, problems=(record.problem,))
        faults: _Faults = []
        prompt = self._prompt(cells, faults)
        model = self._model(cells, faults)
        values = self._values(cells, faults)
        parameters = {name: cells[at] for name, at in self._parameters.items() if normalize_text(cells[at])}
        asked = {**values, **{PARAMETER_PREFIX + name: text for name, text in parameters.items()}}
        faults += limit_faults(model, asked)
        variants = self._variants(values, faults)
        if faults or model is None:
            return replace(row, problems=self._problems(record.start.line, cells, faults))
        values.setdefault("format", "jpeg" if "jpeg" in model.formats else model.formats[0])
        first = PictureSpec(model=model.name, prompt=prompt, params=parameters, **values)
        return replace(row, jobs=(first, *(_variant(first, number) for number in range(1, variants))))

    # What keeps the whole file from being used.

    def _prompt_misfits(self) -> list[str]:
        template, names = self._recipe.template, self._header.names
        misfits = self._recipe.picture_name.misfits(self._header) if self._recipe.picture_name else []
        if template is not None:
            return template.misfits(self._header) + misfits
        if self._header.find_field("prompt") is None:
            reason = (
                f"The file has no column 'prompt'{did_you_mean('prompt', names)}. It has {listing(names)}. "
                "Name the column with the prompts 'prompt', or upload to the folder of a recipe with a template."
            )
            misfits.insert(0, reason)
        return misfits

    def _recipe_misfits(self) -> list[str]:
        try:
            model = find_model(self._catalog, self._default_model)
        except ValueError as error:
            return [f"Recipe {self._recipe.name!r}: {error}."]
        if self._header.find_field("model") is not None:
            return []  # each row says for which model the defaults must do
        return [
            f"Recipe {self._recipe.name!r}: {fault}."
            for name, fault in limit_faults(model, self._defaults)
            if name in self._defaults
        ]

    def _parameter_columns(self) -> dict[str, int]:
        """`params.*` columns under the catalog's spelling, since providers' names are case-sensitive."""
        known = {
            parameter.lower(): parameter.removeprefix(PARAMETER_PREFIX)
            for model in self._catalog.enabled_models
            for parameter in model.parameters
            if parameter.startswith(PARAMETER_PREFIX)
        }
        return {known.get(PARAMETER_PREFIX + name, name): at for name, at in self._header.parameters().items()}

    # The parts of one row; what is wrong is added to `faults`.

    def _picture_name(self, cells: Sequence[str]) -> str:
        if self._recipe.picture_name is not None:
            name = normalize_text(self._recipe.picture_name.fill(cells, self._name_columns))
        else:
            name = next(filter(None, (self._cell(cells, name) for name in NAME_COLUMNS)), "")
        return clip(name, _PICTURE_NAME_LIMIT)

    def _prompt(self, cells: Sequence[str], faults: _Faults) -> str:
        template = self._recipe.template
        prompt = self._cell(cells, "prompt") if self._own_prompts else ""
        if not prompt and template is None:
            faults.append(("prompt", "the prompt is empty; write what the picture should show"))
        elif not prompt and template is not None:
            for at in dict.fromkeys(self._template_columns):
                if not normalize_text(cells[at]):
                    name = self._header.names[at]
                    advice = "fill it in or remove the row"
                    faults.append((name, f"{name!r} is empty and the template needs it; {advice}"))
            prompt = template.fill(cells, self._template_columns)
        try:
            return check_length("prompt", prompt)
        except ValueError as error:
            faults.append(("prompt", str(error)))
            return ""

    def _model(self, cells: Sequence[str], faults: _Faults) -> Model | None:
        try:
            return find_model(self._catalog, self._cell(cells, "model") or self._default_model)
        except ValueError as error:
            faults.append(("model", str(error)))
            return None

    def _values(self, cells: Sequence[str], faults: _Faults) -> dict[str, Any]:
        """Every field that the row or the recipe gives."""
        values = dict(self._defaults)
        for name, parse in _PARSERS.items():
            if text := self._cell(cells, name):
                try:
                    values[name] = parse(text)
                except ValueError as error:
                    faults.append((name, str(error)))
        if "variant" in values and not self._cell(cells, "variants"):
            values.pop("variants", None)  # the recipe's: the row asks for one of its variants
        return values

    def _variants(self, values: dict[str, Any], faults: _Faults) -> int:
        """How many pictures the row makes; takes `variants` out of the values."""
        count: int = values.pop("variants", 1)
        if "variant" in values:
            if count > 1:
                faults.append(("variant", "a row has either 'variant' or 'variants'; leave one of them empty"))
            return 1
        if values.get("seed", 0) + count - 1 > MAX_SEED:
            faults.append(("seed", f"seed {values['seed']} leaves no room for {count} variants up to {MAX_SEED}"))
        return count

    def _cell(self, cells: Sequence[str], name: str) -> str:
        """What the row says in a field, empty where the file has no such column."""
        at = self._columns.get(name)
        return "" if at is None else normalize_text(cells[at])

    def _problems(self, line: int, cells: Sequence[str], faults: _Faults) -> tuple[Problem, ...]:
        named = [self._problem(line, cells, *fault) for fault in faults[:PROBLEMS_OF_A_ROW]]
        if rest := len(faults) - len(named):
            named.append(Problem(line, "", f"and {rest} more problems in this row"))
        return tuple(named)

    def _problem(self, line: int, cells: Sequence[str], name: str, message: str) -> Problem:
        column = self._header.find_field(name)
        if name in self._defaults and not self._cell(cells, name):
            message += f" (from recipe {self._recipe.name!r})"
        return Problem(line, name if column is None else self._header.names[column], message)


def _variant(first: PictureSpec, number: int) -> PictureSpec:
    """A seeded row's variants have consecutive seeds: the same seed would be the same picture, paid twice."""
    return replace(first, variant=number, seed=None if first.seed is None else first.seed + number)
