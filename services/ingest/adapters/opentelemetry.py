"""What ingest counts, as OpenTelemetry instruments."""

from __future__ import annotations

from opentelemetry import metrics

from services.ingest.model import Outcome


class Tally:
    """`ports.Tally` of this process. No label holds more than a closed word."""

    def __init__(self) -> None:
        meter = metrics.get_meter("plexus")
        self._seconds = meter.create_histogram(
            "plexus_ingest_store_seconds", "s", "From the last byte of an instance to its verdict, by outcome"
        )
        self._bytes = meter.create_counter("plexus_ingest_received", "By", "Bytes of instances, by outcome")
        self._settled = meter.create_counter("plexus_ingest_series_settled", description="Series that settled anew")

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        """See `ports.Tally.instance`."""
        self._seconds.record(seconds, {"outcome": outcome.value})
        self._bytes.add(size, {"outcome": outcome.value})

    def settled(self, instances: int) -> None:
        """See `ports.Tally.settled`."""
        self._settled.add(1)
