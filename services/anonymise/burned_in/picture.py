"""From an instance's elements to a question about its pixels, and from the answer to an instance with other pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pydicom.uid import UID

from services.anonymise.burned_in.evidence import number_of, text_of
from services.anonymise.burned_in.model import Box
from services.anonymise.burned_in.question import Answer, Question
from services.anonymise.engine.elements import PIXEL_DATA, Element, File
from services.pixels.description import Description, describe
from services.pixels.errors import NotDescribed
from services.pixels.rendering.palettes import Channel, Palette
from services.pixels.syntaxes import JPEG_LS_NEAR, always_lossy
from services.pixels.syntaxes import native as is_native

_SAMPLES, _PHOTOMETRIC, _PLANAR, _FRAMES, _ROWS, _COLUMNS = (
    0x00280002,
    0x00280004,
    0x00280006,
    0x00280008,
    0x00280010,
    0x00280011,
)
_ALLOCATED, _STORED, _REPRESENTATION = 0x00280100, 0x00280101, 0x00280103
BURNED_IN_ANNOTATION, RECOGNIZABLE_VISUAL_FEATURES = 0x00280301, 0x00280302
_LOSSY = 0x00282110
_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_TABLES = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED = (0x00281221, 0x00281222, 0x00281223)
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS, _TOTAL_LENGTH = 0x7FE00001, 0x7FE00002, 0x7FE00003
_OFFSET_TABLES: Final = frozenset((_EXTENDED_OFFSETS, _EXTENDED_LENGTHS, _TOTAL_LENGTH))


@dataclass(frozen=True, slots=True)
class Picture:
    """The pixels of an instance, as they lie in its file.

    Attributes:
        frames: as Number of Frames says.
        value: of Pixel Data.
        offsets: the Extended Offset Table and its lengths, if it has one.
    """

    syntax: str
    description: Description
    frames: int
    big_endian: bool
    palette: Palette | None
    value: bytes | memoryview
    offsets: tuple[bytes, ...] = ()

    def question(self, masks: Iterable[Box] = (), *, read: bool) -> Question:
        """What to ask of a worker, with `data`."""
        return Question(
            self.syntax, self.description, self.frames, self.big_endian, self.palette, tuple(masks), read=read
        )

    @property
    def data(self) -> tuple[bytes | memoryview, ...]:
        """What goes with a question."""
        return (self.value, *self.offsets)

    @property
    def digest(self) -> str:
        """Names these pixels: of two instances with the same ones it is the same."""
        made = hashlib.sha256(repr((self.syntax, self.description, self.frames)).encode())
        made.update(self.value)
        return made.hexdigest()


def picture_of(file: File) -> Picture | None:
    """The pixels of an instance; None when it has none that anybody sees (PS3.3 C.7.6.3).

    Raises:
        NotDescribed: its attributes do not say what they are.
    """
    root = {element.tag: element for element in file.elements}
    pixels = root.get(PIXEL_DATA)
    if pixels is None:
        return None
    frames = text_of(root.get(_FRAMES)) or "1"
    if not frames.isdigit() or frames == "0":
        raise NotDescribed
    description = describe(
        {f"{tag:08X}": {"Value": [number_of(root[tag])]} for tag in _NUMBERS if tag in root}
        | {f"{_PHOTOMETRIC:08X}": {"Value": [text_of(root.get(_PHOTOMETRIC)).upper()]}}
    )
    offsets = tuple(bytes(root[tag].value) for tag in (_EXTENDED_OFFSETS, _EXTENDED_LENGTHS) if tag in root)
    return Picture(
        str(file.transfer_syntax),
        description,
        int(frames),
        file.coding.order == ">",
        _palette(root) if description.photometric == "PALETTE COLOR" else None,
        pixels.value,
        offsets if len(offsets) == 2 else (),
    )


def with_pixels(file: File, answer: Answer, *, says: int = BURNED_IN_ANNOTATION) -> File:
    """An instance with the pixels of an answer, if it has any.

    Args:
        says: the attribute that says NO of them: Burned In Annotation or Recognizable Visual Features (PS3.3 C.7.6.1).
    """
    changed: dict[int, Element | None] = {says: _element(file, says, "CS", b"NO")}
    syntax = file.transfer_syntax
    if answer.pixels is not None:
        root = {element.tag: element for element in file.elements}
        encapsulated = not is_native(answer.syntax)
        wide = number_of(root.get(_ALLOCATED)) > 8
        changed |= dict.fromkeys(_OFFSET_TABLES)
        changed[PIXEL_DATA] = Element(
            PIXEL_DATA, "OW" if wide and not encapsulated else "OB", answer.pixels, None, file.coding, encapsulated
        )
        changed[_PHOTOMETRIC] = _element(file, _PHOTOMETRIC, "CS", answer.photometric.encode())
        if number_of(root.get(_SAMPLES)) > 1 and not is_native(str(syntax)):
            changed[_PLANAR] = _element(file, _PLANAR, "US", bytes(2))
        if always_lossy(str(syntax)) or syntax == JPEG_LS_NEAR:
            # What was lost stays lost, in whatever transfer syntax it is now (PS3.3 C.7.6.1.1.5).
            changed[_LOSSY] = _element(file, _LOSSY, "CS", b"01")
        syntax = UID(answer.syntax)
    kept = [element for element in file.elements if element.tag not in changed]
    made = [element for element in changed.values() if element is not None]
    return replace(file, transfer_syntax=syntax, elements=sorted((*kept, *made), key=lambda element: element.tag))


_NUMBERS = (_SAMPLES, _PLANAR, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _REPRESENTATION)


def _element(file: File, tag: int, vr: str, value: bytes) -> Element:
    return Element(tag, vr, value, None, file.coding)


def _palette(root: Mapping[int, Element]) -> Palette:
    channels = []
    for descriptor, table, segmented in zip(_DESCRIPTORS, _TABLES, _SEGMENTED, strict=True):
        found = root.get(table) or root.get(segmented)
        said = root.get(descriptor)
        if found is None or said is None or len(said.value) < 6:
            raise NotDescribed
        order = "little" if said.coding.order == "<" else "big"
        raw = bytes(said.value)
        entries, first, bits = (int.from_bytes(raw[at : at + 2], order) for at in (0, 2, 4))  # type: ignore[arg-type]
        if first > 0x7FFF and number_of(root.get(_REPRESENTATION)):
            first -= 0x10000
        data = bytes(found.value)
        if order == "big" and bits > 8:
            data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        channels.append(Channel(entries or 0x10000, first, bits, data, segmented=found.tag == segmented))
    red, green, blue = channels
    return Palette(red, green, blue)
