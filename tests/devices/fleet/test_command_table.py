"""The table of commands is whole: an action has one row, and the row's handler takes the row's arguments."""

from inspect import signature
from typing import get_args

import pytest

from devices.firmware import commands
from devices.fleet.command_handler import command_spec
from edgewire.messages.control import CommandAction

ACTIONS = get_args(CommandAction)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_has_a_handler_of_its_arguments(action: CommandAction) -> None:
    spec = command_spec(action)
    *_, parameter = signature(spec.handle).parameters.values()
    assert parameter.annotation is spec.arguments


def test_there_are_no_arguments_without_an_action() -> None:
    arguments = [command_spec(action).arguments for action in ACTIONS]
    assert len(set(arguments)) == len(ACTIONS)
    assert set(arguments) == set(commands.CommandArguments.__subclasses__())
