"""PostgreSQL refuses to run as root: the ways to run it as somebody else, in whatever folder the clone lies."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from services.launcher.errors import StartFailed

_ACCOUNTS = ("postgres", "nobody")


def without_root(folder: Path, initdb: Path) -> tuple[str, ...]:
    """The words to put before a command so that it runs unprivileged, can run PostgreSQL and owns `folder`.

    Empty for a plain user. For root the first that works of: an existing account; the same account with the one
    capability to pass through folders that are closed to it (a clone under /root); a user namespace of its own.

    Raises:
        StartFailed: none works.
    """
    if os.geteuid() != 0:
        return ()
    for prefix, owner in _candidates():
        _give(folder, owner)
        # `--show` looks for the programs beside initdb, as the real thing does, and changes nothing
        check = [*prefix, "sh", "-c", 'test -w "$0" && "$1" --show --pgdata="$0"', str(folder), str(initdb)]
        if subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return prefix
    raise StartFailed(
        "PostgreSQL does not run as root, and no other user can reach the clone and the data folder; "
        "run ./plexus as a plain user, or put the clone and PLEXUS_DATA where others may enter"
    )


def _candidates() -> Iterator[tuple[tuple[str, ...], tuple[int, int]]]:
    account = _account()
    # --pdeathsig: a change of user clears the one that the supervisor has set
    change = ("setpriv", "--pdeathsig", "INT", "--clear-groups")
    ids = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}")
    owner = (account.pw_uid, account.pw_gid)
    yield (*change, *ids, "--inh-caps=-all", "--"), owner
    # no_setuid_fixup: otherwise access(2), which initdb asks, would not count the capability
    only = "-all,+dac_override"
    capability = (f"--bounding-set={only}", f"--inh-caps={only}", "--ambient-caps=+dac_override")
    yield (*change, *ids, "--securebits=+no_setuid_fixup", *capability, "--"), owner
    mapped = (f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}")
    yield ("unshare", "--user", *mapped, "--", "setpriv", "--pdeathsig", "INT", "--"), (0, 0)


def _account() -> pwd.struct_passwd:
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartFailed("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")


def _give(folder: Path, owner: tuple[int, int]) -> None:
    if folder.stat().st_uid == owner[0]:
        return
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root, name), *owner, follow_symlinks=False)
    os.chown(folder, *owner)
