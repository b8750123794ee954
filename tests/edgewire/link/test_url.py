"""Broker URLs."""

import pytest

from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("mqtt://h", BrokerUrl("mqtt", "h", 1883)),
        ("mqtts://h", BrokerUrl("mqtts", "h", 8883)),
        (" mqtt://h:18830/ ", BrokerUrl("mqtt", "h", 18830)),
        ("mqtt://u@h", BrokerUrl("mqtt", "h", 1883, "u")),
        ("mqtt://u:p%40ss@h", BrokerUrl("mqtt", "h", 1883, "u", "p@ss")),
        ("mqtt://[::1]:1", BrokerUrl("mqtt", "::1", 1)),
    ],
)
def test_a_url_is_taken_apart(text: str, parsed: BrokerUrl) -> None:
    assert BrokerUrl.parse(text) == parsed
    assert BrokerUrl.parse(str(parsed)).host == parsed.host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:1883",
        "http://h",
        "mqtt://",
        "mqtt://h:x",
        "mqtt://h:99999",
        "mqtt://h:0",
        "mqtt://h/a",
        "mqtt://h?a=b",
        "mqtt://a..b",
        f"mqtt://{'a' * 64}.example",
    ],
)
def test_a_wrong_url_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="broker URL"):
        BrokerUrl.parse(text)


def test_no_text_shows_the_password() -> None:
    url = BrokerUrl.parse("mqtt://user:secret@h:1")
    assert str(url) == "mqtt://user@h:1"
    assert "secret" not in repr(url)
    with pytest.raises(ConfigError) as caught:
        BrokerUrl.parse("mqtt://user:secret@h:1/path")
    assert "secret" not in str(caught.value)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert str(BrokerUrl("mqtt", "::1", 1)) == "mqtt://[::1]:1"
