"""What encode counts, as OpenTelemetry instruments."""

from __future__ import annotations

from opentelemetry import metrics

from services.contracts.events import LeftOut


class Tally:
    """The counts of this process. No label holds more than a closed word."""

    def __init__(self) -> None:
        self._left_out = metrics.get_meter("plexus").create_counter(
            "plexus_encode_left_out", description="Result objects that were asked for and left out, by kind and reason"
        )

    def left_out(self, one: LeftOut) -> None:
        """Count an object that could not be made."""
        self._left_out.add(1, {"kind": one.kind, "code": one.reason_code})
