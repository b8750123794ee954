"""Broker URLs."""

import re

import pytest

from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl
from edgewire.link.url import plain_password_warning


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("mqtt://h", BrokerUrl("mqtt", "h", 1883)),
        ("mqtts://h", BrokerUrl("mqtts", "h", 8883)),
        (" mqtt://h:18830/ ", BrokerUrl("mqtt", "h", 18830)),
        ("mqtt://u@h", BrokerUrl("mqtt", "h", 1883, "u")),
        ("mqtt://u:p%40ss@h", BrokerUrl("mqtt", "h", 1883, "u", "p@ss")),
        ("mqtt://[::1]:1", BrokerUrl("mqtt", "::1", 1)),
        ("ws://h", BrokerUrl("ws", "h", 80, path="/mqtt")),
        ("wss://u:p@h/", BrokerUrl("wss", "h", 443, "u", "p", "/")),
        ("wss://h:8084/a%20b?x=1&y=ü", BrokerUrl("wss", "h", 8084, path="/a%20b?x=1&y=%C3%BC")),
        ("ws://h?x=1", BrokerUrl("ws", "h", 80, path="/?x=1")),
        ("unix:///run/a%20b.sock", BrokerUrl("unix", "", 0, path="/run/a b.sock")),
        ("unix:/run/m.sock", BrokerUrl("unix", "", 0, path="/run/m.sock")),
        ("unix://u:p%40ss@/run/m.sock", BrokerUrl("unix", "", 0, "u", "p@ss", "/run/m.sock")),
    ],
)
def test_a_url_is_taken_apart(text: str, parsed: BrokerUrl) -> None:
    assert BrokerUrl.parse(text) == parsed
    again = BrokerUrl.parse(str(parsed))
    assert (again.scheme, again.host, again.port) == (parsed.scheme, parsed.host, parsed.port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:1883",
        "http://h",
        "ws://",
        "ws:///mqtt",
        "ws://h/mqtt#part",
        "ws://h:0/mqtt",
        "unix:",
        "unix:relative.sock",
        "unix:///",
        "unix:///run/folder/",
        "unix://run/m.sock",
        "unix:///run/m.sock?x=1",
        f"unix:///{'a' * 108}",
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


def test_no_text_shows_what_is_in_a_query() -> None:
    url = BrokerUrl.parse("wss://h/mqtt?X-Amz-Signature=s3cret&plain")
    assert str(url) == "wss://h:443/mqtt?X-Amz-Signature=***&***"
    assert "s3cret" not in repr(url)


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
        ("ws://fleet:s3cret@h/mqtt#x", "'ws://***@h/mqtt#.*' has a part behind # that no server gets"),
        ("https://fleet:s3cret@h", "did you mean wss://"),
        ("unix://fleet:s3cret@run/m.sock", "names a host, 'run': a socket is a file, write three slashes"),
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


@pytest.mark.parametrize(
    ("text", "secure"),
    [
        ("mqtt://u:p@broker.local", "mqtts://"),
        ("ws://u:p@192.0.2.7/mqtt", "wss://"),
        ("mqtt://u:p@[2001:db8::1]", "mqtts://"),
        ("mqtt://u:@h", "mqtts://"),
        ("mqtt://u@h", None),
        ("mqtt://h", None),
        ("mqtts://u:p@h", None),
        ("wss://u:p@h", None),
        ("mqtt://u:p@localhost", None),
        ("mqtt://u:p@127.1.2.3", None),
        ("ws://u:p@[::1]", None),
        ("unix://u:p@/m.sock", None),
        ("mqtt://u:p@a.localhost", None),
        ("mqtt://u:p@localhost.example", "mqtts://"),
    ],
)
def test_a_password_that_goes_unencrypted_is_told(text: str, secure: str | None) -> None:
    warning = plain_password_warning([BrokerUrl.parse("mqtts://a:b@h"), BrokerUrl.parse(text)], "allow")
    assert (
        (warning is None) if secure is None else (warning is not None and f"write {secure}, or allow: true" in warning)
    )
    assert warning is None or "u:p" not in warning
    of_clients = plain_password_warning([BrokerUrl.parse("mqtt://h")], "allow", has_logins=True)
    assert of_clients is not None
    assert of_clients.startswith("user name and password go to mqtt://h:1883 unencrypted")
