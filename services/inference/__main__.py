"""Run the service: `python -m services.inference`."""

from services.chassis.service import main
from services.inference.bootstrap import build
from services.inference.settings import Settings

if __name__ == "__main__":
    main("inference", Settings, build)
