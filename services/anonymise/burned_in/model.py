"""The words of burned-in text: where it is, why a picture is doubtful, and what a person decided."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, assert_never


class Box(NamedTuple):
    """A rectangle of pixels: column and row of its first one, and how many there are."""

    x: int
    y: int
    width: int
    height: int


class Ground(StrEnum):
    """What makes a picture suspect of showing text."""

    SAID = "burned-in-annotation"
    """Burned In Annotation is YES, or no value that the standard has (PS3.3 C.7.6.1)."""
    KIND = "sop-class"
    """Its SOP class is of projected, photographed or captured images."""
    IMAGE_TYPE = "image-type"
    """Image Type does not say that it is original and primary, or names a localizer or a screen."""
    COLOUR = "colour"
    """Colour where a scanner makes grey: something was drawn on it."""
    SCANNED = "scanned"
    """Scanned paper or film, or the label of a slide: there is handwriting, which is not found by a reader of print."""
    ASKED = "asked"
    """The profile asks for Clean Pixel Data (PS3.15 E.3.1)."""
    DEVICE = "device-rule"
    """A device rule names rectangles."""
    REGIONS = "ultrasound-regions"
    """Ultrasound regions are named: what is outside of them is the device's own writing."""
    FACES = "faces"
    """The profile asks for Clean Recognizable Visual Features (PS3.15 E.3.2), and no header says that it is no head."""


class Doubt(StrEnum):
    """Why nobody but a person can let a picture out."""

    SAID = "said-but-not-found"
    SCANNED = "scanned"
    UNSURE = "unsure-text"
    LEFT = "text-left"
    UNREADABLE = "pixels-unreadable"
    TOO_MUCH = "too-much"
    NO_READER = "no-reader"
    LOST = "reader-lost"
    FACE_KIND = "face-perhaps"
    FACE_VOLUME = "face-in-no-volume"
    FACE_PLACE = "face-not-found"

    @property
    def text(self) -> str:
        """One sentence for people."""
        match self:
            case Doubt.SAID:
                return "the header says that text is burned in, and none was found"
            case Doubt.SCANNED:
                return (
                    "scanned paper or film, or the label of a slide: handwriting and codes are not found by the reader"
                )
            case Doubt.UNSURE:
                return "something may be text: the reader is not sure"
            case Doubt.LEFT:
                return "text was still found after everything that was found had been masked"
            case Doubt.UNREADABLE:
                return "the pixels cannot be decoded, so nobody has looked at them"
            case Doubt.TOO_MUCH:
                return "the pixels are too many to be read within the limits"
            case Doubt.NO_READER:
                return "the text reader is not installed, so nobody has looked at the pixels"
            case Doubt.LOST:
                return "the text reader ended while it looked at the pixels"
            case Doubt.FACE_KIND:
                return "may show a face, and faces are only removed from volumes of CT and MR; decides for its series"
            case Doubt.FACE_VOLUME:
                return (
                    "may show a face, and is no volume that one can be removed from: too few slices, not parallel,"
                    " with gaps or without a place; decides for its series"
                )
            case Doubt.FACE_PLACE:
                return "may show a face, and no head was found in the volume surely enough; decides for its series"
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Found:
    """Text, or what may be text, on a frame.

    Attributes:
        frame: counted from 1.
        sure: the reader has no doubt.
    """

    frame: int
    box: Box
    sure: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about the pixels of an instance.

    Attributes:
        released: it may leave; otherwise it may not.
        masks: what is masked in every frame before it leaves.
    """

    released: bool
    masks: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A picture that a person has to look at.

    Attributes:
        digest: names its pixels: a decision is about them, whatever job asks.
        grounds: what made it suspect.
        found: text, and what may be text.
    """

    digest: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    rows: int
    columns: int
    frames: int
    doubt: Doubt
    grounds: tuple[Ground, ...]
    found: tuple[Found, ...] = ()

    def shows(self, digest: str) -> bool:
        """Whether it is about the pixels of this digest, or about a series that they stand for."""
        return self.digest == digest or self.digest.startswith(f"{_SERIES}{digest}-")


_SERIES = "series-"


def series_digest(shown: str, digests: Iterable[str]) -> str:
    """Names the pixels of a whole series.

    Args:
        shown: the digest of the instance that a person is shown of it.
        digests: those of all of its instances.
    """
    return f"{_SERIES}{shown}-{hashlib.sha256(' '.join(sorted(digests)).encode()).hexdigest()}"


def covering(found: Sequence[Found]) -> tuple[Box, ...]:
    """The boxes of what was found, in whatever frame, each once."""
    return tuple(dict.fromkeys(one.box for one in found))
