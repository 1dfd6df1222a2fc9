"""The table of transfer syntaxes and what is done with each: written from the tables that the code goes by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.dicom.transfer_syntaxes import ALL, TransferSyntax
from services.pixels.syntaxes import ABILITIES, Ability

HEADING: Final = (
    "| transfer syntax | UID | stored, returned untouched | one frame by one range read | decoded (bits allocated) "
    "| encoded on request (bits allocated) |"
)
_YES, _NO = "yes", "–"


def table() -> str:
    """Write the table as Markdown, a row for each transfer syntax that is stored."""
    return "\n".join((HEADING, "|---|---|---|---|---|---|", *map(_row, ALL))) + "\n"


def _row(syntax: TransferSyntax) -> str:
    ability = ABILITIES.get(syntax.uid)
    cells = (syntax.name, f"`{syntax.uid}`", _YES, _frames(syntax), _decoded(ability), _encoded(ability))
    return f"| {' | '.join(cells)} |"


def _frames(syntax: TransferSyntax) -> str:
    if syntax.video or "JPIP" in syntax.name:
        return _NO
    return "after inflating" if syntax.deflated else _YES


def _decoded(ability: Ability | None) -> str:
    if ability is None:
        return _NO
    return ", ".join(_depths(ability.decodes, floating=ability.floating))


def _encoded(ability: Ability | None) -> str:
    if ability is None or not ability.encodes:
        return _NO
    how = "; lossy: a derived image with its own UID" if ability.lossy else "; lossless"
    return ", ".join(_depths(ability.encodes, floating=ability.floating)) + how


def _depths(allocated: tuple[int, ...], *, floating: bool) -> Iterator[str]:
    yield from map(str, allocated)
    if floating:
        yield "float"
