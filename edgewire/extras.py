"""Says which extra brings a package that not everybody has installed."""

from importlib.util import find_spec

from edgewire.errors import ConfigError


def require_extra(module: str, extra: str, what: str) -> None:
    """Raise `ConfigError`, with the command that installs it, where a module is missing that `what` needs."""
    try:
        found = find_spec(module)
    except (ImportError, ValueError):  # barred by whoever has put something into `sys.modules` or `sys.meta_path`
        found = None
    if found is None:
        raise ConfigError(f"{what} needs the package {module}: pip install 'edgefleet[{extra}]'")


def require_kafka(what: str) -> None:
    """Raise `ConfigError` where the client of Kafka, which not every platform has, is missing."""
    require_extra("confluent_kafka", "kafka", what)
