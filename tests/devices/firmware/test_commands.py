"""What is made of whatever arrives on `cmd`."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.commands import (
    REMEMBERED,
    InvalidCommand,
    ResponseCache,
    SetFault,
    SetInterval,
    ValidCommand,
    read_command,
)
from devices.fleet.command_handler import command_spec
from edgewire.clock import iso_ms, parse_ms

NOW_MS = parse_ms("2026-03-04T12:00:00Z")
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def read(fields: object) -> ValidCommand | InvalidCommand:
    return read_bytes(orjson.dumps(fields))


def read_bytes(payload: bytes) -> ValidCommand | InvalidCommand:
    return read_command(payload, "bme280", NOW_MS, lambda action: command_spec(action).arguments)


@given(payload=st.binary(max_size=200) | json.filter(lambda value: not _too_large(value)).map(orjson.dumps))
def test_garbage_is_a_sentence_and_never_a_command(payload: bytes) -> None:
    found = read_bytes(payload)
    assert isinstance(found, InvalidCommand)
    assert found.error


def _too_large(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False


@given(
    action=st.sampled_from(["set_interval", "reboot", "set_fault", "update_firmware", "stop"]),
    arguments=st.dictionaries(st.sampled_from(["interval", "type", "version", "duration", "field"]), json, max_size=3),
)
def test_wrong_arguments_keep_the_id(action: str, arguments: dict[str, object]) -> None:
    if _too_large(arguments):
        return
    found = read({"id": "c-1", "action": action, "arguments": arguments})
    assert found.id == "c-1"
    if isinstance(found, InvalidCommand):
        assert found.error.startswith("arguments: ")


@pytest.mark.parametrize("duration", [1e300, 1e18, "99999999d"])
def test_a_fault_of_a_million_years_is_refused(duration: object) -> None:
    """Its end would be no date: the error ended the connection, and the broker sent the command again and again."""
    wrong = read({"id": "c", "action": "set_fault", "arguments": {"type": "dropout", "duration": duration}})
    assert isinstance(wrong, InvalidCommand)
    assert "a duration is 100 years at the most" in wrong.error


def test_an_interval_is_a_duration() -> None:
    for written in ("5s", 5, "5000ms"):
        found = read({"id": "c", "action": "set_interval", "arguments": {"interval": written}})
        assert found == ValidCommand("c", "set_interval", SetInterval(interval="5s"))


@pytest.mark.parametrize(("offset_ms", "late"), [(-1, True), (0, False), (60_000, False)])
def test_a_command_is_late_after_its_time(offset_ms: int, late: bool) -> None:
    found = read({"id": "c", "action": "stop", "expires": iso_ms(NOW_MS + offset_ms)})
    assert isinstance(found, InvalidCommand) is late
    if isinstance(found, InvalidCommand):
        assert "expired at 2026-03-04T11:59:59.999Z" in found.error


def test_a_fault_is_that_of_the_calendar_without_its_schedule() -> None:
    arguments = {"type": "bias", "field": "humidity", "offset": 2, "duration": "1m"}
    found = read({"id": "c", "action": "set_fault", "arguments": arguments})
    assert isinstance(found, ValidCommand)
    assert isinstance(found.arguments, SetFault)
    assert found.arguments.duration_ms == 60_000
    assert found.arguments.fault.parameters == {"offset": 2}
    for wrong in ({"from": "2026-01-01"}, {"kind": "gps"}, {"share": 0.5}, {"type": "reboot"}, {"type": "burst"}):
        assert isinstance(read({"id": "c", "action": "set_fault", "arguments": arguments | wrong}), InvalidCommand)


def test_a_command_that_is_too_long_is_not_read() -> None:
    assert "9" in read_bytes(b"x" * 9000).error  # type: ignore[union-attr]


def test_the_last_responses_are_remembered() -> None:
    responses = ResponseCache()
    for number in range(REMEMBERED + 3):
        responses.cache_response(f"c{number}", b"%d" % number)
    assert responses.cached_response("c2") is None
    assert responses.cached_response("c3") == b"3"
    assert responses.cached_response(f"c{REMEMBERED + 2}") == b"%d" % (REMEMBERED + 2)
