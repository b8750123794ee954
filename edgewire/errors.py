"""The root of every error that edgefleet raises on purpose.

A message says what happened, to what, and what to do next: it is printed to a user as it is, on one line.
"""


class EdgefleetError(Exception):
    """Anything we raise for a reason a user can act on; commands print it and exit with `exit_code`."""

    exit_code = 1


class ConfigError(EdgefleetError):
    """A scenario, configuration file, environment variable or flag is wrong; names the file and the key."""

    exit_code = 2


class ServiceUnavailable(EdgefleetError):
    """A broker, HTTP service or Kafka cluster cannot be reached; names its address."""
