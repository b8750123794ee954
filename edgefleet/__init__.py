"""The application a user runs: commands, ingest service, verification, demo. Composes devices and bridge."""

__version__ = "0.1.0"
