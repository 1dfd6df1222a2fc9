"""How the command line shows rows: without lines, headings dim."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table


def plain(*headings: str, right: Collection[str] = (), whole: Collection[str] = ()) -> Table:
    """A table with these columns.

    Args:
        headings: of the columns; more may be added.
        right: those whose cells end at the right.
        whole: those that are not broken into lines.
    """
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", no_wrap=heading in whole)
    return made
