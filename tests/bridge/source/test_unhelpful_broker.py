"""A broker that accepts the bridge and is of little use: it is named, counted, and shown by /readyz and `check`."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.check import check_endpoints
from bridge.config import BridgeConfig
from bridge.routing.table import RouteTable
from bridge.service import Bridge
from bridge.source.advice import overlap_warnings
from bridge.source.sessions import effective_filters
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.mqtt import Version, encode, filter_matches
from edgewire.mqtt.packets import Connack, Disconnect, Packet
from tests.bridge.fakes import MemorySink, ScriptedBroker, scripted_broker
from tests.waiting import eventually


class Impatient(random.Random):
    """Waits almost not at all before it dials again."""

    def random(self) -> float:
        return 0.01


def config_for(broker: ScriptedBroker, tmp_path: Path, **settings: Any) -> BridgeConfig:
    settings = {"http": {}, **settings}
    return BridgeConfig(
        broker=broker.url,
        spool={"path": tmp_path / "spool.db"},
        watch={"broker_statistics": False},
        admin={"port": 0},
        **settings,
    )


@asynccontextmanager
async def bridge_on(broker: ScriptedBroker, tmp_path: Path, **settings: Any) -> AsyncIterator[Bridge]:
    config = config_for(broker, tmp_path, **settings)
    store = SpoolStore(config.spool.path, ["memory"])
    bridge = Bridge(config, RouteTable(), [MemorySink()], store, SystemClock(), Impatient())
    stop = asyncio.Event()
    running = asyncio.create_task(bridge.run(stop))
    await bridge.started.wait()
    try:
        yield bridge
    finally:
        stop.set()
        await running


def count(bridge: Bridge, name: str, **labels: str) -> float | None:
    return bridge.metrics.registry.get_sample_value(f"edgefleet_bridge_{name}", labels)


@pytest.mark.parametrize(
    ("kept_s", "said", "ok"),
    [
        (0, "keeps no session: whatever is published while the bridge is not connected is lost", False),
        (3600, "keeps the session for 1h, not 7d", True),
        (None, None, True),
    ],
)
async def test_a_session_that_is_kept_for_less_is_noticed(
    kept_s: int | None, said: str | None, ok: bool, tmp_path: Path
) -> None:
    async with scripted_broker() as broker:
        broker.offers = {} if kept_s is None else {"session_expiry_interval": kept_s}
        async with bridge_on(broker, tmp_path) as bridge:
            await eventually(lambda: not bridge.readiness().reasons)
            warnings = bridge.readiness().warnings
            assert [said in warning for warning in warnings] == ([True] if said else [])
            assert count(bridge, "session_expiry_seconds") == (7 * 86400 if kept_s is None else kept_s)
        broker.connects.clear()
        finding = (await check_endpoints(config_for(broker, tmp_path)))[0]
        assert (finding.part, finding.ok) == ("broker", ok)
        assert (said or "accepts") in finding.text
        # What the check asked for is forgotten again, and nothing was subscribed to in it.
        assert [one.properties.get("session_expiry_interval", 0) for one in broker.connects] == [7 * 86400, 0]
        assert [one.clean_start for one in broker.connects] == [True, True]


@pytest.mark.slow
async def test_a_subscription_that_is_not_answered_is_named_counted_and_asked_again(tmp_path: Path) -> None:
    async with scripted_broker() as broker:
        broker.suback_code = None
        async with bridge_on(broker, tmp_path, mqtt={"connect_timeout": "100ms"}) as bridge:
            await eventually(lambda: bool(broker.connects))
            await eventually(lambda: "has not yet answered the subscription" in str(bridge.readiness().reasons))
            await eventually(lambda: (count(bridge, "subscribe_failures_total", cause="no_answer") or 0) >= 5)
            await eventually(
                lambda: "has not answered the subscription within 0.1 s" in str(bridge.readiness().reasons)
            )
            broker.suback_code = 1
            await eventually(lambda: not bridge.readiness().reasons)


async def test_a_subscription_that_is_refused_is_named_and_counted(tmp_path: Path) -> None:
    async with scripted_broker() as broker:
        broker.suback_code = 0x87
        async with bridge_on(broker, tmp_path) as bridge:
            await eventually(lambda: (count(bridge, "subscribe_failures_total", cause="refused") or 0) >= 2)
            await eventually(
                lambda: (
                    "refuses the subscription 'edge/+/+/+/telemetry': not authorized" in str(bridge.readiness().reasons)
                )
            )


@pytest.mark.parametrize(
    ("behind", "why"),
    [
        (b"\xff\xff\xff\xff\xff", "broke the protocol"),
        (Disconnect(0x8B), "server shutting down"),
        (Disconnect(0x97), "quota exceeded"),
        (Connack(False), "broke the protocol"),
    ],
    ids=["garbage", "shutting down", "quota", "a second CONNACK"],
)
async def test_what_comes_in_one_piece_with_connack_is_no_traceback(
    behind: bytes | Packet, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted_broker() as broker:
        broker.after_connack = behind if isinstance(behind, bytes) else encode(behind, Version.V5)
        with caplog.at_level(logging.WARNING):
            async with bridge_on(broker, tmp_path) as bridge:
                await eventually(lambda: len(broker.connects) >= 6)
                await eventually(lambda: why in str(bridge.readiness().reasons))
                broker.after_connack = b""
                await eventually(lambda: not bridge.readiness().reasons)
            finding = (await check_endpoints(config_for(broker, tmp_path)))[0]
            assert finding.ok
            broker.after_connack = behind if isinstance(behind, bytes) else encode(behind, Version.V5)
            finding = (await check_endpoints(config_for(broker, tmp_path, mqtt={"connect_timeout": "300ms"})))[0]
            assert not finding.ok
        assert "Traceback" not in caplog.text
        assert "Fatal error" not in caplog.text


async def test_a_filter_that_another_covers_is_left_out_and_an_overlap_is_said(tmp_path: Path) -> None:
    filters = ["edge/+/gps/#", "edge/hq/+/+/telemetry", "edge/+/gps/+/event", "edge/+/gps/#", "$share/g/edge/hq/#"]
    async with scripted_broker() as broker:
        async with bridge_on(broker, tmp_path, subscriptions=filters) as bridge:
            await eventually(lambda: not bridge.readiness().reasons)
            assert broker.requested == ["edge/+/gps/#", "edge/hq/+/+/telemetry", "$share/g/edge/hq/#"]
            warnings = bridge.readiness().warnings
        finding = (await check_endpoints(config_for(broker, tmp_path, subscriptions=filters)))[0]
    away = (await check_endpoints(config_for(broker, tmp_path, subscriptions=filters)))[0]
    assert not away.ok
    assert warnings[0] == "subscription 'edge/+/gps/+/event' is left out: 'edge/+/gps/#' covers it"
    assert [warning.split(" overlap")[0] for warning in warnings[1:]] == [
        "subscriptions 'edge/+/gps/#' and 'edge/hq/+/+/telemetry'",
        "subscriptions 'edge/+/gps/#' and '$share/g/edge/hq/#'",
        "subscriptions 'edge/hq/+/+/telemetry' and '$share/g/edge/hq/#'",
    ]
    assert all(warning in finding.text and warning in away.text for warning in warnings)


def test_usual_subscriptions_are_left_as_they_are() -> None:
    config = BridgeConfig(http={})
    assert effective_filters(config) == config.subscriptions
    assert overlap_warnings(config) == []


_FILTERS = ["#", "+/#", "+/+/#", "a/#", "a/+", "a/b", "a", "+", "$SYS/#", "$share/g/#"]


@given(st.lists(st.sampled_from(_FILTERS), min_size=1, max_size=5))
def test_whatever_is_left_out_every_topic_is_still_subscribed_to(filters: list[str]) -> None:
    effective = effective_filters(BridgeConfig(http={}, subscriptions=filters))
    for topic in ("a", "b", "a/b", "a/b/c", "$SYS/x"):
        asked_for = any(filter_matches(one, topic) for one in filters if not one.startswith("$share"))
        assert any(filter_matches(one, topic) for one in effective if not one.startswith("$share")) is asked_for
