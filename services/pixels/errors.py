"""What codecs refuse. No message tells anything of the patient, and none repeats what was in a codestream."""

from __future__ import annotations

from typing import Final


class PixelError(ValueError):
    """Pixels cannot be handled; `code` is one closed word that may cross to another process.

    Attributes:
        code: what is wrong.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class NotDescribed(PixelError):
    """The data set does not say what its pixels are (PS3.3 C.7.6.3)."""

    def __init__(self) -> None:
        super().__init__("not-described", "the data set does not describe its pixels")


class Undecodable(PixelError):
    """The bytes of a frame are not what its data set promises, or no codec here reads them."""

    def __init__(self) -> None:
        super().__init__("undecodable", "the frame cannot be decoded")


class Unencodable(PixelError):
    """These pixels have no place in the transfer syntax that is wanted."""

    def __init__(self) -> None:
        super().__init__("unencodable", "the frame cannot be encoded in this transfer syntax")


class TooLarge(PixelError):
    """A frame would take more memory than one frame may."""

    def __init__(self) -> None:
        super().__init__("too-large", "the frame is larger than a frame may be here")


CODES: Final = ("not-described", "undecodable", "unencodable", "too-large")
