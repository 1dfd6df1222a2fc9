"""Run the bridge."""

from services.bridge.bootstrap import build
from services.bridge.settings import Settings
from services.chassis.service import main

if __name__ == "__main__":
    main("bridge", Settings, build)
