"""`python -m services.launcher`: what `./plexus` runs."""

from services.launcher.cli import app

if __name__ == "__main__":
    app(prog_name="plexus")
