"""Lets commands take options from variables of the environment, as the configuration files do.

An option names its variable as `envvar`. One that is empty is not set, `NAME_FILE` names a file that holds the value of
NAME, a `.env` file in the working directory has the same names, and what Kubernetes makes of services is none of ours.
What is wrong with a value is said of the variable, where the value is from one. A name that nothing knows is refused.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # the command line's library has its own types, which are private to it

import typer

from edgewire.errors import ConfigError

PREFIX = "EDGEFLEET_"


def take_variables(command: Any) -> None:
    """Have a command, or all commands of a group, take what their options have in the environment."""
    for one in _commands(command):
        for parameter in one.params:
            if parameter.envvar:
                parameter.resolve_envvar_value = _lookup(parameter)
        one.make_context = _blaming_variables(one.make_context)
        one.invoke = _refusing_unknown(one.invoke)


def option_variables(command: Any) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Yield each option and argument of a command, or of all commands of a group: command, parameter, variables."""
    for name, one in getattr(command, "commands", {"": command}).items():
        if hasattr(one, "commands"):
            yield from ((f"{name} {inner}", *found) for inner, *found in option_variables(one))
        else:
            yield from ((name, parameter, _names(parameter)) for parameter in one.params)


def _commands(command: Any) -> Iterator[Any]:
    if hasattr(command, "commands"):
        for one in command.commands.values():
            yield from _commands(one)
    else:
        yield command


def _names(parameter: Any) -> tuple[str, ...]:
    names = parameter.envvar or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _lookup(parameter: Any) -> Any:
    def resolve(_: Any) -> str | None:
        if not _any_set():
            return None  # and nothing to be loaded for it
        from edgewire.environment import read_variable

        return next(filter(None, map(read_variable, _names(parameter))), None)

    return resolve


def _blaming_variables(make_context: Any) -> Any:
    """Name the variable, not the option, in what the command line's library says of a value."""

    def made(*args: Any, **settings: Any) -> Any:
        try:
            return make_context(*args, **settings)
        except typer.BadParameter as error:
            if error.param is not None and error.ctx is not None and error.param_hint is None:
                variable = _variables(error.ctx).get(error.param.name or "")
                error.param_hint = f"environment variable {variable}" if variable else f"'{_option(error.param)}'"
            raise

    return made


def _refusing_unknown(invoke: Any) -> Any:
    """Refuse names that nothing knows before the command runs, and name variables in what it says of options."""

    def invoked(context: Any) -> Any:
        _refuse_unknown()
        try:
            return invoke(context)
        except ConfigError as error:
            raise type(error)(_blame(str(error), context)) from error.__cause__
        except typer.BadParameter as error:
            error.message = _blame(error.message, context)
            if isinstance(error.param_hint, str):
                error.param_hint = _blame(error.param_hint, context)
            raise

    return invoked


def _blame(text: str, context: Any) -> str:
    variables = _variables(context)
    for parameter in context.command.params:
        if variable := variables.get(parameter.name):
            for option in parameter.opts:
                text = re.sub(rf"(?m)^{re.escape(option)}(?![\w-])", f"environment variable {variable}", text)
                text = re.sub(rf"(?<![\w-]){re.escape(option)}(?![\w-])", variable, text)
    return text


def _variables(context: Any) -> dict[str, str]:
    """Return the parameters whose values are from the environment, with their variables."""
    found: dict[str, str] = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name == "ENVIRONMENT":
            found[parameter.name] = _set_name(_names(parameter))
    return found


def _set_name(names: tuple[str, ...]) -> str:
    from edgewire.environment import variable_set

    return next(filter(None, map(variable_set, names)), names[0])


def _option(parameter: Any) -> str:
    return str(parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar or parameter.name)


def _any_set() -> bool:
    return any(name.upper().startswith((PREFIX, "FLEET_")) for name in os.environ) or Path(".env").exists()


def _refuse_unknown() -> None:
    if not _any_set():
        return
    from edgewire.environment import (
        doubtful_variables,
        misspelt_shard_variables,
        unknown_variables,
        variable_leads_to_key,
    )

    if misspelt := misspelt_shard_variables():
        raise ConfigError("\n".join(misspelt))
    doubtful = doubtful_variables(PREFIX)
    if not doubtful:
        return
    # Not every command needs the scenario's keys, and all that stands behind them.
    from devices.scenario.scenario import Scenario

    unknown = [name for name in doubtful if not variable_leads_to_key(name, Scenario, PREFIX)]
    if unknown:
        raise ConfigError("\n".join(unknown_variables(unknown, PREFIX, [Scenario])))
