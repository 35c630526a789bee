from hashlib import sha256
from pathlib import Path

import pytest

from ops.downloads import DamagedPictureError, Outcome, Wanted, fetch_all, whole_file
from tests.fakes.stores import MemoryObjects

BODY = b"a picture"
DIGEST = sha256(BODY).hexdigest()


def fetch(store: MemoryObjects, *pictures: Wanted) -> dict[str, Outcome]:
    return fetch_all(store, pictures, lambda _: None, threads=2)


def test_a_picture_is_written_to_every_file_that_wants_it(tmp_path: Path) -> None:
    files = (tmp_path / "a.jpg", tmp_path / "b.jpg")

    outcomes = fetch(MemoryObjects({"k": BODY}), Wanted("k", DIGEST, files))

    assert outcomes == {"k": Outcome.FETCHED}
    assert [file.read_bytes() for file in files] == [BODY, BODY]
    assert sorted(tmp_path.iterdir()) == list(files)  # no temporary file is left


def test_a_picture_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(BODY)

    assert fetch(MemoryObjects(), Wanted("k", DIGEST, (file,))) == {"k": Outcome.WAS_THERE}


def test_a_second_file_of_the_same_picture_is_copied_from_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(BODY)

    fetch(MemoryObjects(), Wanted("k", DIGEST, (tmp_path / "a.jpg", tmp_path / "b.jpg")))

    assert (tmp_path / "b.jpg").read_bytes() == BODY


def test_a_file_with_other_content_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(BODY[:4])  # as an interrupted copy leaves it

    fetch(MemoryObjects({"k": BODY}), Wanted("k", DIGEST, (tmp_path / "a.jpg",)))

    assert (tmp_path / "a.jpg").read_bytes() == BODY


def test_a_picture_that_is_gone_is_reported(tmp_path: Path) -> None:
    assert fetch(MemoryObjects(), Wanted("k", DIGEST, (tmp_path / "a.jpg",))) == {"k": Outcome.GONE}
    assert not (tmp_path / "a.jpg").exists()


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedPictureError, match="picture k"):
        fetch(MemoryObjects({"k": b"something else"}), Wanted("k", DIGEST, (tmp_path / "a.jpg",)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_could_not_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"old")

    def write_half() -> None:
        with whole_file(tmp_path / "page") as target:
            target.write(b"ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert (tmp_path / "page").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["page"]
