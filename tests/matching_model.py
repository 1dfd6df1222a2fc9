"""Attribute matching as PS3.4 C.2.2.2 words it: slow, obvious, and made from the standard, not from our code.

Where the standard leaves the choice, docs/conformance.md says ours: no case and no accents in names and free text
(`fold` is their definition), any component group of a name answers, fuzzy matching goes by words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.dicom.matching import fold, sound

TEXT = ("PN", "LO", "SH", "LT", "ST", "UC", "UT")


def answers(vr: str, key: str, values: Sequence[str], *, fuzzy: bool = False, empty: bool = False) -> bool:
    """Whether an attribute with these values, as text, answers to a key."""
    key = key.strip().upper() if vr == "CS" else key.strip()  # a code has no other case (PS3.5 6.2)
    if key.strip("*") == "":
        return True  # C.2.2.2.3 universal matching, and the note of C.2.2.2.4
    present = [value for value in values if _plain(vr, value)]
    if empty and key == '""':
        return not present  # C.2.2.2.7
    if fuzzy and vr == "PN" and _words(key) and any(_fuzzily(key, value) for value in present):
        return True
    return any(_one(vr, key, value) for value in present)


def _one(vr: str, key: str, value: str) -> bool:
    if vr in ("DA", "TM"):
        if "-" in key:  # C.2.2.2.5
            low, high = key.split("-")
            return (not low or _filled(vr, low, "0") <= _filled(vr, value, "0")) and (
                not high or _filled(vr, value, "0") <= _filled(vr, high, "9")
            )
        return _filled(vr, key, "0") == _filled(vr, value, "0")
    if vr in ("UI", "CS") and "," in key:  # C.2.2.2.2, and OHIF's lists of modalities
        return any(_one(vr, each, value) for each in key.split(","))
    if vr in ("IS", "DS", "US"):
        return float(key) == float(value)
    if vr == "PN" and "=" not in key.rstrip("= ^"):
        return any(_like(vr, key, group) for group in value.split("=") if _plain(vr, group))
    return _like(vr, key, value)


def _filled(vr: str, text: str, digit: str) -> str:
    """A date is eight digits; a time has what it leaves out filled up."""
    if vr == "DA":
        return text
    whole, _, fraction = text.partition(".")
    # A bound that stops at the minutes goes to the end of the last second.
    return f"{whole:{digit}<6}.{fraction:{digit}<6}"


def _like(vr: str, key: str, value: str) -> bool:
    """C.2.2.2.1 single value matching and C.2.2.2.4 wild card matching."""
    if vr == "PN" and "*" not in key and "?" not in key:
        return _plain(vr, key) == _plain(vr, value)
    pieces = re.split(r"([*?])", key)
    if vr == "PN":
        pieces[-1] = pieces[-1].rstrip("^ ")
    pattern = "".join({"*": ".*", "?": "."}.get(each) or re.escape(_folded(vr, each)) for each in pieces)
    return re.fullmatch(pattern, _plain(vr, value), re.DOTALL) is not None


def _folded(vr: str, text: str) -> str:
    return fold(text) if vr in TEXT else text


def _plain(vr: str, text: str) -> str:
    """What is compared: without padding; of a name without what may be left out (PS3.5 6.2.1)."""
    folded = _folded(vr, text).strip()
    if vr != "PN":
        return folded
    return "=".join(group.strip().rstrip("^ ") for group in folded.split("=")).rstrip("=")


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s^=,.*?'-]+", fold(name)) if word]


def _fuzzily(key: str, value: str) -> bool:
    """Every word of the key begins a word of the name, or sounds like one."""
    return all(
        any(word.startswith(asked) or (sound(asked) and sound(asked) == sound(word)) for word in _words(value))
        for asked in _words(key)
    )
