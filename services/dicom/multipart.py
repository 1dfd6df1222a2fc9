"""`multipart/related` as DICOMweb uses it (PS3.18 8.6.1.2, RFC 2046, RFC 2387): an incremental reader, and a writer.

Sans-I/O: bytes go in as they come, events come out; memory stays at one chunk, however large a part is. Tolerant of
what viewers send: a CRLF before the first boundary, none after the last one, a `type` without quotation marks.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

_MAX_BOUNDARY: Final = 70
_PADDING: Final = b" \t"
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))\s*')
_MEDIA_TYPE: Final = re.compile(r"\s*([^\s/;,]+/[^\s/;,]+)\s*")


class MultipartReason(StrEnum):
    """Why a body cannot be read: a closed list with fixed sentences."""

    BAD_CONTENT_TYPE = "bad-content-type"
    NOT_MULTIPART = "not-multipart"
    WRONG_TYPE = "wrong-type"
    NO_BOUNDARY = "no-boundary"
    UNFINISHED = "unfinished"
    NO_PARTS = "no-parts"
    HEADERS_TOO_LARGE = "headers-too-large"
    BAD_HEADER = "bad-header"

    @property
    def text(self) -> str:
        """One sentence for a person."""
        return _TEXT[self]


_TEXT: Final[dict[MultipartReason, str]] = {
    MultipartReason.BAD_CONTENT_TYPE: "The Content-Type cannot be read.",
    MultipartReason.NOT_MULTIPART: "The Content-Type is not multipart/related.",
    MultipartReason.WRONG_TYPE: "The type parameter of the Content-Type names another type than this resource takes.",
    MultipartReason.NO_BOUNDARY: "The Content-Type has no boundary, or one that is not legal.",
    MultipartReason.UNFINISHED: "The body ends before its closing boundary.",
    MultipartReason.NO_PARTS: "The body has no parts.",
    MultipartReason.HEADERS_TOO_LARGE: "The headers of a part are too large.",
    MultipartReason.BAD_HEADER: "A header line of a part cannot be read.",
}


class MultipartError(Exception):
    """A body or a Content-Type that cannot be read; its text is fixed by the reason."""

    def __init__(self, reason: MultipartReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in lower case, and its parameters by lower-case name."""

    media_type: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins; `headers` by lower-case name."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is whole."""


Event = PartBegin | PartData | PartEnd


def parse_content_type(value: str) -> ContentType:
    """Reads a Content-Type, or one element of an Accept header, with quoted and unquoted parameters.

    Raises:
        MultipartError: it is not a media type with parameters.
    """
    start = _MEDIA_TYPE.match(value)
    if start is None:
        raise MultipartError(MultipartReason.BAD_CONTENT_TYPE)
    parameters: dict[str, str] = {}
    position = start.end()
    while position < len(value) and value[position:].strip(" ;"):
        found = _PARAMETER.match(value, position)
        if found is None:
            raise MultipartError(MultipartReason.BAD_CONTENT_TYPE)
        quoted, plain = found[2], found[3]
        text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip()
        parameters.setdefault(found[1].lower(), text)
        position = found.end()
    return ContentType(start[1].lower(), parameters)


def multipart_boundary(content_type: str, expected_type: str = "application/dicom") -> str:
    """Gives the boundary of a `multipart/related` body.

    Args:
        content_type: the header's value.
        expected_type: what its `type` parameter must say, if it says anything.

    Raises:
        MultipartError: it is another type, or has no legal boundary.
    """
    parsed = parse_content_type(content_type)
    if parsed.media_type != "multipart/related":
        raise MultipartError(MultipartReason.NOT_MULTIPART)
    if parsed.parameters.get("type", expected_type).lower() != expected_type:
        raise MultipartError(MultipartReason.WRONG_TYPE)
    boundary = parsed.parameters.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise MultipartError(MultipartReason.NO_BOUNDARY)
    return boundary


class _State(Enum):
    PREAMBLE = auto()
    BOUNDARY_LINE = auto()
    HEADERS = auto()
    BODY_START = auto()
    BODY = auto()
    DONE = auto()


