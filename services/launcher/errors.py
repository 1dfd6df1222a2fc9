"""What can stand in the launcher's way. Each message says what to do, and none holds PHI.

LauncherError
├── SetupError         something could not be fetched or installed
├── PortTaken          a port that a part needs is in use
├── MeshNotUp          the command needs a running mesh
├── MeshAlreadyUp      another supervisor holds the data folder
├── StartFailed        a part did not become ready
└── EdgeError          the edge answered what we did not expect
"""

from __future__ import annotations


class LauncherError(Exception):
    """Base of all: the text is for the person at the terminal; the command ends with exit code 1."""


class SetupError(LauncherError):
    """Something that the mesh needs could not be fetched, verified or installed."""


class PortTaken(LauncherError):
    """A port is in use already; names the port, the part and the setting that moves it."""


class MeshNotUp(LauncherError):
    """The command needs a running mesh."""


class MeshAlreadyUp(LauncherError):
    """Another supervisor runs on this data folder."""


class StartFailed(LauncherError):
    """A part did not become ready; carries the tail of its log."""


class EdgeError(LauncherError):
    """The edge, or the service behind it, answered something unexpected."""
