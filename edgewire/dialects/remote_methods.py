"""Commands as platforms send them: a method by its name, with parameters. Methods are the actions of the contract."""

from collections.abc import Mapping
from typing import Any, cast, get_args

from edgewire.dialects.encoder import seconds_argument
from edgewire.dialects.values import shown
from edgewire.messages.control import CommandAction

INTERVAL_S = "interval_s"
"""Seconds between readings: what platforms may set of a device beside its methods."""
_ACTIONS = frozenset(get_args(CommandAction))
_LONGEST_NAME = 100


def asked_action(method: object, params: object) -> tuple[CommandAction, dict[str, Any]] | None:
    """Return the action that a method asks for, and its arguments; None where no device knows it.

    `{"interval_s": 5}` stands for `{"interval": "5s"}`: people at platforms write numbers.
    """
    if not isinstance(method, str) or method not in _ACTIONS:
        return None
    arguments = dict(params) if isinstance(params, dict) else {}
    if INTERVAL_S in arguments:
        arguments["interval"] = seconds_argument(arguments.pop(INTERVAL_S))
    return cast("CommandAction", method), arguments


def unknown_method(method: object) -> str:
    """Return what a device says to a method that it does not know."""
    return f"there is no method {shown(method)}; there are {', '.join(sorted(_ACTIONS))}"


def asked_interval(said: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of `set_interval`, where an object with settings of a device has an interval."""
    value = said.get(INTERVAL_S)
    return None if value is None else {"interval": seconds_argument(value)}


def method_name(method: object) -> str:
    """Return a method as it is kept until it is answered."""
    return method[:_LONGEST_NAME] if isinstance(method, str) else ""
