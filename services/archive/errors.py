"""What the archive refuses or cannot do. No message holds a UID or a query value.

PassingFault
├── DatabaseUnavailable       the prepared metadata cannot be reached (the index has its own, services.store.errors)
└── PixelsBusy                no worker is free for pixels; 503
PermanentFault
├── NotFound
│   ├── NoSuchStudy
│   ├── NoSuchSeries
│   ├── NoSuchInstance
│   ├── NoSuchFrame
│   ├── NoSuchBulkData
│   └── NoSuchPixelData
├── IllegalUid                a UID in the path is none
├── InvalidQuery              a key's or parameter's value is not valid; names the key
├── InvalidFrames             the frame list of the path is none
├── TooManyInstances          a retrieval names more than its counts can tell
├── NotAcceptable             406; says what would do
├── NotDecodable              406; the pixels cannot be decoded to what is asked for
├── TooMuch                   406; the pixels need more memory than one request may have
├── NotRenderable             406; this cannot be shown as an image
├── NotWritable               406; no font here has all the letters of the annotation
└── UnreadableFact            a message is not the event that its subject promises
"""

from __future__ import annotations

from collections.abc import Iterable

from services.chassis.faults import Fault, PassingFault, PermanentFault


class DatabaseUnavailable(PassingFault):
    """PostgreSQL does not answer now."""

    def __init__(self) -> None:
        super().__init__("database-unavailable", "the archive's database does not answer")


class PixelsBusy(PassingFault):
    """All workers have more to do than they get done."""

    def __init__(self) -> None:
        super().__init__("pixels-busy", "too many images are being made now; ask again")


class NotFound(PermanentFault):
    """What the path names is not here."""


class NoSuchStudy(NotFound):
    """There is no such study."""

    def __init__(self) -> None:
        super().__init__("no-such-study", "there is no such study")


class NoSuchSeries(NotFound):
    """There is no such series."""

    def __init__(self) -> None:
        super().__init__("no-such-series", "there is no such series in this study")


class NoSuchInstance(NotFound):
    """There is no such instance."""

    def __init__(self) -> None:
        super().__init__("no-such-instance", "there is no such instance in this series")


class NoSuchFrame(NotFound):
    """The instance has fewer frames, or none that can be told apart."""

    def __init__(self) -> None:
        super().__init__("no-such-frame", "the instance has no frame of this number")


class NoSuchBulkData(NotFound):
    """The instance has no bulk data under this path."""

    def __init__(self) -> None:
        super().__init__("no-such-bulkdata", "the instance has no bulk data at this path")


class NoSuchPixelData(NotFound):
    """Nothing of what the path names has pixels."""

    def __init__(self) -> None:
        super().__init__("no-pixel-data", "there is no pixel data in what the path names")


class IllegalUid(PermanentFault):
    """A UID in the path is not one."""

    def __init__(self) -> None:
        super().__init__("illegal-uid", "a UID in the path is not a legal UID")


class InvalidQuery(PermanentFault):
    """The value of a query key or parameter is not valid."""

    def __init__(self, key: str) -> None:
        super().__init__("invalid-query", f"the value of the query key {key} is not valid")


class InvalidFrames(PermanentFault):
    """The frame list is not one."""

    def __init__(self) -> None:
        super().__init__("invalid-frames", "frames are asked for by numbers from 1, with commas between")


class TooManyInstances(PermanentFault):
    """A retrieval names more instances than its counts can tell (PS3.7 9.1.4)."""

    def __init__(self) -> None:
        super().__init__("too-many-instances", "a retrieval can count 65535 instances at most")


class NotAcceptable(PermanentFault):
    """Nothing that the client accepts can be given."""

    def __init__(self, possible: Iterable[str]) -> None:
        super().__init__("not-acceptable", f"this can be had as: {', '.join(possible)}")


class NotDecodable(PermanentFault):
    """The pixels cannot be decoded into what the client wants."""

    def __init__(self) -> None:
        super().__init__("not-decodable", "these pixels cannot be decoded here; ask for transfer-syntax=* (as stored)")


class TooMuch(PermanentFault):
    """The pixels would need more memory than one request may have."""

    def __init__(self) -> None:
        super().__init__("too-much", "these pixels are more than can be decoded at a time; retrieve them as stored")


class NotRenderable(PermanentFault):
    """What the path names is no image, or none that can be drawn here."""

    def __init__(self) -> None:
        super().__init__("not-renderable", "this cannot be shown as an image here; retrieve it as stored")


class NotWritable(PermanentFault):
    """The patient's name, or another text of the annotation, has letters that no font here has."""

    def __init__(self) -> None:
        super().__init__(
            "not-writable", "the annotation has letters that no font of this archive has; ask without annotation"
        )


class UnreadableFact(PermanentFault):
    """The bytes are not the event that the subject promises."""

    def __init__(self) -> None:
        super().__init__("unreadable-event", "a message is not the event that its subject promises")


def http_status(fault: Fault) -> int:
    """The HTTP status of a fault."""
    match fault:
        case NotFound():
            return 404
        case NotAcceptable() | NotDecodable() | TooMuch() | NotRenderable() | NotWritable():
            return 406
        case IllegalUid() | InvalidQuery() | InvalidFrames():
            return 400
        case PassingFault():
            return 503
        case _:
            return 500
