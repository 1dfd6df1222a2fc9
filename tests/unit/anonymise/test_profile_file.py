"""Profiles as files: the default one is what holds without one, and a mistake is named with its place."""

from pathlib import Path

import pytest

from services.anonymise.engine.kinds import Kind, kind_of
from services.anonymise.engine.options import Option
from services.anonymise.engine.private import PrivateKey
from services.anonymise.engine.profile import Treatment, basic_profile, default_profile
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.errors import ProfileError

FOLDER = Path("deploy/profiles")
HEAD = "schema: 1\nname: mine\nedition: 2026c\nkinds: [image-volumes]\n"


def read(tmp_path: Path, more: str, head: str = HEAD) -> object:
    path = tmp_path / "mine.yaml"
    path.write_text(head + more)
    return read_profile(path)


def test_the_default_profile_is_what_holds_without_one() -> None:
    assert read_profile(FOLDER / "default.yaml") == default_profile()
    assert read_profile(FOLDER / "basic.yaml") == basic_profile()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_of_ours_is_good_and_named_as_its_file(path: Path) -> None:
    assert read_profile(path).name == path.stem


def test_a_profile_says_what_it_says(tmp_path: Path) -> None:
    profile = read_profile(
        _written(
            tmp_path,
            "options: [retain-uids, retain-safe-private]\nwords: [Schädel]\n"
            "attributes:\n  - {attribute: ProtocolName, action: clean}\n  - {attribute: '(0018,1000)', action: keep}\n"
            'private:\n  - {creator: ACME 1.0, element: "(0011,xx07)", vr: DS}\n',
        )
    )
    assert profile.options == {Option.RETAIN_UIDS, Option.RETAIN_SAFE_PRIVATE} and profile.words == {"schädel"}
    assert profile.rules[0x00181030].treatment is Treatment.CLEAN
    assert profile.rules[0x00181000].treatment is Treatment.KEEP
    assert PrivateKey("ACME 1.0", 0x0011, 0x07) in profile.safe_private
    assert profile.label == "mine 2026c retain-safe-private retain-uids"


def _written(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + more)
    return path


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("options: [retain-uid]", "options[1]: retain-uid is none of .*did you mean retain-uids?"),
        ("option: []", "option: no such key; did you mean options?"),
        ("options: retain-uids", "options: is a list"),
        ("options: [retain-longitudinal-full-dates, retain-longitudinal-modified-dates]", "cannot both"),
        ("attributes: [{attribute: ProtocolNane, action: keep}]", "attributes[1].attribute: ProtocolNane is neither"),
        ("attributes: [{attribute: ProtocolName, action: kept}]", "kept is no action; did you mean keep?"),
        ("attributes: [{attribute: PatientName, action: keep}]", "no profile keeps it"),
        ("attributes: [{attribute: PatientID, action: keep}]", "no profile keeps it"),
        ("attributes: [{attribute: SOPInstanceUID, action: remove}]", "not for a profile to change"),
        ("attributes: [{attribute: Rows, action: clean}]", "not for VR US"),
        ("attributes: [{attribute: KVP, action: replace, value: Vogel}]", "is no value of VR DS"),
        ("attributes: [{attribute: KVP, action: remove, value: '1'}]", "belongs to the action replace"),
        ("attributes: [{attribute: KVP}]", "has the keys"),
        ("private: [{creator: A, element: '(0011,xx01)', vr: DS}]", "no meaning without the option"),
        ("options: [retain-safe-private]\nprivate: [{creator: A, element: '(0010,xx01)', vr: DS}]", "the group odd"),
        (
            "options: [retain-safe-private]\nprivate: [{creator: A, element: '(0011,xx01)', vr: OB}]",
            "OB cannot be kept",
        ),
        ("documents: keep", "documents: keep is none of"),
        ("words: [1]", "words[1]: is a text"),
        ("kinds: [image-volume]", "did you mean image-volumes?"),
        ("x: [", "this is no YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(more: str, said: str, tmp_path: Path) -> None:
    head = HEAD.replace("kinds: [image-volumes]\n", "") if more.startswith("kinds") else HEAD
    with pytest.raises(ProfileError) as fault:
        read(tmp_path, more, head)
    place, _, rest = said.partition(" is none of .*")
    assert str(tmp_path) in fault.value.reason and place in fault.value.reason and rest in fault.value.reason


@pytest.mark.parametrize("head", ["[]", "schema: 2", "schema: 1\nname: x\nedition: 2025a", ""])
def test_what_is_no_profile_of_ours_is_refused(head: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError):
        read(tmp_path, "", head)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profile(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("2", Kind.IMAGE_VOLUMES),
        ("1.1", Kind.PICTURES),
        ("77.1.6", Kind.PICTURES),
        ("77.1.5.3", Kind.REGISTRATIONS),
        ("66.4", Kind.SEGMENTATIONS),
        ("66.7", Kind.SEGMENTATIONS),
        ("481.1", Kind.PICTURES),
        ("481.3", Kind.RADIOTHERAPY),
        ("9.1.1", Kind.WAVEFORMS),
        ("9.4.1", None),  # a voice
        ("66", None),  # raw data
        ("4.2", Kind.MEASUREMENTS),
        ("2.99", None),
    ],
)
def test_a_sop_class_has_its_kind(number: str, kind: Kind | None) -> None:
    assert kind_of(f"1.2.840.10008.5.1.4.1.1.{number}") is kind
