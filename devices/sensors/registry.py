"""The one table of device kinds: what lists kinds reads it.

Every kind of the contract has its sensor in `devices.sensors.<kind>`, a module, or a folder with a module `sensor`;
there `KIND` is its `DeviceKind`. So a new kind is named in the contract alone.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from devices.sensors.kind import DeviceKind
from edgewire.messages import CONTRACT

_SENSORS = "devices.sensors"


def load_kind(name: str) -> DeviceKind:
    """Return the `DeviceKind` of a kind of the contract; raises `ImportError` that says where it is missing."""
    where = f"{_SENSORS}.{name}"
    try:
        module = import_module(where)
        if hasattr(module, "__path__"):
            where = f"{where}.sensor"
            module = import_module(where)
    except ModuleNotFoundError as error:
        if error.name != where:
            raise
        module = None
    kind = getattr(module, "KIND", None)
    if not isinstance(kind, DeviceKind) or kind.name != name:
        raise ImportError(
            f"kind '{name}' of the contract has no sensor: {_SENSORS}.{name} (or {_SENSORS}.{name}.sensor) "
            f"needs a line KIND = DeviceKind('{name}', ...)"
        )
    return kind


KINDS: Mapping[str, DeviceKind] = MappingProxyType({name: load_kind(name) for name in CONTRACT})
"""Kind -> what it is, in the order of the contract."""
