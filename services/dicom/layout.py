"""Where the bytes of an instance lie in its PS3.10 file: headers, bulk data, frames. Made once, at the front door.

With it, a frame or a piece of bulk data costs one range read and no parsing. It is kept beside the object as bytes.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from services.dicom.frames import FrameIndex, frames_from, frames_to

_HEAD: Final = Struct("<4sII")
_MAGIC: Final = b"PXL1"


@dataclass(frozen=True, slots=True)
class BulkRange:
    """The value of one element: its place and its VR.

    Attributes:
        offset: of the value.
        length: in bytes, as stored.
        vr: tells the size of a word, should the bytes be big endian.
        encapsulated: the bytes are items with their headers (PS3.5 A.4), and the fragments are in between.
    """

    offset: int
    length: int
    vr: str
    encapsulated: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets into the file; into the inflated file where the data set is deflated.

    Attributes:
        header_bytes: length of everything before Pixel Data; of a deflated file, of the whole file as it is.
        deflated: the data set is deflated (PS3.5 A.5): inflate the file (`part10.inflated`) before using any offset.
        big_endian: words in bulk data and native frames are big endian.
        bulk: by path (`7FE00010`; in an item `00880200-0-7FE00010`), what metadata names by BulkDataURI.
        frames: where each frame lies; None when there are no pixels, or when frames have no bytes of their own.
    """

    header_bytes: int
    deflated: bool = False
    big_endian: bool = False
    bulk: Mapping[str, BulkRange] = field(default_factory=dict)
    frames: FrameIndex | None = None

    def encode(self) -> bytes:
        """Makes compact bytes for keeping."""
        described, table = frames_to(self.frames)
        head = {
            "header": self.header_bytes,
            "deflated": self.deflated,
            "big": self.big_endian,
            "bulk": {path: [at.offset, at.length, at.vr, at.encapsulated] for path, at in self.bulk.items()},
            "frames": described,
        }
        packed = zlib.compress(table, 1) if table else b""
        text = json.dumps(head, separators=(",", ":")).encode()
        return _HEAD.pack(_MAGIC, len(text), len(packed)) + text + packed

    @classmethod
    def decode(cls, data: bytes) -> "Layout":
        """Reads what `encode` made.

        Raises:
            ValueError: these are other bytes.
        """
        magic, text_length, table_length = _HEAD.unpack_from(data)
        if magic != _MAGIC or len(data) != _HEAD.size + text_length + table_length:
            raise ValueError("not a layout")
        end = _HEAD.size + text_length
        head = json.loads(data[_HEAD.size : end])
        table = zlib.decompress(data[end:]) if table_length else b""
        return cls(
            header_bytes=head["header"],
            deflated=head["deflated"],
            big_endian=head["big"],
            bulk={path: BulkRange(*values) for path, values in head["bulk"].items()},
            frames=frames_from(head["frames"], table),
        )
