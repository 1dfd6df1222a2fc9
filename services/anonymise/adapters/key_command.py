"""The keys of the pseudonyms from elsewhere: a program of the site asks its key management service, and prints them.

Any service will do that has a command line, such as Vault or a cloud's KMS; the keys are never in a file of ours.
"""

from __future__ import annotations

import shlex
import subprocess
from typing import Final

from services.anonymise.adapters.key_file import Keys
from services.anonymise.engine.pseudonyms import KEY_BYTES, Pseudonyms
from services.anonymise.errors import KeyFileError

_SECONDS: Final = 60


def read_keys(command: str) -> Keys:
    """The keys that a command prints: 64 hexadecimal digits a line, the current key first, older ones after it.

    Args:
        command: a program and its arguments; no shell reads it.

    Raises:
        KeyFileError: it cannot be run, or prints something else. What it printed is never told.
    """
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, timeout=_SECONDS, check=False, text=True)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise KeyFileError(f"the key command cannot be run ({type(error).__name__})") from None
    if done.returncode != 0:
        raise KeyFileError(f"the key command ended with exit code {done.returncode}")
    keys = []
    for number, line in enumerate(done.stdout.split(), start=1):
        try:
            key = bytes.fromhex(line)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeyFileError(f"the key command printed no key of {KEY_BYTES} bytes in line {number}")
        keys.append(Pseudonyms(key))
    if not keys:
        raise KeyFileError("the key command printed nothing")
    return Keys(keys[0], {each.key_id: each for each in reversed(keys)})
