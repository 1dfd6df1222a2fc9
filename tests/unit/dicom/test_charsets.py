import pytest
from pydicom.charset import decode_bytes

from services.dicom.charsets import NAME_DELIMITERS, character_set

JAPANESE = ["", "ISO 2022 IR 87"]


@pytest.mark.parametrize(
    ("terms", "encoded", "text"),
    [
        (["ISO_IR 100"], "Buc^Jérôme".encode("latin_1"), "Buc^Jérôme"),
        (["ISO_IR 192"], "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
        (["GB18030"], "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        (["ISO_IR 126"], "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
        (["ISO_IR 13"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (["ISO 2022 IR 100"], "Äneas".encode("latin_1"), "Äneas"),
        (["ISO-IR 144"], "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (["no such set"], "Äneas".encode("latin_1"), "Äneas"),
        ([], "Äneas".encode(), "Äneas"),
        ([], "Äneas".encode("latin_1"), "Äneas"),
    ],
)
def test_text_of_one_character_set_is_decoded(terms: list[str], encoded: bytes, text: str) -> None:
    assert character_set(terms).decode(encoded) == text


def test_two_byte_sets_of_the_lower_half_are_decoded() -> None:
    encoded = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    assert character_set(JAPANESE).decode(encoded, NAME_DELIMITERS) == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_a_code_that_looks_like_a_delimiter_is_half_a_character() -> None:
    # 表 is 0x49 0x3D in JIS X 0208, and 0x3D alone would be the equals sign.
    assert character_set(JAPANESE).decode("表".encode("iso2022_jp"), NAME_DELIMITERS) == "表"


def test_two_byte_sets_of_the_upper_half_are_decoded() -> None:
    encoded = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
    assert character_set(["", "ISO 2022 IR 149"]).decode(encoded, NAME_DELIMITERS) == "Hong^Gildong=洪^吉洞=홍^길동"


def test_a_delimiter_brings_the_initial_set_back() -> None:
    latin_and_greek = character_set(["ISO 2022 IR 100", "ISO 2022 IR 126"])
    encoded = b"Dionysios \x1b-F" + "Διο".encode("iso8859_7") + b"\\" + "Jérôme".encode("latin_1")

    assert latin_and_greek.decode(encoded) == "Dionysios Διο\\Jérôme"
    assert decode_bytes(encoded, ["latin_1", "iso_ir_126"], {0x5C}) == "Dionysios Διο\\Jérôme"


@pytest.mark.parametrize("terms", [["ISO_IR 192"], ["GB18030"], ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"], []])
@pytest.mark.parametrize("encoded", [b"\xff\xfe\x80", b"\x1b", b"\x1b$", b"\x1b$B\xff", b"a\x1b(Zb", b"\x1b$)C\xff"])
def test_bytes_that_belong_to_no_set_do_not_stop_the_reading(terms: list[str], encoded: bytes) -> None:
    assert isinstance(character_set(terms).decode(encoded), str)
