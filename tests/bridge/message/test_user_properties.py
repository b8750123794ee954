"""What of a message's MQTT 5 properties goes through the spool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.message.user_properties import NO_PROPERTIES, dump_properties, load_properties
from edgewire.mqtt import Properties


@pytest.mark.parametrize("properties", [{}, {"message_expiry_interval": 5}, {"user_property": ()}])
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
