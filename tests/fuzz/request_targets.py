"""What people and programs ask for: of a run, of a device, of the bridge at its admin port."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.fuzz.target import Run, Target, require_words


def _control() -> Run:
    from pydantic import ValidationError

    from devices.scenario.actions import ACTION, action_arguments

    def run(data: bytes) -> None:
        try:
            action = ACTION.validate_json(data)
        except ValidationError as error:
            require_words(error)
            return
        again = json.loads(json.dumps({"action": action.action, **action_arguments(action)}))
        assert ACTION.validate_python(again) == action, "what is recorded of an action is another one"

    return run


def _control_seeds() -> Iterator[bytes]:
    for action in (
        {"action": "scale", "group": "bme280", "count": 3},
        {"action": "set", "group": "bme280", "interval": "1s"},
        {"action": "fault", "devices": ["a"], "fault": {"type": "stuck_at", "field": "humidity"}, "duration": "1m"},
        {"action": "command", "group": "bme280", "command": "reboot"},
        {"action": "pause", "group": "bme280"},
        {"action": "broker_outage", "duration": "10s"},
        {"action": "drop_dead_letters", "sink": "http", "numbers": [1]},
        {"action": "stop"},
    ):
        yield json.dumps(action).encode()


def _command() -> Run:
    import orjson

    from devices.firmware.commands import InvalidCommand, read_command
    from devices.fleet.command_handler import arguments_of

    kinds = ("bme280", "gps", "people")

    def run(data: bytes) -> None:
        if not data:
            return
        kind, parts = kinds[data[0] % 3], {"a": "bme280", "b": "gps"} if data[0] & 128 else {}
        command = read_command(data[1:], kind, 1_790_000_000_000, arguments_of, parts)
        # The id is in the answer, which is JSON.
        orjson.dumps(command.id)
        if isinstance(command, InvalidCommand):
            require_words(ValueError(command.error))
        else:
            assert command.part in ("", *parts)

    return run


def _command_seeds() -> Iterator[bytes]:
    for at, (action, arguments) in enumerate(
        (
            ("set_interval", {"interval": "10s"}),
            ("set_fault", {"type": "stuck_at", "field": "humidity", "duration": "1m"}),
            ("set_fault", {"type": "outage", "duration": "PT1M", "part": "a"}),
            ("update_firmware", {"version": "2.0.0", "fails": True}),
            ("reboot", {}),
            ("stop", {"part": "b"}),
        )
    ):
        said = {"id": "1", "action": action, "arguments": arguments, "expires": "2027-01-01T00:00:00Z"}
        yield bytes([at % 3 + (128 if "part" in arguments else 0)]) + json.dumps(said).encode()


def _operator_body() -> Run:
    import orjson
    from pydantic import ValidationError

    from bridge.operator.api import ChangedLetters, LetterChoice, SinkChoice
    from bridge.spool.dead_letters import read_dead_letters
    from bridge.spool.store import SpoolStore
    from edgewire.config import describe_error

    path = Path(tempfile.mkdtemp(prefix="edgefleet-fuzz-")) / "spool.db"
    with closing(SpoolStore(path, ["http"])):
        pass

    def run(data: bytes) -> None:
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        for model in (SinkChoice, LetterChoice, ChangedLetters):
            try:
                found = model.model_validate(body)
            except ValidationError as error:
                require_words(ValueError(describe_error(error, model)), 5000)
                continue
            if isinstance(found, LetterChoice):
                assert read_dead_letters(path, found.selection(), limit=10) == []

    return run


def _operator_body_seeds() -> Iterator[bytes]:
    for body in (
        {"sink": "http"},
        {"numbers": [1, 2], "sink": "http", "topic": "edge/+/gps/#", "reason": "400"},
        {"since": "2026-03-01", "until": "2026-03-01T12:00:00Z"},
        {"all": True},
    ):
        yield json.dumps(body).encode()


def _request_head() -> Run:
    import orjson

    from edgewire.http_guard import RequestGuard, RequestRefused, check_content

    guards = RequestGuard(None, ["bridge.example"]), RequestGuard("a-token-of-sixteen-and-more", ["0.0.0.0"])

    def run(data: bytes) -> None:
        # As the two servers decode what they were sent.
        for text in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
            headers: dict[str, list[str]] = {}
            for line in text.split("\n"):
                name, _, value = line.partition(":")
                headers.setdefault(name.strip().lower(), []).append(value.strip())
            for guard in guards:
                try:
                    guard.check_origin(headers)
                    guard.check_token(headers)
                    check_content(headers)
                except RequestRefused as refused:
                    require_words(refused, 1000)
                    orjson.dumps(str(refused))

    return run


def _request_head_seeds() -> Iterator[bytes]:
    json_body = "Content-Type: application/json\nContent-Length: 2"
    yield f"Host: 127.0.0.1:9464\nOrigin: http://127.0.0.1:9464\nSec-Fetch-Site: same-origin\n{json_body}".encode()
    yield f"Host: bridge.example\nAuthorization: Bearer a-token-of-sixteen-and-more\n{json_body}".encode()
    yield f"Host: [::1]:80\nAuthorization: Bearer x\nContent-Encoding: gzip\n{json_body}".encode()


REQUEST_TARGETS = {
    "control": Target(_control, _control_seeds, ("devices.scenario",), 1024),
    "command": Target(_command, _command_seeds, ("devices.firmware", "devices.faults", "edgewire.messages"), 1024),
    "operator-body": Target(_operator_body, _operator_body_seeds, ("bridge.operator", "bridge.spool"), 1024),
    "request-head": Target(_request_head, _request_head_seeds, ("edgewire.http_guard",), 512),
}
