"""Fixtures that every layer shares; the real services themselves are in tests/services/."""

import os

from hypothesis import settings

pytest_plugins = ["tests.services.fixtures"]

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
