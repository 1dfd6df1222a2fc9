"""What is decided upon one data element."""

from __future__ import annotations

from services.anonymise.engine.attributes import STRINGS
from services.anonymise.engine.elements import Element
from services.anonymise.engine.options import Option
from services.anonymise.model import Action, Because

Decision = tuple[Action, Because | Option, bytes | None]
"""What is done, by which rule, and what is written; None for nothing."""


def removed(because: Because | Option) -> Decision:
    """The decision that nothing of it is written."""
    return Action.REMOVE, because, None


def may_stand(element: Element, vr: str) -> bool:
    """Whether bytes that the file has under another VR can be taken for `vr`."""
    if element.vr in ("", vr):
        return True
    if element.vr == "UN":  # always little endian (PS3.5 6.2.2)
        return vr in STRINGS or element.coding.order == "<"
    return element.vr in STRINGS and vr in STRINGS
