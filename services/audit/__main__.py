"""Run the audit log: `python -m services.audit`."""

from services.audit.bootstrap import build
from services.audit.settings import Settings
from services.chassis.service import main

if __name__ == "__main__":
    main("audit", Settings, build)
