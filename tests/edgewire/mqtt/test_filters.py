"""Topic filters: the examples of the standard (4.7), and what must hold for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.mqtt import Unsendable, check_filter, encode_topic, filter_matches
from edgewire.mqtt.filters import covers, overlap


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis/player2", False),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+/tennis/#", "a/tennis", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/+", "$SYS/uptime", True),
        ("a/#", "a/$b", True),
        ("a", "A", False),
        ("a/b", "a/b/", False),
        ("$share/group/a/+", "a/b", True),
        ("$share/group/#", "$SYS/x", False),
        ("$share/group/a", "$share/group/a", False),
    ],
)
def test_a_filter_matches_as_in_the_standard(topic_filter: str, topic: str, matches: bool) -> None:
    check_filter(topic_filter)
    assert filter_matches(topic_filter, topic) is matches


@pytest.mark.parametrize(
    ("topic_filter", "why"),
    [
        ("", "is empty"),
        ("a#", "'a#' has a wildcard that is not a whole level"),
        ("a+", "not a whole level"),
        ("+a/b", "not a whole level"),
        ("a/#/b", "'#' before its last level"),
        ("#/a", "'#' before its last level"),
        ("a\0", r"contains U\+0000"),
        ("\ud800", "no UTF-8 form"),
        ("$share/g", "is empty"),
        ("$share/g/", "is empty"),
        ("$share//a", "share name"),
        ("$share/+/a", "share name"),
        ("$share/g/a#", "not a whole level"),
        ("a" * 65536, "longer than 65535"),
    ],
)
def test_the_fault_of_an_invalid_filter_is_named(topic_filter: str, why: str) -> None:
    with pytest.raises(Unsendable, match=why):
        check_filter(topic_filter)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b"])
def test_a_topic_to_publish_to_has_no_wildcards(topic: str) -> None:
    with pytest.raises(Unsendable):
        encode_topic(topic)


levels = st.text("ab$", max_size=2)


@given(
    parts=st.lists(levels, min_size=1, max_size=5),
    wild=st.lists(st.booleans(), min_size=5, max_size=5),
    cut=st.integers(0, 5),
)
def test_a_topic_with_any_levels_made_wild_matches_itself(parts: list[str], wild: list[bool], cut: int) -> None:
    topic = "/".join(parts)
    pattern = ["+" if loose else level for level, loose in zip(parts, wild, strict=False)]
    hidden = topic.startswith("$")
    if not topic:
        return
    assert filter_matches("/".join(pattern), topic) is not (hidden and pattern[0] == "+")
    pattern = [*pattern[:cut], "#"]
    assert filter_matches("/".join(pattern), topic) is not (hidden and pattern[0] in "+#")


@pytest.mark.parametrize(
    ("wide", "narrow", "is_covered", "share_topics"),
    [
        ("a/#", "a/+/b", True, True),
        ("a/#", "a", True, True),
        ("a/#", "a/#", True, True),
        ("a/+", "a/#", False, True),
        ("a/+", "a/b", True, True),
        ("a/+/c", "a/b/+", False, True),
        ("a/b", "a/c", False, False),
        ("a/b", "a/b/c", False, False),
        ("#", "$SYS/#", False, False),
        ("+/x", "$SYS/x", False, False),
        ("$SYS/#", "$SYS/+/x", True, True),
        ("a", "a/#", False, True),
        ("a", "a/+", False, False),
        ("+", "+/+", False, False),
    ],
)
def test_filters_cover_and_overlap(wide: str, narrow: str, is_covered: bool, share_topics: bool) -> None:
    assert covers(wide, narrow) is is_covered
    assert overlap(wide, narrow) is overlap(narrow, wide) is share_topics


_LEVELS = st.lists(st.sampled_from(["a", "b", "+", "$s", ""]), min_size=1, max_size=4).map("/".join)
_FILTERS = st.one_of(_LEVELS, _LEVELS.map(lambda text: text + "/#"), st.just("#")).filter(bool)
_TOPICS = st.lists(st.sampled_from(["a", "b", "$s", ""]), min_size=1, max_size=5).map("/".join).filter(bool)


@given(_FILTERS, _FILTERS, _TOPICS)
def test_covering_and_overlapping_are_what_topics_say(one: str, other: str, topic: str) -> None:
    if covers(one, other) and filter_matches(other, topic):
        assert filter_matches(one, topic)
    if filter_matches(one, topic) and filter_matches(other, topic):
        assert overlap(one, other)
