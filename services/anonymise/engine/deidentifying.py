"""De-identification of one instance by PS3.15 Annex E: every element of every item, at every depth.

`deidentify` reads raw elements, decides for each by the profile, and writes a new file of nothing but what was decided
upon. Pixels are never decoded here; whoever can look into them is handed in as a `PixelCleaner`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from services.anonymise.engine.admission import admit
from services.anonymise.engine.elements import Data, File, read_file
from services.anonymise.engine.options import OF_PIXELS, Option
from services.anonymise.engine.profile import Profile, basic_profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.engine.walk import Walk
from services.anonymise.engine.words import without_known
from services.anonymise.errors import ProfileError, Reason, RefusedError
from services.anonymise.model import DeidentifiedInstance


class Seen(NamedTuple):
    """What a cleaner of pixels gives back.

    Attributes:
        file: the instance with pixels that name nobody (its own elements otherwise, before de-identification).
        done: which options of PS3.15 E.3.1 and E.3.2 it can now claim.
    """

    file: File
    done: frozenset[Option]


PixelCleaner = Callable[[File, Profile], Seen]
"""Judges the pixels of an instance that was let in, and masks what must not be seen. It raises a fault for one that may
not leave, or not before a person has looked."""


Surveyed = object | None
"""What a cleaner of series keeps of an instance that it has looked at; None for one that shows no face."""


class SeriesCleaner(Protocol):
    """Judges series by the pixels of all of their instances: a face is in no single one (PS3.15 E.3.2)."""

    def survey(self, file: File) -> Surveyed:
        """Look at one instance."""

    def of_series(self, surveyed: Sequence[Surveyed], within: PixelCleaner) -> PixelCleaner:
        """A cleaner for the instances of a series, that first does what `within` does."""


@dataclass(frozen=True, slots=True)
class Policy:
    """By which rules and with which key.

    Attributes:
        pseudonyms: the keyed pseudonyms of the site; the profile's project has its own among them.
        profile: the table, its options, and the site's rules.
        pixels: who looks into the pixels; without one, only what says itself to be free of text may leave.
        faces: who removes faces from series; needed where the profile asks for that.
    """

    pseudonyms: Pseudonyms
    profile: Profile = field(default_factory=basic_profile)
    pixels: PixelCleaner | None = None
    faces: SeriesCleaner | None = None

    def __post_init__(self) -> None:
        wanted = self.profile.options & OF_PIXELS
        if (wanted and self.pixels is None) or (self.removes_faces and self.faces is None):
            raise ProfileError(f"{self.profile.name}: nobody is here who can look into pixels: {', '.join(wanted)}")
        object.__setattr__(self, "pseudonyms", self.pseudonyms.of_project(self.profile.project))

    @property
    def removes_faces(self) -> bool:
        """Whether instances may only leave by series: see `surveyed` and `of_series`."""
        return Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in self.profile.options

    def surveyed(self, data: Data) -> Surveyed:
        """Look at one instance of a series whose faces are removed.

        Raises:
            RefusedError: it may not leave.
        """
        file = read_file(data)
        admit(file, self.profile, pixels_are_seen=True)
        return self.faces.survey(file) if self.faces is not None else None

    def of_series(self, surveyed: Sequence[Surveyed]) -> PixelCleaner | None:
        """What cleans the pixels of a series, all of whose instances were `surveyed`.

        Raises:
            DoubtfulPixelsError: a person has to look at it.
            RefusedError: it may not leave.
        """
        if self.faces is None or self.pixels is None:
            return self.pixels
        return self.faces.of_series(surveyed, self.pixels)


def deidentify(data: Data, policy: Policy, pixels: PixelCleaner | None = None) -> DeidentifiedInstance:
    """What a PS3.10 file becomes before it may leave.

    Args:
        pixels: what cleans the pixels of its series, where a profile has faces removed: none leaves without.

    Raises:
        RefusedError: it may not leave.
    """
    file = read_file(data)
    if policy.removes_faces and pixels is None:
        raise RefusedError(Reason.FACE)
    pixels = pixels or policy.pixels
    admit(file, policy.profile, pixels_are_seen=pixels is not None)
    done: frozenset[Option] = frozenset()
    if pixels is not None:
        file, done = pixels(file, policy.profile)
    return clean(file, policy, done)


def clean(file: File, policy: Policy, done: frozenset[Option] = frozenset()) -> DeidentifiedInstance:
    """The walk and the last check, for a file that was let in.

    Args:
        done: what was done to the pixels.

    Raises:
        RefusedError: `phi-left` or `too-large`.
    """
    walk = Walk(file, policy.profile, policy.pseudonyms, done)
    head, tail = walk.written()
    if suspects := walk.watch.suspects():
        # Rare: an identifier stands in something that the profile keeps. Take that out, too.
        walk = Walk(file, policy.profile, policy.pseudonyms, done, suspects)
        head, tail = walk.written()
        if walk.watch.suspects():
            raise RefusedError(Reason.PHI_LEFT)
    left = walk.watch.identifiers.left_in_header(head + tail)
    if left and without_known(b" ".join(left)):  # a patient may be called as a code of the standard is
        raise RefusedError(Reason.PHI_LEFT)
    return DeidentifiedInstance(walk.sop_instance_uid, (head, *walk.pixels, tail), walk.uids.found, tuple(walk.taken))