class MultipartParser:
    """Reads a body piece by piece.

    Args:
        boundary: without the leading hyphens.
        max_header_bytes: of one part.
    """

    def __init__(self, boundary: str, max_header_bytes: int = 16384) -> None:
        self._dash = b"--" + boundary.encode("latin_1")
        self._delimiter = b"\r\n" + self._dash
        self._max_header_bytes = max_header_bytes
        self._buffer = b"\r\n"  # as if a line ended before the first boundary
        self._at = 0  # what lies before it has been read
        self._skip = 0  # so many bytes from there are no delimiter, though they look like one
        self._mark = 0  # length of the delimiter whose line is being read
        self._state = _State.PREAMBLE
        self._came_from = _State.PREAMBLE
        self._parts = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Takes the next bytes, gives what they complete.

        Raises:
            MultipartError: the headers of a part are too large or cannot be read.
        """
        self._buffer = self._buffer + chunk if self._buffer else chunk
        events: list[Event] = []
        while self._step(events):
            pass
        self._buffer, self._at = self._buffer[self._at :], 0
        return events

    def close(self) -> list[Event]:
        """Says that the body has ended.

        Raises:
            MultipartError: in the middle of a part, or without any.
        """
        if self._state is not _State.DONE:
            untouched = self._state is _State.PREAMBLE and not self._buffer.strip()
            raise MultipartError(MultipartReason.NO_PARTS if untouched else MultipartReason.UNFINISHED)
        if self._parts == 0:
            raise MultipartError(MultipartReason.NO_PARTS)
        return []

    def _step(self, events: list[Event]) -> bool:
        """Does one transition; False when more bytes are needed."""
        match self._state:
            case _State.PREAMBLE | _State.BODY:
                return self._until_delimiter(events)
            case _State.BOUNDARY_LINE:
                return self._boundary_line(events)
            case _State.HEADERS:
                return self._headers(events)
            case _State.BODY_START:
                return self._body_start()
            case _State.DONE:
                self._at = len(self._buffer)  # an epilogue says nothing (RFC 2046 5.1.1)
                return False

    def _until_delimiter(self, events: list[Event]) -> bool:
        found = self._buffer.find(self._delimiter, self._at + self._skip)
        end = found if found >= 0 else max(self._at, len(self._buffer) - len(self._delimiter) + 1)
        # A delimiter that turned out to be data goes out with what follows.
        if end > self._at and self._state is _State.BODY:
            events.append(PartData(self._buffer[self._at : end]))
        self._at, self._skip = end, 0
        if found < 0:
            return False
        self._came_from, self._mark = self._state, len(self._delimiter)
        self._state = _State.BOUNDARY_LINE
        return True

    def _boundary_line(self, events: list[Event]) -> bool:
        """Looks at what follows a delimiter: `--` closes the body, an empty rest of the line begins a part."""
        start = self._at + self._mark
        rest = self._buffer[start : start + self._max_header_bytes]
        if rest.startswith(b"--"):
            self._end_part(events)
            self._state = _State.DONE
            return True
        line = rest.lstrip(_PADDING)
        if line.startswith(b"\r\n"):
            self._end_part(events)
            self._at = start + len(rest) - len(line) + 2
            self._state = _State.HEADERS
            return True
        if rest in (b"", b"-") or (line in (b"", b"\r") and len(rest) < self._max_header_bytes):
            return False
        # A longer line that only begins like the boundary: content.
        self._state = self._came_from
        self._skip = self._mark
        return True

    def _end_part(self, events: list[Event]) -> None:
        if self._came_from is _State.BODY:
            events.append(PartEnd())

    def _headers(self, events: list[Event]) -> bool:
        if self._buffer.startswith(b"\r\n", self._at):
            end, after = self._at, self._at + 2
        else:
            end = self._buffer.find(b"\r\n\r\n", self._at, self._at + self._max_header_bytes)
            after = end + 4
        if end < 0:
            if len(self._buffer) - self._at >= self._max_header_bytes:
                raise MultipartError(MultipartReason.HEADERS_TOO_LARGE)
            return False
        headers = _parse_headers(self._buffer[self._at : end])
        self._at = after
        self._parts += 1
        events.append(PartBegin(headers))
        self._state = _State.BODY_START
        return True

    def _body_start(self) -> bool:
        """An empty part may lend its blank line to the delimiter."""
        head = self._buffer[self._at : self._at + len(self._dash)]
        if len(head) < len(self._dash) and self._dash.startswith(head):
            return False
        self._state = _State.BODY
        if head == self._dash:
            self._came_from, self._mark = _State.BODY, len(self._dash)
            self._state = _State.BOUNDARY_LINE
        return True


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    unfolded = re.sub(r"\r\n[ \t]+", " ", block.decode("latin_1"))
    for line in filter(None, unfolded.split("\r\n")):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise MultipartError(MultipartReason.BAD_HEADER)
        headers.setdefault(name.strip().lower(), value.strip())
    return headers


def new_boundary() -> str:
    """Makes a boundary that no content has: 128 random bits."""
    return f"plexus-{secrets.token_hex(16)}"


def part_head(boundary: str, content_type: str, **headers: str) -> bytes:
    """Writes what goes before a part's content.

    Args:
        boundary: of the body.
        content_type: of the part.
        headers: more of them; `content_location="..."` becomes Content-Location.
    """
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin_1")


PART_TAIL: Final = b"\r\n"
"""What goes after a part's content."""


def closing(boundary: str) -> bytes:
    """Writes the end of the body."""
    return f"--{boundary}--\r\n".encode("latin_1")


def related(part_type: str, boundary: str) -> str:
    """Gives the Content-Type of a whole body whose parts are of `part_type`."""
    return f'multipart/related; type="{part_type}"; boundary={boundary}'
