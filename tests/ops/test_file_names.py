import time

from hypothesis import given
from hypothesis import strategies as st

from ops.file_names import FileNames


def test_a_picture_is_named_after_its_row() -> None:
    assert FileNames(24).claim(7, "MUG-001", "a mug", "jpg") == "MUG-001.jpg"


def test_without_a_name_it_is_the_row_number_and_the_prompts_first_words() -> None:
    assert FileNames(1200).claim(7, "", "A red mug, on a table!", "png") == "0007-a-red-mug-on-a-table.png"


def test_a_prompt_without_letters_leaves_the_row_number() -> None:
    assert FileNames(9).claim(7, "", "***", "png") == "07.png"


def test_names_of_any_script_stay_readable() -> None:
    assert FileNames(9).claim(1, "紅茶 Ä/B", "", "jpg") == "紅茶-Ä-B.jpg"


def test_no_name_is_given_twice_even_where_case_makes_no_difference() -> None:
    names = FileNames(9)

    given = [names.claim(1, name, "", "jpg") for name in ("Mug", "mug", "MUG", "mug-2")]

    assert given == ["Mug.jpg", "mug-2.jpg", "MUG-3.jpg", "mug-2-2.jpg"]


def test_a_hundred_thousand_rows_of_one_name_take_no_longer_each_than_a_few() -> None:
    names = FileNames(100_000)

    begin = time.process_time()
    last = [names.claim(row, "ACME", "", "jpg") for row in range(100_000)][-1]

    assert last == "ACME-100000.jpg"
    assert time.process_time() - begin < 20  # quadratic, it would be an hour


def test_pictures_of_different_formats_do_not_share_a_stem() -> None:
    names = FileNames(9)

    assert [names.claim(1, "mug", "", kind) for kind in ("jpg", "png")] == ["mug.jpg", "mug-2.png"]


def test_a_name_that_windows_reserves_is_changed() -> None:
    assert FileNames(9).claim(1, "CON", "", "jpg") == "CON-.jpg"
    assert FileNames(9).claim(1, "nul.txt", "", "jpg") == "nul-.txt.jpg"
    assert FileNames(9).claim(1, "com¹", "", "jpg") == "com¹-.jpg"


def test_a_name_cannot_leave_the_folder() -> None:
    assert FileNames(9).claim(1, "../../etc/passwd", "", "jpg") == "etc-passwd.jpg"


@given(st.text(max_size=300), st.text(max_size=300))
def test_every_name_is_possible_on_every_file_system(name: str, prompt: str) -> None:
    file = FileNames(9).claim(1, name, prompt, "jpg")

    assert len(file.encode()) <= 255
    assert not set(file) & set('/\\:*?"<>|\0\n\r\t ')
    assert not file.startswith((".", "-"))
    assert file.endswith(".jpg")
