"""The decision about a picture: it passes as it is, it passes with masks, or a person has to look at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from services.anonymise.burned_in.devices import DeviceRule
from services.anonymise.burned_in.evidence import Evidence, evidence_of, text_of
from services.anonymise.burned_in.masking import covered
from services.anonymise.burned_in.model import Box, Decision, Doubt, Finding, Found, Ground
from services.anonymise.burned_in.picture import Picture, picture_of, with_pixels
from services.anonymise.burned_in.question import Answer
from services.anonymise.burned_in.work import Refusal, Work, WorkRefused
from services.anonymise.engine.deidentifying import Seen
from services.anonymise.engine.elements import File
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Profile
from services.anonymise.errors import DoubtfulPixelsError, Reason, RefusedError
from services.anonymise.ports import PixelWorkers
from services.pixels.errors import NotDescribed

_STUDY, _SERIES, _INSTANCE = 0x0020000D, 0x0020000E, 0x00080018

_KNOWN = 0.6
"""The reader need not be sure of what lies where it is sure of text in another frame."""

Decided = Callable[[str], Decision | None]
"""What a person has decided about pixels of this digest, if anything; asked from a thread."""


class BurnedIn:
    """A cleaner of pixels, as `services.anonymise.engine.deidentifying.PixelCleaner` wants it."""

    def __init__(self, *, rules: Sequence[DeviceRule], workers: PixelWorkers, decided: Decided) -> None:
        self._rules = rules
        self._workers = workers
        self._decided = decided

    def __call__(self, file: File, profile: Profile) -> Seen:
        """The instance with pixels that show no text.

        Raises:
            DoubtfulPixelsError: a person has to look at it.
            RefusedError: a person did, and refused it; or its pixels are none.
        """
        evidence = evidence_of(file, self._rules, asked=Option.CLEAN_PIXEL_DATA in profile.options)
        if not evidence.grounds:
            return Seen(file, frozenset())
        try:
            picture = picture_of(file)
        except NotDescribed:
            raise RefusedError(Reason.PIXEL_DATA) from None
        if picture is None:
            return Seen(file, frozenset())
        decision = self._decided(picture.digest)
        if decision is None:
            answer = self._examined(picture, evidence, file)
        elif decision.released:
            answer = masked_by(self._workers, picture, (*evidence.masks, *decision.masks))
        else:
            raise RefusedError(Reason.REFUSED_BY_PERSON)
        return Seen(with_pixels(file, answer), frozenset((Option.CLEAN_PIXEL_DATA,)))

    def _examined(self, picture: Picture, evidence: Evidence, file: File) -> Answer:
        try:
            asked = picture.question(evidence.masks, read=True)
            answer = Answer.unpacked(self._workers.ask(Work.EXAMINE, asked.packed(), picture.data))
        except WorkRefused as refused:
            raise DoubtfulPixelsError(finding_of(file, picture, evidence.grounds, doubt_of(refused.refusal))) from None
        doubt = _doubt(answer, evidence)
        if doubt is not None:
            raise DoubtfulPixelsError(finding_of(file, picture, evidence.grounds, doubt, answer.found))
        return answer


def masked_by(workers: PixelWorkers, picture: Picture, masks: Sequence[Box]) -> Answer:
    """A picture with masks, unread.

    Raises:
        RefusedError: it cannot be decoded.
    """
    if not masks:
        return Answer(())
    try:
        asked = picture.question(masks, read=False)
        return Answer.unpacked(workers.ask(Work.EXAMINE, asked.packed(), picture.data))
    except WorkRefused:
        raise RefusedError(Reason.NOT_MASKABLE) from None


def _doubt(answer: Answer, evidence: Evidence) -> Doubt | None:
    """Why what the reader found is not enough to let the picture out."""
    if answer.left:
        return Doubt.LEFT
    if Ground.SCANNED in evidence.grounds:
        return Doubt.SCANNED
    sure = [one.box for one in answer.found if one.sure]
    if any(covered(one.box, sure) < _KNOWN for one in answer.found if not one.sure):
        return Doubt.UNSURE
    if Ground.SAID in evidence.grounds and not answer.found and not evidence.masks:
        return Doubt.SAID
    return None


def doubt_of(refusal: Refusal) -> Doubt:
    """Why a person has to look at what a worker did not."""
    match refusal:
        case Refusal.UNREADABLE:
            return Doubt.UNREADABLE
        case Refusal.TOO_LARGE:
            return Doubt.TOO_MUCH
        case Refusal.NO_READER:
            return Doubt.NO_READER
        case Refusal.LOST:
            return Doubt.LOST
        case _:
            assert_never(refusal)


def finding_of(
    file: File, picture: Picture, grounds: tuple[Ground, ...], doubt: Doubt, found: Sequence[Found] = ()
) -> Finding:
    """What a person is told of a picture."""
    root = {element.tag: element for element in file.elements}
    study, series, instance = (text_of(root.get(tag)) for tag in (_STUDY, _SERIES, _INSTANCE))
    return Finding(
        digest=picture.digest,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
        rows=picture.description.rows,
        columns=picture.description.columns,
        frames=picture.frames,
        doubt=doubt,
        grounds=grounds,
        found=tuple(found),
    )
