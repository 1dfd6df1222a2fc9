"""What a package cannot do, in words for whoever reads the failed job."""

from __future__ import annotations


class Refused(Exception):
    """The input or the package is not as it must be; the text names what to do."""
