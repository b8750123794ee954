"""What of a message's MQTT 5 properties goes through the spool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.message.user_properties import NO_PROPERTIES, dump_properties, expires_ms, load_properties, media_type
from edgewire.mqtt import Properties


@pytest.mark.parametrize("properties", [{}, {"response_topic": "t"}, {"user_property": ()}])
def test_most_messages_have_nothing_to_keep(properties: Properties) -> None:
    assert dump_properties(properties) is None
    assert load_properties(None) is NO_PROPERTIES


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.none() | TEXT, st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_what_is_packed_comes_back(content_type: str | None, user: list[tuple[str, str]]) -> None:
    properties: Properties = {"user_property": tuple(user)}
    if content_type is not None:
        properties["content_type"] = content_type
    carried = load_properties(dump_properties(properties))
    assert (carried.content_type, carried.user) == (content_type, tuple(user))


def test_a_user_property_is_found_as_headers_are() -> None:
    carried = load_properties(
        dump_properties({"user_property": (("A", "1"), ("TraceParent", "2"), ("traceparent", "3"))})
    )
    assert carried.user_property("traceparent") == "2"
    assert carried.user_property("b") is None


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"message_expiry_interval": 5}, 6000),
        ({"message_expiry_interval": 0}, 1000),
        ({"message_expiry_interval": 0xFFFF_FFFF, "content_type": "a/b"}, 0xFFFF_FFFF * 1000 + 1000),
        ({"content_type": "a/b"}, None),
        ({"user_property": (('"expiry":', "7"),)}, None),
        ({}, None),
    ],
)
def test_a_message_expires_so_long_after_its_receipt(properties: Properties, expected: int | None) -> None:
    assert expires_ms(dump_properties(properties), 1000) == expected


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("application/vnd.x+json", True),
        ("text/plain; charset=utf-8", True),
        ("json", False),
        ("a/b\r\nX-Evil: 1", False),
        ("a/b;\x00", False),
        ("a/" + "b" * 70_000, False),
        ("", False),
    ],
)
def test_a_content_type_that_fits_into_no_header_is_not_handed_on(text: str, usable: bool) -> None:
    assert media_type(dump_properties({"content_type": text})) == (text if usable else None)
