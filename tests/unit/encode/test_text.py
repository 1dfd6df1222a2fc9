from __future__ import annotations

import pytest

from services.encode.adapters.highdicom.text import fitting


@pytest.mark.parametrize(
    ("charset", "expected"),
    [
        (None, "Lungenflugel - links"),
        ("ISO_IR 100", "Lungenflugel - links"),  # it has ü, but no dash: then all of it is plain
        ("ISO_IR 192", "Lungenflügel — links"),
        (["", "ISO 2022 IR 87"], "Lungenflugel - links"),
    ],
)
def test_words_fit_into_the_character_set_of_the_source(charset: str | list[str] | None, expected: str) -> None:
    assert fitting("Lungenflügel — links", charset, 64) == expected


def test_letters_that_the_character_set_has_stay() -> None:
    assert fitting("Lungenflügel", "ISO_IR 100", 64) == "Lungenflügel"


def test_nothing_is_longer_than_its_attribute_and_no_delimiter_gets_in() -> None:
    assert fitting("a\\b\nc" + "d" * 70, None, 8) == "a/b cddd"


def test_letters_without_a_plain_form_become_question_marks() -> None:
    assert fitting("肺 left", "ISO_IR 100", 64) == "? left"
