"""Stands in for the framework of `application` packages: an application, its inference tasks, and their types."""

from __future__ import annotations

from enum import Enum
from typing import Any


class InferType(str, Enum):  # noqa: UP042 - StrEnum is younger than the Python of Triton's images
    """What an inference task does."""

    SEGMENTATION = "segmentation"
    ANNOTATION = "annotation"
    CLASSIFICATION = "classification"
    DETECTION = "detection"
    OTHERS = "others"


class InferTask:
    """A task: `type`, and `run()`, which an author must write."""

    type: Any = InferType.OTHERS

    def __init__(self, *positional: Any, **named: Any) -> None:
        for name, value in zip(
            ("path", "network", "type", "labels", "dimension", "description"), positional, strict=False
        ):
            setattr(self, name, value)
        for name, value in named.items():
            setattr(self, name, value)

    def run(self, request: dict[str, Any]) -> Any:
        """The answer to a request with `image` (a NIfTI file), `array` and `metadata`."""
        raise NotImplementedError("an InferTask needs a run()")


class Application:
    """What `main.py` inherits: it makes the tasks."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        for name, value in zip(("app_dir", "studies", "conf"), positional, strict=False):
            setattr(self, name, value)
        for name, value in named.items():
            setattr(self, name, value)

    def init_infers(self) -> Any:
        """The tasks by name, or a list of them."""
        return {}

    def tasks(self) -> list[InferTask]:
        """All inference tasks: those of `init_infers`, and those that are attributes."""
        made = self.init_infers()
        listed = list(made.values()) if isinstance(made, dict) else list(made)
        found = [*listed, *(one for one in vars(self).values() if isinstance(one, InferTask) and one not in listed)]
        for one in found:
            if not isinstance(one.type, Enum):
                raise TypeError("the type of an InferTask is an InferType")
        return found
