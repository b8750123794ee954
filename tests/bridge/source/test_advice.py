"""What an operator is told of a bridge's way to its broker before anything comes."""

import pytest

from bridge.config import BridgeConfig
from bridge.source.advice import password_warning


@pytest.mark.parametrize(
    ("broker", "keys", "warned"),
    [
        ("mqtt://u:p@h", {}, True),
        (["mqtt://127.0.0.1", "ws://u:p@h"], {}, True),
        ("mqtt://u:p@h", {"allow_plain_password": True}, False),
        ("mqtts://u:p@h", {}, False),
        ("mqtt://u:p@127.0.0.1", {}, False),
    ],
)
def test_a_password_that_goes_unencrypted_is_told(broker: object, keys: dict[str, object], warned: bool) -> None:
    config = BridgeConfig.model_validate({"broker": broker, "mqtt": keys, "http": {"url": "http://127.0.0.1:1"}})
    warning = password_warning(config)
    assert (warning is not None) == warned
    assert warning is None or "mqtt.allow_plain_password: true" in warning
