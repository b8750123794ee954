"""Broker URLs."""

import re

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
    assert str(url) == "mqtt://***@h:1"
    assert "secret" not in repr(url)
    with pytest.raises(ConfigError) as caught:
        BrokerUrl.parse("mqtt://user:secret@h:1/path")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mqtts://fleet:s3cret@h:8883/path", "'mqtts://***@h:8883/path' has more than a host and a port"),
        ("mqtts://fleet:s3#cret@h:8883", "'mqtts://***@h:8883' cannot be read: its port .* write # as %23"),
        ("mqtts://fleet:12#s3cret@h:8883", "'mqtts://***@h:8883' has more than a host .* write # as %23"),
        ("mqtts://fleet:s3/cr?et@h", "'mqtts://***@h' cannot be read: .* write / as %2F, write \\? as %3F"),
        ("http://fleet:s3cret@h", "'http://***@h' is not of the form mqtt://HOST:PORT or mqtts://"),
        ("mqtts://fleet:s3cret@h:99999", "'mqtts://***@h:99999' cannot be read: its port is no number from 1 to 65535"),
        ("mqtts://fleet:s3cret@[::1", "'mqtts://***@.*' cannot be read: its host is no IPv6 address"),
        ("ws://fleet:s3cret@h", "is for MQTT over WebSocket, which is not supported: .* mqtt://HOST:PORT"),
        ("ssl://fleet:s3cret@h", "did you mean mqtts://"),
        ("mqqt://fleet:s3cret@h", "did you mean 'mqtt'"),
        ("fleet:s3cret@h:1883", "'\\*\\*\\*@h:1883' is not of the form"),
    ],
)
def test_a_refused_url_is_shown_without_its_user(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BrokerUrl.parse(text)
    shown = str(caught.value)
    assert re.search(said.replace("***@", r"\*\*\*@"), shown), shown
    assert not any(part in shown for part in ("fleet", "s3", "cret"))


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert str(BrokerUrl("mqtt", "::1", 1)) == "mqtt://[::1]:1"
