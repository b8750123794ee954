"""The application a user runs: commands, ingest service, verification, demo. Composes devices and bridge."""
