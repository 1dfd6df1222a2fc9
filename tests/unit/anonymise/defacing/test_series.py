"""Series without faces: what leaves, in every transfer syntax; what waits for a person; and what is said of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest

from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.model import Box, Decision, Doubt, Ground
from services.anonymise.burned_in.picture import picture_of
from services.anonymise.burned_in.workers import Workers
from services.anonymise.defacing.cleaner import Faces
from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.elements import read_file
from services.anonymise.engine.kinds import Kind
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import DoubtfulPixelsError, ProfileError, Reason, RefusedError
from tests.unit.anonymise.burned_in.made import SECONDARY, instance
from tests.unit.anonymise.defacing.heads import CT, Slice, enhanced, file_of, slices

FACES = Profile("faces", kinds=frozenset(Kind), options=frozenset((Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES,)))
HEAD = list(slices("axial"))


def policy(workers: Workers, decision: Decision | None = None, asked: list[str] | None = None) -> Policy:
    def decided(digest: str) -> Decision | None:
        if asked is not None:
            asked.append(digest)
        return decision

    texts = BurnedIn(rules=(), workers=workers, decided=lambda _: None)
    return Policy(Pseudonyms(b"k" * 32), FACES, texts, Faces(workers=workers, decided=decided))


def cleaned(files: Sequence[bytes], made: Policy) -> list[pydicom.FileDataset]:
    pixels = made.of_series([made.surveyed(file) for file in files])
    return [pydicom.dcmread(io.BytesIO(deidentify(file, made, pixels).data)) for file in files]


def held(files: Sequence[bytes], workers: Workers) -> DoubtfulPixelsError:
    with pytest.raises(DoubtfulPixelsError) as error:
        cleaned(files, policy(workers))
    return error.value


def judge(before: Sequence[Slice], after: Sequence[np.ndarray[Any, Any]]) -> None:
    """The brain is as it was, the face is air, and what changed is air."""
    for one, values in zip(before, after, strict=True):
        changed = values != one.values
        assert np.array_equal(values[one.parts.brain], one.values[one.parts.brain])
        assert (values[one.parts.face] == one.values.min()).all()
        assert (values[changed] == one.values.min()).all()


def codes(ds: pydicom.FileDataset) -> list[str]:
    return [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]


def test_a_head_leaves_without_its_face_and_says_so(workers: Workers) -> None:
    # Slope by slice: the stored values differ by slice while the head is the same.
    given = [one._replace(values=(one.values / (1 + number % 3)).astype(np.int16)) for number, one in enumerate(HEAD)]
    files = [file_of(one, number, RescaleSlope=1 + number % 3) for number, one in enumerate(given)]
    after = cleaned(files, policy(workers))
    judge(given, [ds.pixel_array for ds in after])
    assert any((ds.pixel_array != one.values).any() for ds, one in zip(after, given, strict=True))
    for ds in after:
        assert ds.RecognizableVisualFeatures == "NO" and "113102" in codes(ds) and "113101" not in codes(ds)
        assert "Clean Recognizable Visual Features Option" in ds.DeidentificationMethod
        assert "BurnedInAnnotation" not in ds  # nobody looked for text


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.5",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90",
    ],
)
def test_it_does_so_in_every_transfer_syntax(workers: Workers, syntax: str) -> None:
    given = list(slices("axial", apart=8.0))
    after = cleaned([file_of(one, number, syntax) for number, one in enumerate(given)], policy(workers))
    judge(given, [ds.pixel_array for ds in after])
    assert {ds.file_meta.TransferSyntaxUID.is_encapsulated for ds in after} == {pydicom.uid.UID(syntax).is_encapsulated}


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80"])
def test_the_frames_of_an_enhanced_image_are_a_volume_too(workers: Workers, syntax: str) -> None:
    given = list(slices("coronal", apart=8.0))
    (after,) = cleaned([enhanced(given, syntax)], policy(workers))
    judge(given, list(after.pixel_array))
    assert after.RecognizableVisualFeatures == "NO" and "113102" in codes(after)


def test_another_part_of_the_body_leaves_as_it_is_and_claims_nothing(workers: Workers) -> None:
    (after,) = cleaned([file_of(HEAD[0], 0, sop_class=CT, BodyPartExamined="CHEST")], policy(workers))
    assert np.array_equal(after.pixel_array, HEAD[0].values)
    assert "RecognizableVisualFeatures" not in after and "113102" not in codes(after)


def test_what_cannot_be_handled_surely_waits_for_a_person_one_entry_a_series(workers: Workers) -> None:
    profile = [file_of(next(iter(slices("sagittal"))), 1)]
    assert held(profile, workers).finding.doubt is Doubt.FACE_VOLUME
    unplaced = pydicom.dcmread(io.BytesIO(file_of(HEAD[20], 0)))
    del unplaced.ImageOrientationPatient
    out = io.BytesIO()
    unplaced.save_as(out)
    files = [file_of(one, number) for number, one in enumerate(HEAD)]
    assert held([*files, out.getvalue()], workers).finding.doubt is Doubt.FACE_VOLUME
    finding = held([file_of(one, number) for number, one in enumerate(HEAD[:24])], workers).finding
    assert finding.doubt is Doubt.FACE_PLACE and finding.grounds == (Ground.FACES,)
    assert finding.series_instance_uid == "1.2.3.1" and finding.sop_instance_uid.startswith("1.2.3.4.")
    assert "decides for its series" in finding.doubt.text


def test_a_photograph_or_a_rendering_waits_for_a_person(workers: Workers) -> None:
    colour = np.zeros((20, 20, 3), np.uint8)
    for sop_class in (SECONDARY, CT):
        assert held([instance(colour, sop_class=sop_class)], workers).finding.doubt is Doubt.FACE_KIND


def test_pixels_that_nobody_can_decode_wait_too(workers: Workers) -> None:
    broken = file_of(HEAD[0], 0, "1.2.840.10008.1.2.4.90").replace(b"\xff\x4f\xff\x51", b"\0\0\0\0")
    assert held([broken], workers).finding.doubt is Doubt.UNREADABLE


def test_the_shape_of_a_skin_without_pixels_is_refused(workers: Workers) -> None:
    whole = instance(np.zeros((8, 8), np.uint16), sop_class="1.2.840.10008.5.1.4.1.1.481.3")
    structures = whole[: whole.rindex(b"\xe0\x7f\x10\x00")]
    with pytest.raises(RefusedError) as refused:
        cleaned([structures], policy(workers))
    assert refused.value.code == Reason.FACE


def test_a_person_decides_for_the_pixels_of_the_series(workers: Workers) -> None:
    files, asked = [file_of(one, number) for number, one in enumerate(HEAD[:3])], list[str]()
    finding = held(files, workers).finding
    pictures = [picture_of(read_file(file)) for file in files]
    assert [picture is not None and finding.shows(picture.digest) for picture in pictures] == [False, True, False]
    after = cleaned(files[::-1], policy(workers, Decision(True, (Box(0, 0, 72, 9),)), asked))
    assert asked == [finding.digest]
    for ds, one in zip(after[::-1], HEAD, strict=False):
        assert len(np.unique(ds.pixel_array[:9])) == 1 and np.array_equal(ds.pixel_array[9:], one.values[9:])
        assert ds.RecognizableVisualFeatures == "NO" and "113102" in codes(ds)
    with pytest.raises(RefusedError) as refused:
        cleaned(files, policy(workers, Decision(False)))
    assert refused.value.code == Reason.REFUSED_BY_PERSON
    # Another series is another decision, whatever it shares with this one.
    assert held(files[:2], workers).finding.digest != finding.digest


def test_no_instance_leaves_alone(workers: Workers) -> None:
    with pytest.raises(RefusedError) as refused:
        deidentify(file_of(HEAD[0], 0), policy(workers))
    assert refused.value.code == Reason.FACE


def test_a_policy_that_cannot_remove_faces_is_not_begun(workers: Workers) -> None:
    texts = BurnedIn(rules=(), workers=workers, decided=lambda _: None)
    with pytest.raises(ProfileError, match="clean-recognizable-visual-features"):
        Policy(Pseudonyms(b"k" * 32), FACES, texts)
    assert replace(policy(workers), profile=replace(FACES, name="other")).removes_faces
