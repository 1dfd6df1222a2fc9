"""Encapsulated documents (PS3.3 A.45, A.85, A.104): nobody looks into them, so an empty one stands in their place."""

from __future__ import annotations

ENCAPSULATED_DOCUMENT = 0x00420011

_OBJECTS = (
    b"<</Type/Catalog/Pages 2 0 R>>",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<<>>>>",
)


def empty_document(media_type: bytes) -> bytes | None:
    """A document of this type that says nothing; None for a type of which none is known."""
    match media_type.strip(b"\0 ").lower():
        case b"application/pdf":
            return _blank_page()
        case b"model/stl":
            return bytes(84)  # a binary STL without a triangle
        case b"model/obj" | b"model/mtl":
            return b"#\n"
        case _:
            return None


def _blank_page() -> bytes:
    written = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(_OBJECTS, 1):
        places.append(len(written))
        written += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(_OBJECTS) + 1)
    table += b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(_OBJECTS) + 1, len(written))
    return written + table + trailer
