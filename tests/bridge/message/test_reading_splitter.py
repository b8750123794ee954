"""A message of several readings is taken apart as it comes: each has a fate of its own."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from bridge.message.config import SubscriptionConfig
from bridge.message.reading_splitter import make_splitter
from bridge.message.user_properties import dump_properties, load_properties, reading_place
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage
from edgewire.dialects.reading_lists import MAX_READINGS

OBJECTS = {
    "fw": "firmware",
    "readings": {"each": {"t": "temperature_c", "n": "seq", "at": {"from": "timestamp", "as": "epoch_ms"}}},
    "boot": "boot",
}
COLUMNS = {"t": {"each": "temperature_c"}, "at": {"each": {"from": "timestamp", "as": "epoch_s"}}}
AT_S = 1_790_000_000


def resolved(mapping: Any, payload: bytes, **properties: Any) -> list[RoutedEvent | Unroutable | Dropped]:
    """Return what becomes of a message, reading by reading."""
    subscription = SubscriptionConfig.model_validate(
        {"filter": "p/#", "decode": {"topic": "p/{id}", "payload": mapping}}
    )
    splitter, table = make_splitter([subscription]), RouteTable(subscriptions=[subscription])
    assert splitter is not None
    carried = dump_properties(properties) if properties else None
    messages = splitter.split_messages([SpooledMessage(0, 5, "p/a", payload, 1, False, False, carried)])
    for number, message in enumerate(messages, 1):
        message.id = number
    return [table.resolve(message) for message in messages]


def fields_of(found: list[Any], *names: str) -> list[tuple[Any, ...]]:
    assert all(isinstance(one, RoutedEvent) for one in found), found
    return [tuple(one.fields.get(name) for name in names) for one in found]


def test_each_reading_is_a_message_of_its_own_with_what_stands_outside_the_list() -> None:
    readings = [{"t": 20 + n, "n": n, "at": 1000 * (AT_S + n)} for n in range(3)]
    found = resolved(OBJECTS, orjson.dumps({"fw": "2", "boot": 9, "readings": readings, "site_note": "x"}))
    assert fields_of(found, "temperature_c", "firmware", "seq") == [(20, "2", 0), (21, "2", 1), (22, "2", 2)]
    assert [one.message_id for one in found if isinstance(one, RoutedEvent)] == ["a:9:0", "a:9:1", "a:9:2"]
    assert fields_of(found, "other") == 3 * [({"site_note": "x"},)]


@pytest.mark.parametrize(
    ("mapping", "payload"),
    [
        (COLUMNS, {"t": [1, 2], "at": [AT_S, AT_S + 1]}),
        ({"each": ["temperature_c", {"from": "timestamp", "as": "epoch_s"}]}, [[1, AT_S], [2, AT_S + 1]]),
        ({"d": [{"each": {"t": "temperature_c", "at": {"from": "timestamp", "as": "epoch_s"}}}]},
         {"d": [[{"t": 1, "at": AT_S}, {"t": 2, "at": AT_S + 1}]]}),
    ],
)  # fmt: skip
def test_columns_and_lists_of_lists_are_taken_apart_as_well(mapping: Any, payload: Any) -> None:
    found = fields_of(resolved(mapping, orjson.dumps(payload)), "temperature_c", "timestamp")
    assert found == [(1, "2026-09-21T14:13:20.000Z"), (2, "2026-09-21T14:13:21.000Z")]


def test_bare_values_have_the_time_of_their_arrival_and_numbers_of_the_spool() -> None:
    found = resolved({"each": "temperature_c"}, b"[1,null,2]")
    assert isinstance(found[1], Dropped)
    assert fields_of([found[0], found[2]], "temperature_c", "seq") == [(1, 1), (2, 3)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"t": "warm", "n": 1, "at": 5}, "own: reading 2 of 3: 'warm' is no number"),
        ({"t": 5, "n": -1, "at": 5}, "own: reading 2 of 3: seq is -1: it is a whole number from 0 on"),
        (17, "own: reading 2 of 3: readings has 17 where the mapping has an object"),
    ],
)
def test_one_bad_reading_costs_no_good_one(bad: Any, reason: str) -> None:
    good = [{"t": n, "n": n, "at": 1000 * AT_S} for n in (0, 2)]
    found = resolved(OBJECTS, orjson.dumps({"boot": 9, "readings": [good[0], bad, good[1]]}))
    assert fields_of([found[0], found[2]], "temperature_c") == [(0,), (2,)]
    assert isinstance(found[1], Unroutable)
    assert found[1].reason == reason
    assert orjson.loads(found[1].message.payload)["readings"] == [bad]


@pytest.mark.parametrize("payload", [b'{"readings":[]}', b'{"readings":null,"fw":"2"}', b'{"readings":[{},null]}'])
def test_a_list_without_a_reading_is_left_out_by_a_rule(payload: bytes) -> None:
    found = resolved(OBJECTS, payload)
    assert {one.rule for one in found if isinstance(one, Dropped)} == {"own: no values"}
    assert all(isinstance(one, Dropped) for one in found)


@pytest.mark.parametrize(
    ("mapping", "payload", "reason"),
    [
        (OBJECTS, b'{"fw":"2"}', "there is no list of readings at readings"),
        (OBJECTS, b'{"readings":{"t":1}}', "readings is no list of readings: {'t': 1}"),
        (OBJECTS, b"no json", "payload is not JSON"),
        (COLUMNS, b'{"t":[1,2],"at":[1]}', "lists of readings of different lengths: t has 2, at has 1"),
        ({"each": "temperature_c"}, b"5", "payload is no JSON object: 5"),
        ({"each": "temperature_c"}, orjson.dumps([1] * 1001), "1,001 readings in one message, more than the 1,000"),
        (OBJECTS, orjson.dumps({"x": 4000 * "x", "readings": 1000 * [{"t": 1}]}), "would take more than 2,097,152"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_apart_is_one_dead_letter(mapping: Any, payload: bytes, reason: str) -> None:
    (found,) = resolved(mapping, payload)
    assert isinstance(found, Unroutable)
    assert reason in found.reason


def test_the_largest_list_is_taken_apart() -> None:
    assert len(resolved({"each": "temperature_c"}, orjson.dumps([1] * MAX_READINGS))) == MAX_READINGS


def test_properties_stay_with_each_reading() -> None:
    found = resolved({"each": "temperature_c"}, b"[1,2]", content_type="a/b", user_property=(("k", "v"),))
    carried = [one.message.properties for one in found]
    assert [reading_place(one) for one in carried] == ["reading 1 of 2", "reading 2 of 2"]
    assert all(load_properties(one).lookup("k") == "v" for one in carried)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"r": {"each": {"x": {"each": "humidity"}}}}, "r.0.x: each is inside another"),
        ({"r": {"each": "humidity", "n": 5}}, "r: each stands alone, without n"),
        ({"r": {"each": {"c": 5}}, "t": "humidity"}, "r: each has no field in it"),
        ({"r": {"each": {"n": "seq"}}, "t": "humidity"}, "each has no value of the device in it"),
        ({"n": "seq", "r": {"each": "humidity"}}, "write it inside each"),
        ({"at": "timestamp", "r": {"each": "humidity"}}, "the readings before the last would have no time"),
        ({"h": "humidity", "r": {"each": "humidity"}}, "'humidity' stands in two places"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(payload: Any, said: str) -> None:
    with pytest.raises(ValidationError, match="decode") as refused:
        SubscriptionConfig(filter="p/#", decode={"topic": "p/{id}", "payload": payload})
    assert said in str(refused.value)


def test_the_time_of_the_message_may_stand_beside_those_of_its_readings() -> None:
    mapping = {"sent": "timestamp", "r": {"each": ["humidity", {"from": "timestamp", "as": "epoch_s"}]}}
    found = resolved(mapping, orjson.dumps({"sent": "2026-01-01T00:00:00Z", "r": [[40, AT_S], [41, AT_S]]}))
    assert fields_of(found, "humidity", "timestamp", "other") == [
        (one, "2026-09-21T14:13:20.000Z", None) for one in (40, 41)
    ]


def test_without_lists_nothing_is_looked_into() -> None:
    plain = SubscriptionConfig(filter="p/#", decode={"topic": "p/{id}", "payload": {"t": "temperature_c"}})
    assert make_splitter([plain, SubscriptionConfig(filter="q/#", decode="none")]) is None
