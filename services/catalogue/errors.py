"""What the catalogue refuses or cannot do.

PassingFault
├── DatabaseUnavailableError
└── ServerUnavailableError     Triton does not answer
PermanentFault
├── UnreadableFactError        a message is not the event that its subject promises
├── NoSuchModelError           404
├── VersionConflictError       409: what is asked does not fit the version's state, or the version is taken
├── PackageRefusedError        422: the package or its card cannot be used
├── PackageTooLargeError       413
└── ModelBrokenError           422: Triton could not load it, or it threw
    └── EnvironmentBrokenError its environment could not be built
"""

from __future__ import annotations

from services.chassis.faults import Fault, PassingFault, PermanentFault


class DatabaseUnavailableError(PassingFault):
    """PostgreSQL does not answer now."""

    def __init__(self) -> None:
        super().__init__("database-unavailable", "the catalogue's database does not answer")


class ServerUnavailableError(PassingFault):
    """Triton does not answer now."""

    def __init__(self) -> None:
        super().__init__("triton-unavailable", "Triton does not answer")


class UnreadableFactError(PermanentFault):
    """The bytes are not the event that the subject promises."""

    def __init__(self) -> None:
        super().__init__("unreadable-event", "a message is not the event that its subject promises")


class NoSuchModelError(PermanentFault):
    """There is no such model or version."""

    def __init__(self, what: str) -> None:
        super().__init__("no-such-model", f"there is no {what}")


class VersionConflictError(PermanentFault):
    """The version's state does not allow what is asked."""

    def __init__(self, reason: str) -> None:
        super().__init__("version-conflict", reason)


class PackageRefusedError(PermanentFault):
    """The package cannot be used; the reason names the file or the key."""

    def __init__(self, reason: str) -> None:
        super().__init__("package-refused", reason)


class PackageTooLargeError(PermanentFault):
    """The package is larger than the setting allows."""

    def __init__(self) -> None:
        super().__init__("package-too-large", "the package is larger than PLEXUS_CATALOGUE_PACKAGE_MAX_BYTES allows")


class ModelBrokenError(PermanentFault):
    """Triton could not load the model, or the model threw; the words are the model's own, cut short."""

    def __init__(self, what: str, words: str) -> None:
        super().__init__("model-broken", f"{what}: {' '.join(words.split())[:500]}")


class EnvironmentBrokenError(ModelBrokenError):
    """The environment of the package's lock file could not be built; the words are the builder's own, cut short."""

    def __init__(self, words: str) -> None:
        super().__init__("the environment of requirements.lock cannot be built", words)


def http_status(fault: Fault) -> int:
    """The HTTP status of a fault."""
    match fault:
        case NoSuchModelError():
            return 404
        case VersionConflictError():
            return 409
        case PackageTooLargeError():
            return 413
        case PackageRefusedError() | ModelBrokenError():
            return 422
        case PassingFault():
            return 503
        case _:
            return 400
