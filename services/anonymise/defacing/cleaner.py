"""Series without faces: every instance is surveyed, one cut is found for all, and each instance is cut by it.

Of a series no more is kept than its frames in large pixels: nothing here holds a volume as it was sent.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

from services.anonymise.burned_in.cleaner import Decided, doubt_of, finding_of, masked_by
from services.anonymise.burned_in.model import Doubt, Finding, Ground, series_digest
from services.anonymise.burned_in.picture import RECOGNIZABLE_VISUAL_FEATURES, Picture, picture_of, with_pixels
from services.anonymise.burned_in.question import Answer
from services.anonymise.burned_in.work import Work, WorkRefused
from services.anonymise.defacing.asking import unpacked
from services.anonymise.defacing.placing import Frame, NotPlaced, frames_of
from services.anonymise.defacing.region import Shows, is_ct, shows
from services.anonymise.engine.deidentifying import PixelCleaner, Seen, Surveyed
from services.anonymise.engine.elements import File
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Profile
from services.anonymise.errors import DoubtfulPixelsError, Reason, RefusedError
from services.anonymise.ports import PixelWorkers
from services.pixels.errors import NotDescribed
from services.pixels.faces import Coarse, Cut, NoFace, face_of
from services.pixels.faces import Doubt as Unfound

_DONE = frozenset((Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES,))


@dataclass(frozen=True, slots=True)
class Survey:
    """What one instance shows.

    Attributes:
        finding: what a person would be told of it.
        frames: in large pixels; none of one that cannot be a slice of a volume.
        hounsfield: their units.
    """

    finding: Finding
    frames: tuple[Coarse, ...] = ()
    hounsfield: bool = False


class Faces:
    """A cleaner of series, as `services.anonymise.engine.deidentifying.SeriesCleaner` wants it."""

    def __init__(self, *, workers: PixelWorkers, decided: Decided) -> None:
        self._workers = workers
        self._decided = decided

    def survey(self, file: File) -> Survey | None:
        """Look at one instance of a series; None for one that shows no face.

        Raises:
            RefusedError: it may hold the shape of one, and nobody can look.
        """
        what = shows(file)
        if what is Shows.NOTHING:
            return None
        picture = _picture(file) if what is not Shows.SHAPE else None
        if picture is None:
            raise RefusedError(Reason.FACE)

        def doubtful(doubt: Doubt) -> Survey:
            return Survey(finding_of(file, picture, (Ground.FACES,), doubt))

        if what is Shows.PICTURE or picture.description.samples != 1 or picture.palette is not None:
            return doubtful(Doubt.FACE_KIND)
        try:
            frames = frames_of(file, picture.frames)
            asked = pickle.dumps((picture.question(read=False), frames), pickle.HIGHEST_PROTOCOL)
            seen = unpacked(self._workers.ask(Work.SURVEY, asked, picture.data))
        except NotPlaced:
            return doubtful(Doubt.FACE_VOLUME)
        except WorkRefused as refused:
            return doubtful(doubt_of(refused.refusal))
        return Survey(finding_of(file, picture, (Ground.FACES,), Doubt.FACE_PLACE), seen, is_ct(file))

    def of_series(self, surveyed: Sequence[Surveyed], within: PixelCleaner) -> PixelCleaner:
        """A cleaner for the instances of a series.

        Args:
            surveyed: what `survey` gave for each of them.
            within: what is done to each of them before.

        Raises:
            DoubtfulPixelsError: a person has to look at it.
            RefusedError: a person did, and refused it.
        """
        found = sorted(
            (one for one in surveyed if isinstance(one, Survey)), key=lambda one: one.finding.sop_instance_uid
        )
        if not found:
            return within
        shown = found[len(found) // 2].finding
        digest = series_digest(shown.digest, (one.finding.digest for one in found))
        decision = self._decided(digest)
        if decision is not None and not decision.released:
            raise RefusedError(Reason.REFUSED_BY_PERSON)

        def cut_of() -> Cut:
            for one in found:
                if not one.frames:
                    raise DoubtfulPixelsError(_of_series(shown, digest, one.finding.doubt))
            try:
                return face_of(
                    [frame for one in found for frame in one.frames], hounsfield=all(one.hounsfield for one in found)
                )
            except NoFace as unfound:
                doubt = Doubt.FACE_VOLUME if unfound.doubt is Unfound.NO_VOLUME else Doubt.FACE_PLACE
                raise DoubtfulPixelsError(_of_series(shown, digest, doubt)) from None

        cut = cut_of() if decision is None else None

        def cleaned(file: File, profile: Profile) -> Seen:
            seen = within(file, profile)
            if shows(file) is Shows.NOTHING:
                return seen
            picture = _picture(seen.file)
            if picture is None:  # it was there when the series was surveyed
                raise RefusedError(Reason.PIXEL_DATA)
            if decision is not None:
                answer = masked_by(self._workers, picture, decision.masks)
            elif cut is not None:
                answer = self._cut(seen.file, picture, cut)
            made = with_pixels(seen.file, answer, says=RECOGNIZABLE_VISUAL_FEATURES)
            return Seen(made, seen.done | _DONE)

        return cleaned

    def _cut(self, file: File, picture: Picture, cut: Cut) -> Answer:
        try:
            frames = frames_of(file, picture.frames)
            if not any(_touches(cut, frame, picture) for frame in frames):
                return Answer(())
            asked = pickle.dumps((picture.question(read=False), frames, cut), pickle.HIGHEST_PROTOCOL)
            return Answer.unpacked(self._workers.ask(Work.DEFACE, asked, picture.data))
        except (NotPlaced, WorkRefused):
            raise RefusedError(Reason.NOT_MASKABLE) from None


def _touches(cut: Cut, frame: Frame, picture: Picture) -> bool:
    return bool(cut.taken(frame.plane, picture.description.rows, picture.description.columns).any())


def _picture(file: File) -> Picture | None:
    try:
        return picture_of(file)
    except NotDescribed:
        raise RefusedError(Reason.PIXEL_DATA) from None


def _of_series(shown: Finding, digest: str, doubt: Doubt) -> Finding:
    return Finding(
        digest=digest,
        study_instance_uid=shown.study_instance_uid,
        series_instance_uid=shown.series_instance_uid,
        sop_instance_uid=shown.sop_instance_uid,
        rows=shown.rows,
        columns=shown.columns,
        frames=shown.frames,
        doubt=doubt,
        grounds=shown.grounds,
    )
