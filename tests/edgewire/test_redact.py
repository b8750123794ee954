"""What is shown of URLs and of the words of others."""

import pytest

from edgewire.redact import (
    KnownSecrets,
    escape_hint,
    hide_named_secrets,
    hide_urls,
    named_secrets,
    show_servers,
    show_url,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtts://fleet:s3cret@h:8883/path", "mqtts://***@h:8883/path"),
        ("mqtts://fleet:s3#cret@h:8883", "mqtts://***@h:8883"),
        ("mqtts://fleet:s3/c?ret@h:99999", "mqtts://***@h:99999"),
        ("https://h/hook?token=S3CRET", "https://h/hook?token=***"),
        ("https://h/hook?S3CRET", "https://h/hook?***"),
        ("https://h/hook", "https://h/hook"),
    ],
)
def test_a_url_is_shown_without_user_and_values(text: str, shown: str) -> None:
    assert show_url(text) == shown
    assert hide_urls(f"broker '{text}' is wrong") == f"broker '{shown}' is wrong"


def test_each_of_several_servers_is_shown_as_a_url() -> None:
    assert show_servers("u:s3cret@a:9092,b:9092") == "***@a:9092,b:9092"


def test_the_sign_that_is_not_escaped_is_named() -> None:
    assert "write # as %23" in escape_hint("mqtt://u:a#b@h")
    assert escape_hint("mqtt://u:ab@h") == ""


def test_secrets_in_json_are_hidden_by_their_name() -> None:
    assert hide_named_secrets('{"token": "S3C\\"RET", "humidity": "40"}') == '{"token": "***", "humidity": "40"}'

    assert hide_named_secrets("api_key=S3CRET&v=1&token={x}") == "api_key=***&v=1&token=***"
    assert named_secrets('{"token": "Bearer S3CRET {device_id}", "v": "x"}') == ["Bearer", "S3CRET"]


def test_known_secrets_are_hidden_wherever_a_server_repeats_them() -> None:
    secrets = KnownSecrets(["S3CRET", "S3CRET-longer", "ok"])
    assert secrets.hide("ok: S3CRET-longer and S3CRET at http://u:p@h/") == "ok: *** and *** at http://***@h/"
