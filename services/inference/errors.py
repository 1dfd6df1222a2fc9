"""What may go wrong here. Every text is fixed but for counts, sizes and the names of models, so none can hold PHI.

PassingFault
├── WorkUnavailable     the work store does not answer
├── TritonUnavailable   Triton does not answer, or the model's process has just died
├── RemoteAway          a remote server does not answer now; it is asked again at once
├── ModelNotLoaded      Triton does not serve the version now; the catalogue loads what is in use
└── ShadowDeferred      a candidate's run waits for its turn, and this process ends
PermanentFault
├── CardUnusable        the card of the version cannot be used
├── EventUnreadable     the bytes on a subject are no such event, or name impossible things
├── ModelUnknown        no card of this name and version
├── InputDamaged        the released input is not whole
├── NotAVolume          the series does not make a volume; the code is one of `Refusal`
├── NotAPicture         the series is not the image or the loop that the model takes; the code is one of `Refusal`
├── PixelsUnreadable    an instance cannot be decoded
├── ModelFailed         the model threw; its own words, cut short
├── RemoteNotAllowed    the model is run by a server to which this site sends nothing
├── RemoteUnavailable   a remote server did not answer, as often as it was asked
├── ModelTooSlow        no answer within the card's time
├── OutputMismatch      the model's answer is not what its card promises
└── NotComparable       a candidate's answer cannot be laid beside the job's result
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from services.chassis.faults import PassingFault, PermanentFault

_WORDS_OF_A_MODEL = 300


class WorkUnavailable(PassingFault):
    """The work store does not answer."""

    def __init__(self, error: str) -> None:
        super().__init__("work-unavailable", f"the work store does not answer ({error})")


class TritonUnavailable(PassingFault):
    """Triton does not answer, or not now."""

    def __init__(self, why: str) -> None:
        super().__init__("triton-unavailable", f"the inference server cannot run the model now ({why})")


class ModelNotLoaded(PassingFault):
    """Triton does not serve the version: it was started again a moment ago, or the version is long out of use."""

    def __init__(self, model: str, version: str) -> None:
        super().__init__("model-not-loaded", f"Triton does not serve {model} {version} now; see plexus model versions")


class CardUnusable(PermanentFault):
    """The card of a version cannot be used."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__("card-unusable", f"the package of the model {model} cannot be used: {why}")


class EventUnreadable(PermanentFault):
    """A message on a subject that is none of that subject."""

    def __init__(self, subject: str = "job.released") -> None:
        super().__init__("event-unreadable", f"a message on {subject} is not such an event")


class ModelUnknown(PermanentFault):
    """The job asks for a model that is not here."""

    def __init__(self, model: str, version: str) -> None:
        super().__init__("model-unknown", f"the model {model} {version} is not served here")


class InputDamaged(PermanentFault):
    """The released input is not whole."""

    def __init__(self, why: str) -> None:
        super().__init__("input-damaged", f"the released input {why}; run the job again")


class Refusal(StrEnum):
    """Why a series is not what a model takes."""

    TOO_FEW = "too-few-slices"
    TOO_LARGE = "volume-too-large"
    SEVERAL_SERIES = "several-series"
    MULTI_FRAME = "multi-frame"
    COLOUR = "colour"
    GREY = "grey"
    NO_PIXELS = "no-pixels"
    NO_GEOMETRY = "no-geometry"
    NO_RESCALE = "no-rescale"
    NOT_HOUNSFIELD = "not-hounsfield"
    NOT_SUV = "not-suv"
    SEVERAL_IMAGES = "several-images"
    NOT_MULTI_FRAME = "not-multi-frame"
    MIXED_SIZE = "mixed-size"
    MIXED_PIXEL_SPACING = "mixed-pixel-spacing"
    MIXED_ORIENTATION = "mixed-orientation"
    DUPLICATE_POSITIONS = "duplicate-positions"
    MISSING_SLICES = "missing-slices"
    UNEVEN_SPACING = "uneven-spacing"
    SHEARED = "sheared"


