"""How long a fleet in a test is let run: told before any of it is started."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from edgefleet.testing import Fleet

NOWHERE = "mqtt://127.0.0.1:1"


@pytest.fixture
def stepped() -> Iterator[Fleet]:
    """A fleet whose time passes at another scale from a step on."""
    steps = [{"at": "10s", "action": "set", "time_scale": 60}]
    with closing(Fleet("bme280", broker=NOWHERE, time_scale=10, scenario={"steps": steps})) as fleet:
        yield fleet


def test_a_time_of_the_devices_is_refused_where_a_step_changes_its_scale(stepped: Fleet) -> None:
    with pytest.raises(ValueError, match="a step of the scenario changes the time scale: give seconds or messages"):
        next(stepped.waits(None, "1d", None, 1))


@pytest.mark.parametrize("given", [(), (1.0, "1d"), (None, "1d", 5)])
def test_one_way_to_say_how_long_is_wanted(given: tuple[object, ...], stepped: Fleet) -> None:
    seconds, simulated, messages = [*given, None, None, None][:3]
    with pytest.raises(ValueError, match="give one of seconds, simulated and messages"):
        next(stepped.waits(seconds, simulated, messages, 1))  # type: ignore[arg-type]
