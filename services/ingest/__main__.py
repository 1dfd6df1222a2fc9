"""Run ingest."""

from services.chassis.service import main
from services.ingest.bootstrap import build
from services.ingest.settings import Settings

if __name__ == "__main__":
    main("ingest", Settings, build)
