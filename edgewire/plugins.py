"""Finds what other packages bring, by their entry points; one that is broken is told, and is in nobody's way."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Plugin(Generic[Value]):
    """Holds what an entry point brings."""

    name: str
    """Of the entry point."""
    said: str
    """What it is called in a sentence: `plug-in 'energy' of meters 1.2 (edgefleet.kinds)`."""
    value: Value


@dataclass(frozen=True, slots=True)
class FoundPlugins(Generic[Value]):
    """Holds what the entry points of a group bring."""

    loaded: tuple[Plugin[Value], ...]
    faults: dict[str, str]
    """Name of an entry point -> why it cannot be used, in a sentence that names it and its package."""

    def named(self, name_of: Callable[[Value], str], taken: Collection[str]) -> "NamedPlugins[Value]":
        """Return them by their names; one whose name is among those `taken`, or is another's, is a fault."""
        values: dict[str, Value] = {}
        faults = dict(self.faults)
        for plugin in self.loaded:
            name = name_of(plugin.value)
            if name in taken or name in values:
                owner = "comes with edgefleet" if name in taken else "is of another plug-in"
                faults[plugin.name] = f"{plugin.said} cannot be used: '{name}' {owner}"
            else:
                values[name] = plugin.value
        return NamedPlugins(values, faults)


@dataclass(frozen=True, slots=True)
class NamedPlugins(Generic[Value]):
    """Holds what the entry points of a group bring, by the names under which it is used."""

    values: dict[str, Value]
    faults: dict[str, str]
    """As in `FoundPlugins`."""

    def told(self, name: str) -> str:
        """Return why there is nothing of a name, to be said behind that: of the plug-in that has it, or of all."""
        told = [self.faults[name]] if name in self.faults else list(self.faults.values())
        return "".join(f"; {fault}" for fault in told)


def load_plugins(group: str, expected: type[Value]) -> FoundPlugins[Value]:
    """Load every entry point of a group, each of which has to be an `expected`; raises nothing."""
    loaded: list[Plugin[Value]] = []
    faults: dict[str, str] = {}
    for point in sorted(entry_points(group=group), key=lambda one: (one.name, one.value)):
        said = _said(point)
        try:
            found = point.load()
        # Whatever another package does as it is imported, also end the process, is its fault alone.
        except (Exception, SystemExit) as error:
            faults[point.name] = f"{said} cannot be loaded: {type(error).__name__}: {error}"
            continue
        if not isinstance(found, expected):
            faults[point.name] = f"{said} is a {type(found).__name__}, and has to be a {expected.__name__}"
        elif any(point.name == other.name for other in loaded):
            faults[point.name] = f"{said} has the name of another one: remove one of the two packages"
        else:
            loaded.append(Plugin(point.name, said, found))
    return FoundPlugins(tuple(loaded), faults)


def _said(point: EntryPoint) -> str:
    package = f" of {point.dist.name} {point.dist.version}" if point.dist is not None else ""
    return f"plug-in '{point.name}'{package} ({point.group})"
