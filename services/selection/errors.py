"""What is wrong with a rule."""

from __future__ import annotations


class RuleError(ValueError):
    """The rule cannot be used; the message says why."""


class RuleFailedError(Exception):
    """A rule could not be evaluated on a series. Holds the kind of error alone: its text quotes values."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
