"""Run the catalogue: `python -m services.catalogue`."""

from services.catalogue.bootstrap import build
from services.catalogue.settings import Settings
from services.chassis.service import main

if __name__ == "__main__":
    main("catalogue", Settings, build)
