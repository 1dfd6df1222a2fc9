"""What a package cannot do, in words for whoever reads the failed job."""

from __future__ import annotations

STOPPED = "it was stopped: nobody waits for the answer any more"


class Refused(Exception):
    """The input or the package is not as it must be; the text names what to do."""
