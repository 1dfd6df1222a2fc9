"""What highdicom makes multi-frame objects of: single-frame slices, whatever the planes of the source really lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage

from services.encode.adapters.highdicom.source import GEOMETRY, Layout, Place, Plane, Sources, distance


def stand_ins(sources: Sources) -> list[Dataset]:
    """A single-frame data set for each plane: what highdicom makes multi-frame objects of.

    It takes one multi-frame source at most, and none without a frame of reference that has several frames. A plane of
    a single-frame volume stands for itself; others get a name by their place, which `settle` turns into references.
    """
    if sources.layout is Layout.VOLUME and not any(map(sources.is_multiframe, sources.instances)):
        return [plane.instance for plane in sources.planes]
    made = []
    for number, plane in enumerate(sources.planes):
        ds = Dataset({element.tag: element for element in plane.instance if not _of_frames(element.keyword)})
        place = plane.place or Place((0.0, 0.0, float(number)), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 1.0))
        ds.SOPClassUID = CTImageStorage
        ds.SOPInstanceUID = _stand_in(number)
        ds.FrameOfReferenceUID = plane.instance.FrameOfReferenceUID if plane.place else _stand_in(-1)
        ds.ImagePositionPatient = [f"{value:.10g}" for value in place.position]
        ds.ImageOrientationPatient = [f"{value:.10g}" for value in place.orientation]
        ds.PixelSpacing = [f"{value:.10g}" for value in place.spacing]
        ds.SliceThickness = plane.instance.get("SliceThickness") or (
            f"{distance(sources.planes):.10g}" if len(sources.planes) > 1 and plane.place else None
        )
        made.append(ds)
    return made


_ANEW = {
    *GEOMETRY,
    "SOPClassUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "SliceThickness",
    "NumberOfFrames",
    "SpacingBetweenSlices",
    "ReferencedSeriesSequence",
}


def _of_frames(keyword: str) -> bool:
    """Whether a stand-in has it anew or not at all."""
    return keyword in _ANEW or keyword.startswith(
        ("Dimension", "PerFrame", "SharedFunctional", "ImageOrientationSlide")
    )


def _stand_in(number: int) -> UID:
    return UID(f"2.25.{number + 2}")


def settle(ds: Dataset, sources: Sources) -> None:
    """Turn references to stand-ins into references to the frames that they stand for; where the planes have no place
    in the patient, take out the one that highdicom was told."""
    planes = {str(_stand_in(number)): plane for number, plane in enumerate(sources.planes)}
    for keyword in ("SourceImageSequence", "ReferencedSeriesSequence"):
        for item in ds.get(keyword) or []:
            inner = item.get("ReferencedInstanceSequence")
            if inner is not None:
                item.ReferencedInstanceSequence = _once(inner, planes)
    if "SourceImageSequence" in ds:
        ds.SourceImageSequence = _once(ds.SourceImageSequence, planes)
    groups = [*ds.PerFrameFunctionalGroupsSequence, *ds.SharedFunctionalGroupsSequence]
    for group in groups:
        for derivation in group.get("DerivationImageSequence") or []:
            for source in derivation.SourceImageSequence:
                _refer(source, planes, with_frame=sources)
    if sources.layout is Layout.FLAT:
        _without_place(ds)


def _once(items: Sequence[Dataset], planes: Mapping[str, Plane]) -> list[Dataset]:
    found: dict[str, Dataset] = {}
    for item in items:
        _refer(item, planes)
        found.setdefault(item.ReferencedSOPInstanceUID, item)
    return list(found.values())


def _refer(item: Dataset, planes: Mapping[str, Plane], with_frame: Sources | None = None) -> None:
    plane = planes.get(item.ReferencedSOPInstanceUID)
    if plane is None:
        return
    item.ReferencedSOPClassUID = plane.instance.SOPClassUID
    item.ReferencedSOPInstanceUID = plane.instance.SOPInstanceUID
    if with_frame is not None and with_frame.is_multiframe(plane.instance):
        item.ReferencedFrameNumber = plane.frame


def _without_place(ds: Dataset) -> None:
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        ds.pop(keyword, None)
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence", "PlanePositionSequence"):
        for group in (*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence):
            group.pop(keyword, None)
    for index in ds.DimensionIndexSequence:
        if index.DimensionIndexPointer == 0x00200032:  # Image Position (Patient): frames differ in their time instead
            index.DimensionIndexPointer = 0x00209128
            index.FunctionalGroupPointer = 0x00209111
            index.DimensionDescriptionLabel = "Temporal Position Index"
    for group in ds.PerFrameFunctionalGroupsSequence:
        (content,) = group.FrameContentSequence
        value = content.DimensionIndexValues
        content.TemporalPositionIndex = int(value if isinstance(value, int) else value[-1])
