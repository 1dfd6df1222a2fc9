"""Run the archive."""

from services.archive.bootstrap import build
from services.archive.settings import Settings
from services.chassis.service import main

if __name__ == "__main__":
    main("archive", Settings, build)
