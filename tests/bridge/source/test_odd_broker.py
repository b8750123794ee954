"""The source on brokers that send something bad in one segment with CONNACK, as it asks for its subscriptions."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bridge.config import BridgeConfig
from edgewire.mqtt.packets import Connack, Connect, Disconnect
from tests.bridge.source.test_client import Opened
from tests.edgewire.link.odd_broker import Answer, odd_broker
from tests.waiting import eventually


@pytest.mark.parametrize(
    "follows", [b"\xff\xff", Disconnect(0x97), Connack()], ids=["garbage", "DISCONNECT", "a second CONNACK"]
)
async def test_what_is_bad_and_comes_with_connack_is_a_lost_connection(follows: Answer, tmp_path: Path) -> None:
    thrown: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: thrown.append(context))
    async with odd_broker({Connect: lambda *_: [Connack(), follows]}) as broker:
        config = BridgeConfig(
            broker=str(broker.url), subscriptions=["edge/+/+/+/telemetry"], http={"url": "http://127.0.0.1:1"}
        )
        opened = Opened(config, tmp_path / "spool.db")
        try:
            await eventually(lambda: sum(broker.dials.values()) >= 2)
            assert opened.source.last_error is not None
            assert "is lost" in opened.source.last_error
        finally:
            await opened.close()
    assert thrown == []
