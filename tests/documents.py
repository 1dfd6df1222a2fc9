"""The examples that the documents print."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples(page: str, naming: str) -> list[str]:
    """The fenced blocks of a page, from the root of the repository, that name something."""
    return [block for block in _FENCED.findall((_ROOT / page).read_text()) if naming in block]
