"""No secret, name, address or free text of an installation is in a scenario, on the screen or in an error."""

from pathlib import Path

import orjson
import pytest

from edgefleet.learn.privacy import is_harmless_key, is_harmless_level, is_known_text, is_sensitive_key
from tests.edgefleet.learn.installation import BEGIN_MS, Row, learn, pumps, write_lines

CANARIES = [
    "Canaryson", "c4n4ry-T0ken-9f8e7d", "CanaryNet-5G", "canary@example.org", "49170555123", "canarystreet",
    "C0FFEECAFE42", "4711081512", "canary-note", "51.477928",
]  # fmt: skip
NAME, TOKEN, SSID, MAIL, PHONE, STREET, MAC, PIN, NOTE, LATITUDE = CANARIES


def household() -> list[Row]:
    """Return what devices say that tells of people: under keys that say so, under others, and in topics."""
    rows = []
    for number, owner in enumerate((NAME, "Otherson", "Thirdson")):
        for reading in range(30):
            body = {
                "temp": 20 + reading % 3,
                "owner": owner,
                "api_token": TOKEN,
                "wifi": {"ssid": SSID, "rssi": -60 - reading % 4},
                "contact": MAIL,
                "call": int(PHONE),
                "who": NAME,
                "pin": int(PIN),
                "note": f"{NOTE} {reading}",
                "remark": f"{NAME} was here at {STREET} {reading}",
                "lat": float(LATITUDE) + number / 100,
                "state": TOKEN if reading % 2 else "on",
                f"{NAME}": 1.5,
                "at_home": {MAC: True},
                "link": f"https://u:{TOKEN}@host/{STREET}",
            }
            rows.append(
                (BEGIN_MS + reading * 5000 + number, f"{owner}/{MAC}{number}/{STREET}/data", orjson.dumps(body))
            )
            rows.append((BEGIN_MS + reading * 5000 + number, f"users/{STREET}/dev{number}9/data", b'{"t": 1.5}'))
    return rows


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_nothing_private_is_copied(options: tuple[str, ...], tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "capture.jsonl", household(), pumps(count=2))
    reports = [tmp_path / f"report.{suffix}" for suffix in ("html", "json")]
    result = learn(capture, "--out", tmp_path / "fleet.yaml", "--report", reports[bool(options)], *options)
    assert result.exit_code == 0, result.output
    written = [path.read_text() for path in (tmp_path / "fleet.yaml", reports[bool(options)])]
    told = "".join([*written, result.output]).lower()
    assert [canary for canary in CANARIES if canary.lower() in told] == []
    assert "temp" in told


def test_nothing_private_is_in_an_error(tmp_path: Path) -> None:
    capture = tmp_path / "capture.jsonl"
    lines = [f'{{"topic":"{NAME}/{STREET}","time":1772452800,"payload":"{TOKEN}"}}', TOKEN, f'{{"tst":"{MAIL}"']
    capture.write_text("\n".join(lines))
    result = learn(capture, "--out", tmp_path / "fleet.yaml")
    assert result.exit_code == 1
    told = str(result.exception).lower() + result.output.lower()
    assert [canary for canary in CANARIES if canary.lower() in told] == []


@pytest.mark.parametrize("text", ["running", "IDLE", "Online", "not_ready", "eco", "heat pump on"])
def test_words_of_states_are_copied(text: str) -> None:
    assert is_known_text(text)


@pytest.mark.parametrize(
    "text", ["Alice", "alice", "open alice", "xkqzjwpf", "me@example.org", "on " * 20, "", "-", "Zoë"]
)
def test_other_texts_are_not(text: str) -> None:
    assert not is_known_text(text)


@pytest.mark.parametrize("level", ["works", "cellar-north", "plant_2"])
def test_plain_words_may_be_levels_of_topics(level: str) -> None:
    assert is_harmless_level(level)


@pytest.mark.parametrize("level", ["Alice", "xkqzjwpf", "4711081512", "me@example.org", "x" * 30, "Zoë"])
def test_other_levels_may_not(level: str) -> None:
    assert not is_harmless_level(level)


@pytest.mark.parametrize(
    "key", ["userName", "wifi_ssid", "APIKey", "driver", "e-mail", "passwordHash", "MAC", "accessToken"]
)
def test_keys_of_people_and_accounts(key: str) -> None:
    assert is_sensitive_key(key)


@pytest.mark.parametrize("key", ["temperature", "passage_count", "humidity", "linkquality", "BME280", "power_w"])
def test_keys_of_quantities(key: str) -> None:
    assert not is_sensitive_key(key)
    assert is_harmless_key(key)
