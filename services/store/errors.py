"""What may go wrong behind the door. No message names an instance.

PassingFault
├── ObjectsUnavailable   the disk is full, or the object store is away
└── IndexUnavailable     PostgreSQL is away
PermanentFault
├── ObjectMissing        the index names an object that is not there: an operator has to look
└── ObjectsAddress       the setting names no place that we can open
"""

from __future__ import annotations

from services.chassis.faults import PassingFault, PermanentFault


class ObjectsUnavailable(PassingFault):
    """The object store cannot take or give bytes now."""

    def __init__(self, kind: str) -> None:
        super().__init__("objects-unavailable", f"the object store cannot be used now ({kind})")


class IndexUnavailable(PassingFault):
    """The index cannot be used now."""

    def __init__(self, kind: str) -> None:
        super().__init__("index-unavailable", f"the index cannot be used now ({kind})")


class ObjectMissing(PermanentFault):
    """The object store does not have what the index says it has."""

    def __init__(self) -> None:
        super().__init__("object-missing", "the stored bytes of this instance are not where the index says they are")


class ObjectsAddress(PermanentFault):
    """The address of the object store cannot be opened."""

    def __init__(self) -> None:
        super().__init__("objects-address", "OBJECTS_URL has to be file:// with an absolute path")
