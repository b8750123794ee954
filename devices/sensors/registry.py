"""The one table of device kinds: what lists kinds reads it.

Every kind of the contract has its sensor in `devices.sensors.<kind>`, a module, or a folder with a module `sensor`;
there `KIND` is its `DeviceKind`. So a new kind is named in the contract alone. Behind them stand those that were added
since: kinds of plug-ins (`KindPlugin`, by the entry point `edgefleet.kinds`), and those that scenarios declare.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib import import_module

from devices.sensors.guard import guarded
from devices.sensors.kind import DeviceKind, KindPlugin
from edgewire.config_errors import closest
from edgewire.dialects.entities import add_entities
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT
from edgewire.plugins import Plugin, load_plugins

_SENSORS = "devices.sensors"
GROUP = "edgefleet.kinds"
"""Of the entry points of plug-ins, each a `KindPlugin`."""


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


class KindTable(Mapping[str, DeviceKind]):
    """Holds every kind by its name, in the order of the contract."""

    def __init__(self) -> None:
        self._kinds = {name: load_kind(name) for name in CONTRACT}
        self._declared: set[str] = set()
        found = load_plugins(GROUP, KindPlugin)
        self._faults = dict(found.faults)
        for plugin in found.loaded:
            try:
                self._add_guarded(plugin)
            except ConfigError as error:
                self._faults[plugin.name] = f"{plugin.said} cannot be used: {error}"

    def __getitem__(self, name: str) -> DeviceKind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def _add_guarded(self, plugin: Plugin[KindPlugin]) -> None:
        brought = plugin.value
        if brought.kind.name in self._kinds and not CONTRACT.is_reserved(brought.kind.name):
            raise ConfigError(f"kind '{brought.kind.name}' is of another plug-in")
        fields = frozenset(name for message in brought.contract.messages for name in message.model.model_fields)
        self.add(replace(brought, kind=guarded(brought.kind, fields, plugin.said)))

    def declare(self, plugin: KindPlugin) -> None:
        """Add a kind that a scenario declares; it is not there for scenarios that do not.

        Raises `ConfigError` as `add`, and for the name of a plug-in's.
        """
        name = plugin.kind.name
        if name in self._kinds and not self.is_declared(name) and not CONTRACT.is_reserved(name):
            raise ConfigError(f"kind '{name}' comes with a plug-in: give yours another name")
        self.add(plugin)
        self._declared.add(name)

    @property
    def declared(self) -> frozenset[str]:
        """Return the kinds that scenarios declare."""
        return frozenset(self._declared)

    def is_declared(self, name: str) -> bool:
        """Return whether a kind is one that a scenario declares."""
        return name in self._declared

    def add(self, plugin: KindPlugin) -> None:
        """Add a kind, with its contract, or replace one that was added.

        Raises `ConfigError` for the name of one of edgefleet's own.
        """
        name = plugin.kind.name
        if plugin.contract.kind != name:
            raise ConfigError(f"kind '{name}' has the contract of kind '{plugin.contract.kind}': give both one name")
        if CONTRACT.is_reserved(name):
            raise ConfigError(f"kind '{name}' comes with edgefleet: give yours another name")
        CONTRACT.add(plugin.contract)
        add_entities(name, plugin.entities)
        self._kinds[name] = plugin.kind

    def remove(self, name: str) -> None:
        """Take away a kind that was added; nothing happens where there is none."""
        if not CONTRACT.is_reserved(name):
            CONTRACT.remove(name)
            self._declared.discard(name)
            self._kinds.pop(name, None)

    def unknown(self, name: str, declared: Collection[str] | None = None) -> str:
        """Return what is said of a name that is none of them: also why, where a plug-in has it and cannot be loaded.

        `declared` are the kinds that the scenario declares; without it any that one has declared may be meant.
        """
        broken = self._faults.get(name)
        if broken is not None:
            return f"is not there: {broken}"
        more = "".join(f"; {said}" for said in self._faults.values())
        others = self._declared if declared is None else declared
        known = [*(one for one in self if one not in self._declared), *sorted(others)]
        return f"is not a kind of device{closest(name, known)}; there are {', '.join(known)}{more}"


KINDS = KindTable()
"""Kind -> what it is, in the order of the contract."""
