"""What a capture may be, and what is wrong with others: each is a sentence with file and line."""

from pathlib import Path

import orjson
import pytest

from edgefleet.learn.capture import HeardLimits, read_capture
from tests.edgefleet.learn.installation import learn, pumps, write_lines

GOOD = b'{"time":1772452800,"topic":"a/d1/t","payload":{"t":20.5}}\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"works/p1/state 20.5", "the line is not JSON: write them with mosquitto_sub -F %j"),
        (b"[1]", "the line is no JSON object with topic and payload"),
        (b'{"time":1772452800,"payload":"x"}', "the line has no topic"),
        (b'{"topic":"a/b","payload":"x"}', "the line has no time"),
        (b'{"topic":"a/b","time":"noon","payload":"x"}', "the line has a time that is no time with an offset"),
        (b'{"topic":"a/b","time":1772452800,"payload_base64":"%"}', "the line has a payload_base64 that is none"),
        (b'{"topic":"a/b","time":1772452800,"payload":"' + b"x" * (1 << 20) + b'"}', "has more than 1,048,576 bytes"),
        (b'{"topic":"a/b","time":1772452800,"payload_base64":"/wD+AA=="}', "the payload is binary"),
        (b'{"topic":"a/b","time":1772452800,"payload":"' + b"[" * 60 + b"1" + b"]" * 60 + b'"}', "deeper than 16"),
    ],
)
def test_what_is_no_message_is_counted_with_its_line(line: bytes, reason: str, tmp_path: Path) -> None:
    capture = tmp_path / "capture.jsonl"
    capture.write_bytes(GOOD + line + b"\n")
    result = learn(capture, "--out", tmp_path / "fleet.yaml")
    assert result.exit_code == 1
    said = str(result.exception)
    assert reason in said
    assert "nothing was learned of 2 messages" in said
    if "payload is" not in said and "nested" not in said:
        assert "capture.jsonl:2" in said
    assert not (tmp_path / "fleet.yaml").exists()


@pytest.mark.parametrize("line", [b"x" * 3_000_000, GOOD * 2000])
def test_a_file_without_an_end_has_one(line: bytes, tmp_path: Path) -> None:
    capture = tmp_path / "capture.jsonl"
    capture.write_bytes(GOOD + line + b"\n" + GOOD)
    heard = read_capture(capture, HeardLimits(file_bytes=100_000))
    assert heard.stopped_at == "100,000 bytes of the file"
    assert 1 <= len(heard.messages) <= 100_000 // len(GOOD)


def test_a_time_that_goes_back(tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "capture.jsonl", pumps(count=2))
    capture.write_bytes(capture.read_bytes() + GOOD)
    result = learn(capture, "--out", tmp_path / "fleet.yaml")
    assert result.exit_code == 0
    assert "1: its time is before that of the message above it (first in" in result.stdout
    assert "capture.jsonl:121)" in result.stdout


def test_other_captures_are_read_too(tmp_path: Path) -> None:
    capture = tmp_path / "capture.ndjson"
    rows = [{"received_ms": 1772452800000 + at * 1000, "topic": f"a/d{at % 2}/t", "retained": False,
             "payload": {"t": at}} for at in range(40)]  # fmt: skip
    capture.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    assert learn(capture, "--out", tmp_path / "fleet.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jsonl", "--out", "fleet.yaml"], "missing.jsonl: cannot be read"),
        (["{capture}", "--out", "fleet.json"], "--out fleet.json: write FILE.yaml"),
        (["{capture}", "--out", "fleet.yaml", "--count", "3", "--scale", "2"], "leave one out"),
        (["{capture}", "--out", "fleet.yaml", "--scale", "1000000"], "more than 1,000,000"),
        (["{capture}", "--out", "missing/fleet.yaml"], "cannot be written"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    capture = write_lines(tmp_path / "capture.jsonl", pumps(count=2))
    result = learn(*(argument.replace("{capture}", str(capture)) for argument in arguments))
    assert said in str(result.exception)
    assert result.exception.exit_code == 2
