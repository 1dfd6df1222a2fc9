"""The last check: what counts as an identifier, and where one may not stand."""

import pytest

from services.anonymise.engine.identifiers import Identifiers


def of(*values: tuple[str, bytes]) -> Identifiers:
    identifiers = Identifiers()
    for vr, value in values:
        identifiers.gather(vr, value)
    return identifiers


@pytest.mark.parametrize(
    ("vr", "value", "text"),
    [
        ("PN", b"Mustermann^Erika", b"seen by Dr. ERIKA"),
        ("PN", b"Muster-Mann^E", b"muster-mann"),
        ("PN", "山田^太郎".encode("iso2022_jp"), b"of " + "太郎".encode("iso2022_jp")),
        ("PN", "Bücher^A".encode(), "Bücher".encode()),
        ("UI", b"1.2.3.4711\0", b"1.2.3.4711"),
        ("DA", b"19470815", b"born 19470815"),
        ("DT", b"19470815101010.5", b"19470815"),
        ("LO", b"MRN 4711-0815", b"ID=4711-0815;"),
        ("LO", b"Klinik am See", b"klinik am see, Bau 7"),
        ("SH", b"CT-4711", b"scanner CT-4711"),
        ("ST", b"Seestrasse 1, Bern", b"at Seestrasse 1, Bern"),
        ("LT", b"call 0041791234567 first", b"0041791234567"),
    ],
)
def test_an_identifier_is_found_in_free_text(vr: str, value: bytes, text: bytes) -> None:
    identifiers = of((vr, value))
    assert identifiers.found_in(text, is_free_text=True)
    assert identifiers.may_be_in([b"-1.5\\2", text])


@pytest.mark.parametrize(
    ("vr", "value", "text"),
    [
        ("PN", b"Ring^Al", b"monitoring"),  # inside of a word
        ("PN", b"Li^Bo", b"li"),  # too short to tell
        ("DA", b"20040119", b"-120.20040119"),  # the decimals of a position
        ("TM", b"120000", b"120000"),
        ("ST", b"compressed 15.5128 to 1", b"15.5128"),  # a measure
        ("CS", b"HEAD", b"HEAD"),
        ("UI", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1"),
        ("PN", b"ANONYMOUS", b"anonymous"),  # our own dummy
        ("LO", b"", b""),
    ],
)
def test_a_chance_likeness_is_no_identifier(vr: str, value: bytes, text: bytes) -> None:
    assert not of((vr, value)).found_in(text, is_free_text=True)


def test_a_single_removed_word_may_stand_elsewhere() -> None:
    identifiers = of(("LO", b"LUNG"))
    assert not identifiers.found_in(b"LUNG", is_free_text=True)


def test_several_removed_words_may_stand_in_no_free_text() -> None:
    identifiers = of(("LO", b"Klinik am See"))
    assert identifiers.found_in(b"KLINIK AM SEE 3", is_free_text=True)
    assert not identifiers.found_in(b"KLINIK AM SEEBERG", is_free_text=True)
    assert not identifiers.found_in(b"KLINIK AM SEE", is_free_text=False)


def test_a_name_may_stand_in_no_code_string_either() -> None:
    assert of(("PN", b"Mustermann")).found_in(b"MUSTERMANN", is_free_text=False)


def test_a_long_identifier_is_found_in_any_written_bytes() -> None:
    identifiers = of(("UI", b"1.2.3.4711.9"), ("DA", b"19470815"))
    assert identifiers.left_in_header(b"\x10\x00\x20\x00LO\x0c\x001.2.3.4711.9x")
    assert not identifiers.left_in_header(b"\x10\x00\x20\x00DS\x0c\x000.19470815")
