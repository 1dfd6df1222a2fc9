"""What the bridge counts, as OpenTelemetry instruments."""

from __future__ import annotations

from opentelemetry import metrics

from services.bridge.model import Outcome, Rejection


class Tally:
    """Counts of this process. No label holds more than a closed word."""

    def __init__(self) -> None:
        meter = metrics.get_meter("plexus")
        self._open = meter.create_up_down_counter(
            "plexus_bridge_associations_open", description="Associations that are open now"
        )
        self._associations = meter.create_counter(
            "plexus_bridge_associations", description="Associations that were asked for, by outcome"
        )
        self._bytes = meter.create_counter("plexus_bridge_received", "By", "Bytes of data sets received, by outcome")
        self._seconds = meter.create_histogram(
            "plexus_bridge_store_seconds", "s", "From the first byte of an instance to its answer, by outcome"
        )

    def opened(self) -> None:
        """An association was opened."""
        self._open.add(1)
        self._associations.add(1, {"outcome": "accepted"})

    def closed(self) -> None:
        """An association has ended."""
        self._open.add(-1)

    def rejected(self, reason: Rejection) -> None:
        """An association was not accepted."""
        self._associations.add(1, {"outcome": reason.value})

    def instance(self, outcome: Outcome, size: int, seconds: float) -> None:
        """An instance of `size` bytes took `seconds`, from its first byte to the answer."""
        self._bytes.add(size, {"outcome": outcome.value})
        self._seconds.record(seconds, {"outcome": outcome.value})


class RequestTally:
    """`Requests` by OpenTelemetry."""

    def __init__(self) -> None:
        self._seconds = metrics.get_meter("plexus").create_histogram(
            "plexus_bridge_request_seconds", "s", "From a request to its last response, by operation and status"
        )

    def answered(self, operation: str, status: str, seconds: float) -> None:
        """See `Requests.answered`."""
        self._seconds.record(seconds, {"operation": operation, "status": status})
