"""Loads the module of a command when the command is called: `edgefleet run` waits for nothing that `verify` needs."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

RICH_MARKUP_MODE: Final = "markdown"


class LazyCommands(MutableMapping[str, Any]):
    """Maps the name of a command to what its module defines: a function `command`, or a group `app`.

    Such a module may import at its top what is needed to show its help, and nothing else: all the help of the program
    has to come up in the time in which a shell does.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._found: dict[str, Any] = dict(modules)

    def __getitem__(self, name: str) -> Any:
        found = self._found[name]
        if isinstance(found, str):
            found = self._found[name] = _load_command(name, found)
        return found

    def __setitem__(self, name: str, command: Any) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class CommandGroup(TyperGroup):
    """Is a group of commands whose help comes up fast."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options before the command, as any group, but without pydantic.

        Typer imports it to find the value of a flag that has no default, as `--help` of a group whose command's help
        is asked for.
        """
        for option in self.get_params(ctx):
            if getattr(option, "is_flag", False) and option.default is None:
                option.default = False
        return super().parse_args(ctx, args)


def lazy_group(modules: Mapping[str, str]) -> type[TyperGroup]:
    """Return a group whose commands are in these modules, by name and in this order."""

    class LazyGroup(CommandGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.commands = LazyCommands(modules)

    return LazyGroup


def _load_command(name: str, module: str) -> Any:
    found = import_module(module)
    app = getattr(found, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=RICH_MARKUP_MODE)
        app.command(name)(found.command)
    from edgefleet.cli.variables import take_variables

    command = typer.main.get_command(app)
    command.name = name
    take_variables(command)
    return command
