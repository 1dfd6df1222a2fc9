"""What may go wrong here. Every text is fixed but for counts and type names, so none can hold PHI.

PassingFault
├── WorkUnavailable     the work store does not answer
└── StoreUnavailable    ingest could not keep a result now
PermanentFault
├── KeyUnusable         the key file is missing, short, or readable by others (at the start)
├── EventUnreadable     the bytes on `job.inferred` are no such event, or name impossible things
├── ResultMissing       the event names a result that is not in the work store
├── ResultDamaged       it is not the result that the event tells of, or no result at all
├── CardMismatch        the result and its model card contradict one another
├── JobUnknown          anonymise never released this job
├── SourceGone          the archive no longer has every source instance
├── SourceUnusable      the source headers cannot carry a result
├── EncodingFailed      the objects cannot be built
├── OptionsUnusable     the card wants a kind as it cannot be
├── NotCarried          a source of this kind carries no such object
└── StoreRefused        ingest does not take a result
"""

from __future__ import annotations

from services.chassis.faults import PassingFault, PermanentFault


class WorkUnavailable(PassingFault):
    """The work store does not answer."""

    def __init__(self, error: str) -> None:
        super().__init__("work-unavailable", f"the work store does not answer ({error})")


class StoreUnavailable(PassingFault):
    """Ingest could not keep a result now."""

    def __init__(self) -> None:
        super().__init__("store-unavailable", "the front door cannot keep results now")


class KeyUnusable(PermanentFault):
    """The key file cannot be used."""

    def __init__(self, why: str) -> None:
        super().__init__("key-unusable", f"the key file of PLEXUS_ENCODE_KEY_FILE {why}")


class EventUnreadable(PermanentFault):
    """A message on `job.inferred` that is none."""

    def __init__(self) -> None:
        super().__init__("event-unreadable", "a message on job.inferred is not such an event")


class ResultMissing(PermanentFault):
    """The result is not where the event says."""

    def __init__(self) -> None:
        super().__init__("result-missing", "the model's result is not in the work store; run the job again")


class ResultDamaged(PermanentFault):
    """The result cannot be read, or is another one."""

    def __init__(self, why: str) -> None:
        super().__init__("result-damaged", f"the model's result {why}; run the job again")


class CardMismatch(PermanentFault):
    """The model did not do what its card says."""

    def __init__(self, why: str) -> None:
        super().__init__("card-mismatch", f"the model's result does not fit its card: {why}")


class JobUnknown(PermanentFault):
    """No way back from pseudonyms."""

    def __init__(self) -> None:
        super().__init__("job-unknown", "the job was never released, so its result belongs to no known study")


class SourceGone(PermanentFault):
    """Source instances are no longer there."""

    def __init__(self, missing: int, total: int) -> None:
        super().__init__("source-gone", f"{missing} of {total} source instances are no longer in the archive")


class SourceUnusable(PermanentFault):
    """The source headers cannot carry a result."""

    def __init__(self, why: str) -> None:
        super().__init__("source-unusable", f"the source instances {why}")


class EncodingFailed(PermanentFault):
    """The objects cannot be built from this result and these headers."""

    def __init__(self, kind: str, error: str) -> None:
        super().__init__("encoding-failed", f"the {kind} cannot be built from this result and these headers ({error})")


class NotCarried(PermanentFault):
    """A source of this kind carries no such object, whatever the result is."""

    def __init__(self, kind: str, source: str) -> None:
        super().__init__("not-carried", f"{source} cannot carry a {kind}, so there is none")


class OptionsUnusable(PermanentFault):
    """The card's options of a kind cannot be. They came across the airlock: no word of them is told."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            "options-unusable",
            f"the card's options of its {kind} cannot be; plexus model check names them",
        )


class StoreRefused(PermanentFault):
    """Ingest found a fault in a result of ours."""

    def __init__(self, kind: str, code: str) -> None:
        super().__init__("store-refused", f"the front door refused the {kind} ({code})")
