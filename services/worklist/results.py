"""Series that a job of ours made: no model runs on them by itself, or results would bring results for ever."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_CONTRIBUTING_EQUIPMENT = "0018A001"
_DESCRIPTION = "0018A003"
_JOB = re.compile(r"\bJob ([0-9a-f]{32})\.")


def maker_of(attributes: Mapping[str, Any]) -> str:
    """The id of the job that says of itself to have made the series (PS3.3 C.12.1.1.5), or "".

    Args:
        attributes: of one of its instances, DICOM JSON.
    """
    for item in _values(attributes, _CONTRIBUTING_EQUIPMENT):
        for text in _values(item, _DESCRIPTION):
            if found := _JOB.search(str(text)):
                return found[1]
    return ""


def _values(attributes: Any, tag: str) -> list[Any]:
    element = attributes.get(tag) if isinstance(attributes, Mapping) else None
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []
