"""Profiles as files that a person reads: `deploy/profiles/*.yaml`. What is wrong in one is said with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydicom.datadict import tag_for_keyword

from services.anonymise.engine.attributes import SHORT_TEXT, Attribute, attribute_of, conforms
from services.anonymise.engine.kinds import Kind
from services.anonymise.engine.options import Option
from services.anonymise.engine.private import NUMERIC, TEXT, PrivateKey, SafeList, SafePrivate, standard_safe_list
from services.anonymise.engine.profile import Documents, Others, Profile, Rule, Treatment
from services.anonymise.engine.table import EDITION, standard_table
from services.anonymise.errors import ProfileError
from services.anonymise.model import Because, Code

_KEYS = (
    "schema",
    "name",
    "edition",
    "site",
    "project",
    "kinds",
    "options",
    "documents",
    "others",
    "attributes",
    "private",
    "words",
)
_ACTIONS: Mapping[str, tuple[Treatment, Code]] = {
    "remove": (Treatment.CODE, Code.X),
    "empty": (Treatment.CODE, Code.Z),
    "dummy": (Treatment.CODE, Code.D),
    "uid": (Treatment.CODE, Code.U),
    "keep": (Treatment.KEEP, Code.X_Z_D),
    "clean": (Treatment.CLEAN, Code.X_Z_D),
    "replace": (Treatment.REPLACE, Code.X_Z_D),
}
_IDENTIFYING = frozenset((0x00100020, 0x00100030, 0x00101000, 0x00101001, 0x00101002, 0x00101040))
"""No profile keeps them, nor a person's name: a file with them is not de-identified."""
_STRUCTURAL = frozenset((0x00080016, 0x00080018, 0x0020000D, 0x0020000E))
ReadT = TypeVar("ReadT")
WordT = TypeVar("WordT", bound=StrEnum)


