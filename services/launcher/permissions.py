"""Makes deploy/nats/permissions.conf of `services.contracts.voices`: a user for each service.

`python -m services.launcher.permissions` writes it, `--check` only compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from services.contracts import subjects
from services.contracts.voices import VOICES, Voice
from services.launcher.settings import REPOSITORY

FILE = REPOSITORY / "deploy" / "nats" / "permissions.conf"

_HEAD = """\
# Made by `python -m services.launcher.permissions` from services/contracts/voices.py; `./plexus test` compares.
# One user a service. Each may say what it says, hear what it hears through its own consumer, and read its own inbox:
# on a common one it could listen to the answers that others get.
users: [
  {
    # A person, by way of the command line: looks into streams, replays dead letters.
    user: operator
    password: $PLEXUS_NATS_OPERATOR_PASSWORD
    permissions { publish: ">", subscribe: ">" }
  }
"""


def configuration() -> str:
    """The file as it has to be."""
    return _HEAD + "".join(_user(voice) for voice in VOICES) + "]\n"


def _user(voice: Voice) -> str:
    name = voice.service
    publish = "".join(f'        "{subject}"\n' for subject in _published(voice))
    subscribe = "".join(f'        "{subject}"\n' for subject in (f"_INBOX_{name}.>", *voice.overhears))
    return (
        f"  {{\n    user: {name}\n    password: $PLEXUS_NATS_{name.upper()}_PASSWORD\n    permissions {{\n"
        f"      publish: [\n{publish}      ]\n      subscribe: [\n{subscribe}      ]\n    }}\n  }}\n"
    )


def _published(voice: Voice) -> Iterator[str]:
    yield from voice.says
    for each in voice.hears:
        yield f"{subjects.DEAD}.{each.consumer}"
        yield f"$JS.API.CONSUMER.INFO.{each.stream}.{each.consumer}"
        yield f"$JS.API.CONSUMER.CREATE.{each.stream}.{each.consumer}.{each.subject}"
        yield f"$JS.API.CONSUMER.MSG.NEXT.{each.stream}.{each.consumer}"
        yield f"$JS.ACK.{each.stream}.{each.consumer}.>"
    for stream in subjects.STREAMS:
        yield f"$JS.API.STREAM.INFO.{stream.name}"
        if voice.makes_streams:
            yield f"$JS.API.STREAM.CREATE.{stream.name}"
            yield f"$JS.API.STREAM.UPDATE.{stream.name}"


def main(arguments: list[str], file: Path = FILE) -> int:
    """Write it, or compare."""
    wanted = configuration()
    if "--check" in arguments:
        if not file.exists() or file.read_text() != wanted:
            print(f"{file} is not what the code makes: python -m services.launcher.permissions", file=sys.stderr)
            return 1
        return 0
    file.write_text(wanted)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
