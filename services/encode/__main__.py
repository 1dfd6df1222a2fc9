"""Run the service: `python -m services.encode`."""

from services.chassis.service import main
from services.encode.bootstrap import build
from services.encode.settings import Settings

if __name__ == "__main__":
    main("encode", Settings, build)
