"""What goes with the handshake of a WebSocket, as files and options say it; no value is ever shown."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from bridge.config import BridgeConfig
from devices.scenario.scenario import Scenario
from edgewire.config import load_config
from edgewire.errors import ConfigError
from edgewire.link import WebHandshake
from edgewire.link.websocket_config import WebSocketConfig

SECRET = "Bearer s3cr3t-9f2"


def test_headers_of_a_file_come_besides_those_that_are_named(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text(f"# who asks\nAuthorization: {SECRET}\n\nX-Empty:\n")
    found = WebSocketConfig(headers={"X-Tenant": "blue"}, headers_file=file, subprotocol="mqttv3.1")
    headers = (("X-Tenant", "blue"), ("Authorization", SECRET), ("X-Empty", ""))
    assert found.handshake == WebHandshake(headers, "mqttv3.1")
    assert SECRET not in repr(found) + repr(found.handshake) + found.model_dump_json()
    assert WebSocketConfig().handshake == WebHandshake()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"headers": {"X Tenant": SECRET}}, "'X Tenant' is no name of a header"),
        ({"headers": {"": SECRET}}, "'' is no name of a header"),
        ({"headers": {"Host": SECRET}}, "'Host' is set by the handshake itself: leave it out"),
        ({"headers": {"Sec-WebSocket-Protocol": SECRET}}, "name the subprotocol with subprotocol"),
        ({"headers": {"X": f"{SECRET}\r\nY: 1"}}, "the value of 'X' has a line break"),
        ({"headers": {"X": f"{SECRET}é"}}, "a sign that is not ASCII"),
        ({"headers": {"X": "a" * 8193}}, "more than 8192"),
        ({"headers": {"X-A": SECRET, "x-a": SECRET}}, "has 'x-a' twice"),
        ({"headers": {f"X-{number}": SECRET for number in range(65)}}, "has 65 headers, and 64 are the most"),
        ({"headers": {"X": [SECRET]}}, "headers"),
        ({"headers": SECRET}, "headers"),
        ({"headers_file": "none"}, "none: there is no such file"),
        ({"headers_file": "bad"}, "bad, line 2: is no header: write NAME: VALUE"),
        ({"headers_file": "worse"}, "worse, line 1: what stands before its colon is no name of a header"),
        ({"headers_file": "twice"}, "twice, line 2: has 'x-a' a second time"),
        ({"headers_file": "good", "headers": {"x-a": SECRET}}, "good has 'X-A', and headers has it too"),
        ({"headers_file": "binary"}, "binary is no text in UTF-8"),
        ({"headers_file": "large"}, "large is larger than 64 KiB"),
        ({"subprotocol": "a b"}, "a name such as mqtt"),
        ({"subprotocol": ""}, "a name such as mqtt"),
        ({"header": {}}, "header"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_a_sentence_without_the_value(
    keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "bad").write_text(f"X: y\n{SECRET}\n")
    (tmp_path / "worse").write_text(f"{SECRET}: y\n")
    (tmp_path / "twice").write_text(f"X-A: {SECRET}\nx-a: {SECRET}\n")
    (tmp_path / "good").write_text(f"X-A: {SECRET}\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"#" * 65537)
    bridge, scenario = tmp_path / "bridge.yaml", tmp_path / "scenario.yaml"
    bridge.write_text(yaml.safe_dump({"broker": "ws://h", "http": {"url": "http://h"}, "mqtt": {"websocket": keys}}))
    scenario.write_text(yaml.safe_dump({"broker": "ws://h", "devices": [{"kind": "gps"}], "websocket": keys}))
    for file, model in ((bridge, BridgeConfig), (scenario, Scenario)):
        with pytest.raises(ConfigError) as refused:
            load_config(file, model)  # type: ignore[type-var]
        assert said in str(refused.value)
        assert file.name in str(refused.value)
        assert "s3cr3t" not in str(refused.value)


def test_keys_without_effect_are_refused() -> None:
    keys = {"websocket": {"headers": {"X": "y"}}}
    with pytest.raises(ValidationError, match="no broker is dialled by ws:// or wss://"):
        BridgeConfig(broker="mqtt://h", http={"url": "http://h"}, mqtt=keys)
    scenario = Scenario.model_validate({"broker": ["mqtt://h", "wss://h"], "devices": [{"kind": "gps"}], **keys})
    with pytest.raises(ConfigError, match="--broker: websocket: no broker"):
        scenario.with_keys(broker=("mqtt://h",))
    assert "websocket" not in scenario.model_dump()
