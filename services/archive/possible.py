"""What can be made of an instance beside what is stored."""

from __future__ import annotations

from services.archive.model import Located
from services.dicom import dicom_json
from services.pixels import syntaxes
from services.pixels.description import describe
from services.pixels.errors import NotDescribed


def frame_targets(located: Located) -> tuple[str, ...]:
    """The transfer syntaxes into which its frames can be brought, best first."""
    return _targets(located) if located.layout.frames is not None else ()


def instance_targets(located: Located) -> tuple[str, ...]:
    """The transfer syntaxes into which its file can be brought, best first; without pixels, only native ones."""
    if located.layout.frames is None:
        return syntaxes.targets(located.transfer_syntax_uid, None)
    return _targets(located)


def _targets(located: Located) -> tuple[str, ...]:
    try:
        description = describe(dicom_json.loads(located.metadata))
    except NotDescribed:
        return ()
    return syntaxes.targets(located.transfer_syntax_uid, description)
