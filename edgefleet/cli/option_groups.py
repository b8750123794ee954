"""Lets several commands have the same options: a dataclass lists them once."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

Command = Callable[..., None]


def takes_options(**groups: type) -> Callable[[Command], Command]:
    """Give a command the options that the fields of a dataclass are, in the place of its parameter of that name."""

    def decorate(command: Command) -> Command:
        fields = {name: signature(group).parameters for name, group in groups.items()}
        parameters = [
            option.replace(kind=Parameter.KEYWORD_ONLY)
            for own in signature(command).parameters.values()
            for option in (fields[own.name].values() if own.name in fields else [own])
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            made = {name: group(**{key: given.pop(key) for key in fields[name]}) for name, group in groups.items()}
            command(**made, **given)

        run.__dict__["__signature__"] = Signature(parameters)
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate
