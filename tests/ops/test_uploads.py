from dataclasses import replace
from pathlib import Path

import pytest

from functions.core.keys import batch_id_for
from ops.errors import CommandError, NotFoundError, RejectedError, UsageError
from ops.recipes import put_recipe
from ops.stack import Stack
from ops.uploads import submit

PROMPTS = "sku,prompt\nMUG-1,a mug\n"


def csv_file(folder: Path, content: str | bytes = PROMPTS, name: str = "products.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def inbox(stack: Stack) -> list[str]:
    return [entry["Key"] for entry in stack.s3().list_objects_v2(Bucket="inbox").get("Contents", [])]


def test_a_file_lies_in_the_inbox_as_it_is_and_names_its_batch(stack: Stack, tmp_path: Path) -> None:
    upload = submit(stack, csv_file(tmp_path))

    stored = stack.s3().get_object(Bucket="inbox", Key="products.csv")
    assert stored["Body"].read().decode() == PROMPTS
    assert upload.batch_id == batch_id_for("products.csv", stored["VersionId"])


def test_the_same_file_again_is_another_batch(stack: Stack, tmp_path: Path) -> None:
    path = csv_file(tmp_path)

    assert submit(stack, path).batch_id != submit(stack, path).batch_id


def test_a_recipe_is_the_folder(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text('template = "photo of {Title}"')
    put_recipe(stack, tmp_path / "catalogue.toml", None)

    upload = submit(stack, csv_file(tmp_path, "Title\nMug\n"), "catalogue")

    assert inbox(stack) == [upload.key] == ["catalogue/products.csv"]


def test_an_unknown_recipe_names_those_there_are(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text('template = "photo of {Title}"')
    put_recipe(stack, tmp_path / "catalogue.toml", None)

    with pytest.raises(NotFoundError, match="'catalogue'"):
        submit(stack, csv_file(tmp_path), "catalog")
    assert inbox(stack) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"sku,prompt\n", "no rows"),
        (b"sku,title\nA,b\n", "prompt"),
        (b"PK\x03\x04rest of a workbook", "Excel"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        ("sku,prompt\nA,ä\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_would_be_rejected_is_not_uploaded(
    stack: Stack, tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(RejectedError, match=reason):
        submit(stack, csv_file(tmp_path, content))
    assert inbox(stack) == []


def test_single_bad_rows_are_the_stacks_business(stack: Stack, tmp_path: Path) -> None:
    submit(stack, csv_file(tmp_path, "prompt,width\na mug,-5\na pot,768\n"))

    assert inbox(stack) == ["products.csv"]


def test_a_file_that_is_not_there_is_a_sentence(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        submit(stack, tmp_path / "nothing.csv")
    with pytest.raises(UsageError, match="not a file"):
        submit(stack, tmp_path)


def test_an_inbox_without_versions_is_told(stack: Stack, tmp_path: Path) -> None:
    stack.s3().create_bucket(Bucket="plain")

    with pytest.raises(CommandError, match="versions"):
        submit(replace(stack, inbox_bucket="plain"), csv_file(tmp_path))
