"""A profile: the Basic Profile, the options that a site adds, what may leave at all, and the site's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from services.anonymise.engine.kinds import Kind
from services.anonymise.engine.options import Option
from services.anonymise.engine.private import SafeList
from services.anonymise.engine.table import Row, Table, standard_table
from services.anonymise.model import Because, Code


class Treatment(StrEnum):
    """How a value is treated."""

    CODE = "code"  # by the action code of the rule
    KEEP = "keep"
    CLEAN = "clean"
    REPLACE = "replace"


class Documents(StrEnum):
    """What becomes of an encapsulated document."""

    REFUSE = "refuse"
    REPLACE = "replace"  # an empty one stands in its place
    RETAIN = "retain"  # the site answers for what is in it


class Others(StrEnum):
    """What becomes of public attributes of which neither the table nor the site says anything."""

    KEEP = "keep"  # as the standard has it
    NEEDED = "needed"  # only what models need stays (`needed.csv`)


class Rule(NamedTuple):
    """What is done to an attribute, and who says so.

    Attributes:
        code: of the Basic Profile; what holds where a value cannot be kept or cleaned.
        value: what stands in its place, for a replacement.
    """

    treatment: Treatment
    code: Code
    because: Because | Option
    value: bytes = b""


@dataclass(frozen=True)
class Profile:
    """By which rules instances are de-identified.

    Attributes:
        project: pseudonyms of one project are not those of another; empty is the site itself.
        kinds: which objects may leave.
        overrides: the site's own rules, by tag; they win over the table and its options.
        safe_private: private attributes that stay; only read with the option Retain Safe Private.
        words: words that may stand in cleaned texts, beside those of medicine.
    """

    name: str = "default"
    table: Table = field(default_factory=standard_table)
    site: str = ""
    project: str = ""
    options: frozenset[Option] = frozenset()
    kinds: frozenset[Kind] = frozenset((Kind.IMAGE_VOLUMES,))
    documents: Documents = Documents.REFUSE
    others: Others = Others.KEEP
    overrides: Mapping[int, Rule] = field(default_factory=dict)
    safe_private: SafeList = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    rules: Mapping[int, Rule] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = {row.tag: rule_of(row, self.options) for row in self.table.rows.values()}
        rules.update({row.tag: rule_of(row, self.options, Because.BEYOND) for row in self.table.beyond.values()})
        object.__setattr__(self, "rules", {**rules, **self.overrides})

    @property
    def edition(self) -> str:
        """The edition of the standard whose table it follows."""
        return self.table.edition

    @property
    def label(self) -> str:
        """Name, edition and options in one line, for records."""
        return " ".join((self.name, self.edition, *sorted(self.options)))


def rule_of(row: Row, options: frozenset[Option], because: Because = Because.PROFILE) -> Rule:
    """What a row of the table says under these options (PS3.15 E.3).

    Where several options speak, one that keeps wins over one that cleans; but a date is moved under Modified Dates
    whoever else would keep it, because one original date among moved ones tells by how much they were moved.
    """
    speaking = {option: cell for option, cell in row.options.items() if option in options}
    if Option.RETAIN_MODIFIED_DATES in speaking:
        return Rule(Treatment.CLEAN, row.basic, Option.RETAIN_MODIFIED_DATES)
    for cell, treatment in (("K", Treatment.KEEP), ("C", Treatment.CLEAN)):
        found = next((option for option in Option if speaking.get(option) == cell), None)
        if found is not None:
            return Rule(treatment, row.basic, found)
    return Rule(Treatment.CODE, row.basic, because)


@cache
def basic_profile() -> Profile:
    """The Basic Profile without an option, for image volumes."""
    return Profile(name="basic")


@cache
def default_profile() -> Profile:
    """What holds when nobody chose another: the Basic Profile, and of what it does not name only what models need."""
    return Profile(others=Others.NEEDED)
