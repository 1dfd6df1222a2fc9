"""`python -m services.anonymise`."""

from services.anonymise.bootstrap import build
from services.anonymise.settings import Settings
from services.chassis.service import main

if __name__ == "__main__":
    main("anonymise", Settings, build)
