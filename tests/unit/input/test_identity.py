"""Identity: rows that mean the same picture have one id, rows that differ have different ones, in every release."""

import json
import subprocess
import sys
import unicodedata
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.input.identity import PictureSpec, canonical_json, job_id, spec_from_json

ROOT = Path(__file__).parents[3]
VECTORS_FILE = ROOT / "tests" / "data" / "identity_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))
VECTOR_IDS = {vector["name"]: vector["job_id"] for vector in VECTORS}

# Text as people type it, and what Unicode makes hard: combining marks, Hangul, several kinds of space.
words = st.text(
    st.one_of(
        st.characters(codec="utf-8", exclude_characters="\0"),
        st.sampled_from("aé한\u0301\u0300\u1112\u1161\u11ab\u212b\u00a0\u3000\u2028 \t\n"),
    ),
    max_size=30,
)
names = words.filter(lambda text: text.split() != [])
specs = st.builds(
    PictureSpec,
    model=names,
    prompt=words,
    negative_prompt=words,
    width=st.integers(1, 4096),
    height=st.integers(1, 4096),
    seed=st.none() | st.integers(0, 2**31 - 1),
    steps=st.none() | st.integers(1, 100),
    guidance=st.none() | st.decimals(0, 100, places=3),
    format=st.sampled_from(["jpeg", "png", "webp"]),
    variant=st.integers(0, 99),
    edition=words,
    params=st.dictionaries(names, words, max_size=3),
)


def spec_of(vector: dict[str, Any]) -> PictureSpec:
    values = dict(vector["spec"])
    if values.get("guidance") is not None:
        values["guidance"] = Decimal(values["guidance"])
    return PictureSpec(**values)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_vectors_never_change(vector: dict[str, Any]) -> None:
    """An id that changes is a picture paid for again by everybody who has it."""
    spec = spec_of(vector)
    assert canonical_json(spec) == vector["canonical_json"]
    assert job_id(spec) == vector["job_id"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the shortest spec", "defaults written out"),
        ("the shortest spec", "jpg is jpeg"),
        ("the shortest spec", "white space around and between"),
        ("the shortest spec", "no-break and ideographic spaces"),
        ("the shortest spec", "line separator is white space"),
        ("the shortest spec", "an empty parameter is none"),
        ("guidance", "guidance 3.50"),
        ("guidance 0", "guidance -0.0"),
        ("guidance 10", "guidance in powers of ten"),
        ("composed é", "decomposed é"),
        ("hangul composed", "hangul decomposed"),
        ("angstrom sign", "a with ring"),
        ("two parameters", "two parameters in another order"),
    ],
)
def test_vectors_of_equal_meaning_share_an_id(one: str, other: str) -> None:
    assert VECTOR_IDS[one] == VECTOR_IDS[other]


def test_all_other_vectors_have_an_id_of_their_own() -> None:
    assert len(VECTORS) == 45
    assert len(set(VECTOR_IDS.values())) == 45 - 13


@given(specs)
def test_a_spec_survives_its_canonical_json(spec: PictureSpec) -> None:
    assert spec_from_json(canonical_json(spec)) == spec
    assert canonical_json(spec_from_json(canonical_json(spec))) == canonical_json(spec)


@given(specs, specs)
def test_different_specs_have_different_ids_and_equal_specs_one(one: PictureSpec, other: PictureSpec) -> None:
    assert (job_id(one) == job_id(other)) is (one == other)


@given(specs, st.sampled_from([each.name for each in fields(PictureSpec)]), st.data())
def test_a_change_in_any_single_field_changes_the_id(spec: PictureSpec, field: str, data: st.DataObject) -> None:
    changed = replace(spec, **{field: getattr(data.draw(specs), field)})
    assert (job_id(changed) == job_id(spec)) is (getattr(changed, field) == getattr(spec, field))


@given(specs, st.sampled_from(["NFC", "NFD"]), st.sampled_from([" ", "\t", "\r\n", "\u00a0", "  "]))
def test_unicode_form_and_white_space_never_matter(spec: PictureSpec, form: Any, space: str) -> None:
    def retyped(text: str) -> str:
        return space + unicodedata.normalize(form, text).replace(" ", space) + space

    again = replace(
        spec,
        model=retyped(spec.model),
        prompt=retyped(spec.prompt),
        negative_prompt=retyped(spec.negative_prompt),
        edition=retyped(spec.edition),
        params={retyped(name): retyped(value) for name, value in reversed(list(spec.params.items()))},
    )
    assert again == spec
    assert job_id(again) == job_id(spec)


@given(st.decimals(0, 100, places=3), st.integers(0, 5))
def test_zeros_at_the_end_of_a_number_never_matter(guidance: Decimal, zeros: int) -> None:
    padded = Decimal(f"{guidance}{'0' * zeros}")
    assert job_id(PictureSpec("m", "p", guidance=padded)) == job_id(PictureSpec("m", "p", guidance=guidance))


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_ids_are_the_same_in_every_process(hash_seed: str) -> None:
    code = (
        "from functions.core.input.identity import PictureSpec, job_id;"
        "print(job_id(PictureSpec('flux-schnell', 'a red kite over dunes',"
        " params={'strength': '0.8', 'creative': 'false'})))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip() == VECTOR_IDS["two parameters"]


def test_a_whole_number_given_as_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        PictureSpec("m", "p", width=1024.0)  # type: ignore[arg-type]


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        PictureSpec("m", "a \ud83d kite")


def test_guidance_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        PictureSpec("m", "p", guidance=Decimal("NaN"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"model":"m","prompt":"p","v":2}', "version 2"),
        ('{"model":"m","prompt":"p"}', "version None"),
        ('{"model":"m","v":1}', r"missing \['prompt'\]"),
        ('{"model":"m","prompt":"p","sampler":"x","v":1}', r"unknown \['sampler'\]"),
    ],
)
def test_json_of_another_version_or_shape_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        spec_from_json(text)