def read_profile(path: Path) -> Profile:
    """The profile of a file.

    Raises:
        ProfileError: it cannot be read, or says something that it cannot mean; the sentence names the place.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({type(error).__name__})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        raise ProfileError(f"{path}{f':{place.line + 1}' if place else ''}: this is no YAML") from None
    return _Reader(str(path)).profile(said)


class _Reader:
    """Reads one file; every fault starts with its path."""

    def __init__(self, source: str) -> None:
        self._source = source

    def profile(self, said: Any) -> Profile:
        if not isinstance(said, dict):
            raise self._fault("", "a profile is a list of keys and values")
        for key in said:
            if key not in _KEYS:
                raise self._fault(str(key), f"no such key{_near(str(key), _KEYS)}")
        if said.get("schema") != 1:
            raise self._fault("schema", "has to be 1")
        if said.get("edition") != EDITION:
            raise self._fault("edition", f"has to be {EDITION}, the edition of the table that is here")
        options = frozenset(self._each(said, "options", lambda place, word: self._word(place, word, Option)))
        if {Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES} <= options:
            raise self._fault("options", "dates cannot both be kept and moved")
        private = dict(self._each(said, "private", self._private))
        if private and Option.RETAIN_SAFE_PRIVATE not in options:
            raise self._fault("private", f"has no meaning without the option {Option.RETAIN_SAFE_PRIVATE.value}")
        safe: SafeList = {**standard_safe_list(), **private} if Option.RETAIN_SAFE_PRIVATE in options else {}
        return Profile(
            name=self._text("name", said.get("name")),
            table=standard_table(),
            site=self._text("site", said.get("site", "")),
            project=self._text("project", said.get("project", "")),
            options=options,
            kinds=frozenset(self._each(said, "kinds", lambda place, word: self._word(place, word, Kind))),
            documents=self._word("documents", said.get("documents", Documents.REFUSE.value), Documents),
            others=self._word("others", said.get("others", Others.KEEP.value), Others),
            overrides=dict(self._each(said, "attributes", self._attribute)),
            safe_private=safe,
            words=frozenset(self._each(said, "words", lambda place, word: self._text(place, word).lower())),
        )

    def _attribute(self, place: str, said: Any) -> tuple[int, Rule]:
        if not isinstance(said, dict) or not {"attribute", "action"} <= said.keys() <= {"attribute", "action", "value"}:
            raise self._fault(place, "has the keys attribute, action and, for replace, value")
        attribute = self._named(f"{place}.attribute", said["attribute"])
        action = self._text(f"{place}.action", said["action"])
        if action not in _ACTIONS:
            raise self._fault(f"{place}.action", f"{action} is no action{_near(action, _ACTIONS)}")
        treatment, code = _ACTIONS[action]
        self._may(f"{place}.action", attribute, treatment, code)
        value = b""
        if (treatment is Treatment.REPLACE) is not ("value" in said):
            raise self._fault(place, "a value belongs to the action replace, and to no other")
        if treatment is Treatment.REPLACE:
            value = self._text(f"{place}.value", said["value"]).encode()
            if attribute.vr == "SQ" or attribute.is_opaque or not conforms(attribute, attribute.vr, value):
                raise self._fault(f"{place}.value", f"is no value of VR {attribute.vr}")
        return attribute.tag, Rule(treatment, code, Because.SITE, value)

    def _may(self, place: str, attribute: Attribute, treatment: Treatment, code: Code) -> None:
        if attribute.tag in _STRUCTURAL:
            raise self._fault(place, "what an instance is and belongs to is not for a profile to change")
        if treatment is Treatment.KEEP and (attribute.tag in _IDENTIFYING or attribute.vr == "PN"):
            raise self._fault(place, "this names the patient or another person; no profile keeps it")
        if treatment is Treatment.CLEAN and attribute.vr not in SHORT_TEXT | {"SQ"}:
            raise self._fault(place, f"clean is for texts and sequences, not for VR {attribute.vr}")
        if code is Code.U and attribute.vr != "UI":
            raise self._fault(place, f"uid is for VR UI, not {attribute.vr}")

    def _private(self, place: str, said: Any) -> tuple[PrivateKey, SafePrivate]:
        if not isinstance(said, dict) or said.keys() != {"creator", "element", "vr"}:
            raise self._fault(place, "has the keys creator, element and vr")
        creator, vr = self._text(f"{place}.creator", said["creator"]), self._text(f"{place}.vr", said["vr"])
        if not creator.isascii() or not 0 < len(creator) <= 64:
            raise self._fault(f"{place}.creator", "is a name of at most 64 ASCII characters")
        if vr not in NUMERIC | TEXT:
            raise self._fault(f"{place}.vr", f"{vr} cannot be kept; these can: {', '.join(sorted(NUMERIC | TEXT))}")
        digits = self._text(f"{place}.element", said["element"]).strip("()").lower()
        group, _, element = digits.partition(",")
        if (
            not element.startswith("xx")
            or not _is_hex(group, 4)
            or not _is_hex(element[2:], 2)
            or not int(group, 16) & 1
        ):
            raise self._fault(f"{place}.element", 'is written as (gggg,xxee), the group odd: "(0019,xx0c)"')
        return PrivateKey(creator, int(group, 16), int(element[2:], 16)), SafePrivate(vr, 0)

    def _named(self, place: str, said: Any) -> Attribute:
        """The attribute of a keyword or of a tag in parentheses."""
        name = self._text(place, said)
        digits = name.strip("()").replace(",", "")
        tag = int(digits, 16) if _is_hex(digits, 8) else tag_for_keyword(name)
        attribute = attribute_of(tag) if tag is not None else None
        if attribute is None or attribute.tag >> 16 < 8:
            raise self._fault(place, f"{name} is neither a keyword nor a tag (gggg,eeee) of the standard's data sets")
        return attribute

    def _each(self, said: Mapping[str, Any], key: str, read: Callable[[str, Any], ReadT]) -> list[ReadT]:
        found = said.get(key, [])
        if not isinstance(found, Sequence) or isinstance(found, str):
            raise self._fault(key, "is a list")
        return [read(f"{key}[{number}]", one) for number, one in enumerate(found, 1)]

    def _word(self, place: str, said: Any, words: type[WordT]) -> WordT:
        word = self._text(place, said)
        if word not in [known.value for known in words]:
            raise self._fault(place, f"{word} is none of {', '.join(words)}{_near(word, words)}")
        return words(word)

    def _text(self, place: str, said: Any) -> str:
        if not isinstance(said, str):
            raise self._fault(place, "is a text; put it in quotes")
        return said

    def _fault(self, place: str, sentence: str) -> ProfileError:
        return ProfileError(f"{self._source}: {place}{': ' if place else ''}{sentence}")


def _near(word: str, words: Iterable[str]) -> str:
    found = get_close_matches(word, [str(known) for known in words], 1)
    return f"; did you mean {found[0]}?" if found else ""


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and all(digit in "0123456789abcdefABCDEF" for digit in text)