_WHAT_TO_DO: Mapping[Refusal, str] = {
    Refusal.TOO_FEW: "send the whole series",
    Refusal.TOO_LARGE: "send a smaller one, or raise PLEXUS_INFERENCE_VOLUME_MAX_BYTES",
    Refusal.SEVERAL_SERIES: "run the model on one series",
    Refusal.MULTI_FRAME: "send slices, or an enhanced object that places each frame",
    Refusal.COLOUR: "send the original in grey values, or run a model that takes colour",
    Refusal.GREY: "run a model that takes grey values",
    Refusal.NO_PIXELS: "send the images themselves",
    Refusal.NO_GEOMETRY: "send the original slices, which say where they lie",
    Refusal.NO_RESCALE: "send the original with Rescale Slope and Rescale Intercept",
    Refusal.NOT_HOUNSFIELD: "run the model on a CT in Hounsfield units",
    Refusal.NOT_SUV: "send the series that the scanner or the workstation has normalised by body weight",
    Refusal.SEVERAL_IMAGES: "run the model on a series of a single image",
    Refusal.NOT_MULTI_FRAME: "run the model on a loop",
    Refusal.MIXED_SIZE: "send each stack as a series of its own",
    Refusal.MIXED_PIXEL_SPACING: "send each stack as a series of its own",
    Refusal.MIXED_ORIENTATION: "send each stack as a series of its own, without the localizers",
    Refusal.DUPLICATE_POSITIONS: "send each time point or reconstruction as a series of its own",
    Refusal.MISSING_SLICES: "send what is missing, and the job is made anew by itself",
    Refusal.UNEVEN_SPACING: "send a reconstruction with even steps",
    Refusal.SHEARED: "send a reconstruction that is not tilted",
}


def _with_advice(refusal: Refusal, why: str) -> str:
    advice = _WHAT_TO_DO.get(refusal)
    return f"{why}; {advice}" if advice else why


class NotAVolume(PermanentFault):
    """The series does not make a volume."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(refusal.value, f"the series is not a volume: {_with_advice(refusal, why)}")
        self.refusal = refusal
        self.why = why


class NotAPicture(PermanentFault):
    """The series is not the image, or the loop, that the model takes."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(refusal.value, f"the series is not what the model takes: {_with_advice(refusal, why)}")
        self.refusal = refusal
        self.why = why


class PixelsUnreadable(PermanentFault):
    """An instance cannot be decoded."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        super().__init__(
            "pixels-unreadable",
            f"the pixels of an instance cannot be decoded (transfer syntax {transfer_syntax_uid}); "
            "send the series once more, uncompressed",
        )


class ModelFailed(PermanentFault):
    """The model threw."""

    def __init__(self, model: str, words: str) -> None:
        # The model has seen de-identified pixels and geometry only, so its words may be shown.
        short = " ".join(words.split())
        short = short if len(short) <= _WORDS_OF_A_MODEL else short[: _WORDS_OF_A_MODEL - 1] + "…"
        super().__init__("model-failed", f"the model {model} failed: {short or 'it gave no reason'}")


class RemoteAway(PassingFault):
    """A remote server does not answer now."""

    def __init__(self) -> None:
        super().__init__("remote-away", "the remote server of a model does not answer now")


class RemoteNotAllowed(PermanentFault):
    """The site has not named the server of a model."""

    def __init__(self, model: str, address: str) -> None:
        super().__init__(
            "remote-not-allowed",
            f"the model {model} is run by the server {address}, and this site sends nothing there: "
            "an operator has to name it in PLEXUS_INFERENCE_REMOTE_HOSTS",
        )


class RemoteUnavailable(PermanentFault):
    """A remote server did not answer, as often as the card lets us ask."""

    def __init__(self, model: str, address: str, attempts: int) -> None:
        super().__init__(
            "remote-unavailable",
            f"the server {address} of the model {model} did not answer in {attempts} attempts; retry the job later",
        )


class ModelTooSlow(PermanentFault):
    """No answer within the card's time."""

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(
            "model-too-slow", f"the model {model} gave no answer within {seconds:g} s, its card's timeout_seconds"
        )


class OutputMismatch(PermanentFault):
    """The model's answer is not what its card promises."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(
            "output-mismatch",
            f"the answer of the model {model} does not fit its card, which its author must mend: {why}",
        )


class ShadowDeferred(PassingFault):
    """The process ends while a candidate waits for a quiet time, or runs in one."""

    def __init__(self) -> None:
        super().__init__("shadow-deferred", "the candidate's run is left to the next process")


class NotComparable(PermanentFault):
    """The answers of two versions cannot be compared."""

    def __init__(self, why: str) -> None:
        super().__init__("not-comparable", f"the versions cannot be compared: {why}")
