"""What the catalog says a model can do, against what a row or a recipe asks of it.

Asking for something that a model ignores is a fault, not a different picture: it would be paid for and not be
there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from functions.core.catalog import Catalog, Model
from functions.core.input.fields import check_whole
from functions.core.input.text import did_you_mean, listing, normalize_text, shorten

_SIDES = ("width", "height")
_DEFAULT_SIDE = 1024  # pixels: the identity's default
_OF_EVERY_MODEL = ("variants", "variant", "edition")  # they multiply pictures, the provider never sees them


def find_model(catalog: Catalog, name: str) -> Model:
    """The enabled model of that name, in any case. Raises ValueError with the known and the nearest names."""
    wanted = normalize_text(name).lower()
    for model in catalog.models.values():
        if model.name.lower() == wanted and model.enabled:
            return model
    known = [model.name for model in catalog.enabled_models]
    disabled = any(model.name.lower() == wanted for model in catalog.models.values())
    fault = "is not enabled" if disabled else f"is not in the catalog{did_you_mean(name, known)}"
    raise ValueError(f"model {shorten(name)!r} {fault}; models to choose from: {listing(known)}")


def limit_faults(model: Model | None, asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong) for what is asked beyond the prompt (`params.*` under full names).

    Without a model only what no model can do is found.
    """
    for name in asked:
        if model is not None and name not in (*_OF_EVERY_MODEL, *model.parameters):
            yield name, f"{model.name} does not honour {name}; leave it empty or choose another model"
    for side in _SIDES:
        pixels = asked.get(side, _DEFAULT_SIDE)
        if model is None:
            try:
                check_whole(side, pixels)
            except ValueError as error:
                yield side, str(error)
        elif not model.min_side <= pixels <= model.max_side:
            said = "" if side in asked else " (the default)"
            possible = f"a number of pixels from {model.min_side} to {model.max_side}"
            yield side, f"{side} {pixels}{said} is not possible with {model.name}; give {possible}"
    image_format = asked.get("format")
    if model is not None and image_format is not None and image_format not in model.formats:
        yield "format", f"{model.name} does not make {image_format}; choose from {listing(model.formats)}"
