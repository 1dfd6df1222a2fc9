"""Our own words in somebody else's character set."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pydicom.charset import convert_encodings

_PLAIN = str.maketrans({"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "µ": "u", "\\": "/"})


def fitting(text: str, charset: str | Sequence[str] | None, limit: int) -> str:
    """`text` as an attribute of a data set in `charset` can hold it, at most `limit` characters (PS3.5 6.2).

    The data set keeps the character set of its source, so that the patient's name stays as it was. What that set has
    no characters for is written without its accents, or as `?`.
    """
    one_line = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text.replace("\\", "/"))
    first = convert_encodings([charset] if isinstance(charset, str) else list(charset or ["ISO_IR 6"]))[0]
    # The default repertoire is ASCII (PS3.5 6.1.1); pydicom reads it as Latin-1 to lose nothing.
    codec = "ascii" if first == "iso8859" and not charset else first
    try:
        one_line.encode(codec)
    except UnicodeError:
        folded = unicodedata.normalize("NFKD", one_line.translate(_PLAIN))
        one_line = "".join(c for c in folded if not unicodedata.combining(c)).encode("ascii", "replace").decode()
    return one_line[:limit].strip()
