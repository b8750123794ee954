"""Whoever has had a connection of its own to the broker waits until it is gone: an event loop may end behind it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import bridge.delivery.dead_letter_targets
import bridge.loss_detection.broker_stats
import bridge.source.client
from bridge.config import BridgeConfig
from bridge.delivery.dead_letter_targets import MqttDeadLetterTarget
from bridge.loss_detection.broker_stats import BrokerStatsMonitor
from bridge.loss_detection.report import LossReport
from bridge.metrics import BridgeMetrics
from bridge.source.client import MqttSource
from bridge.spool.message import DeadLetter
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from edgewire.link import Link, connect_link
from tests.services.fixtures import BrokerAddress
from tests.waiting import eventually

pytestmark = pytest.mark.services

Dialled = list[Link]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Dialled:
    """Every connection of the bridge."""
    links: Dialled = []

    async def noted(*arguments: Any, **options: Any) -> Link:
        links.append(await connect_link(*arguments, **options))
        return links[-1]

    for module in (bridge.loss_detection.broker_stats, bridge.delivery.dead_letter_targets, bridge.source.client):
        monkeypatch.setattr(module, "connect_link", noted)
    return links


@pytest.fixture
def config(mosquitto: BrokerAddress, tmp_path: Path) -> BridgeConfig:
    return BridgeConfig(broker=mosquitto.url, client_id=tmp_path.name, subscriptions=[f"{tmp_path.name}/#"], http={})


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_what_listens_to_the_broker_itself(config: BridgeConfig, dialled: Dialled) -> None:
    metrics = BridgeMetrics()
    watch = BrokerStatsMonitor(lambda: config, metrics, LossReport(metrics, SystemClock()), random.Random(1))
    task = asyncio.create_task(watch.watch_statistics())
    await eventually(lambda: dialled)
    await cancelled(task)
    assert [link.is_gone for link in dialled] == [True]


async def test_what_publishes_dead_letters(config: BridgeConfig, dialled: Dialled) -> None:
    letter = DeadLetter(
        sink="http", message_id=1, received_ms=1, topic="t/1", payload=b"{}", reason="bad", attempts=1, dead_ms=9
    )
    await MqttDeadLetterTarget(config, f"{config.client_id}/dead").publish([letter])
    assert [link.is_gone for link in dialled] == [True]


@asynccontextmanager
async def receiving(config: BridgeConfig, path: Path) -> AsyncIterator[tuple[MqttSource, "asyncio.Task[None]"]]:
    metrics, clock = BridgeMetrics(), SystemClock()
    spool = Spool(SpoolStore(path, ["http"]), config.spool, on_messages=lambda _: None, on_commit=lambda _: None)
    source = MqttSource(config, spool, metrics, LossReport(metrics, clock).record_session_lost, clock, random.Random(1))
    task = asyncio.create_task(source.run_source())
    try:
        await eventually(lambda: source.last_error is None)
        yield source, task
    finally:
        await spool.close()
        await cancelled(task)


async def test_what_tries_another_configuration(config: BridgeConfig, dialled: Dialled, tmp_path: Path) -> None:
    async with receiving(config, tmp_path / "spool.db") as (source, _):
        await source.verify_accepted(config)
        assert [link.is_gone for link in dialled] == [False, True]


async def test_what_ends_the_session(config: BridgeConfig, dialled: Dialled, tmp_path: Path) -> None:
    async with receiving(config, tmp_path / "spool.db") as (source, _):
        await source.end_session()
        assert [link.is_gone for link in dialled] == [True, True]


async def test_what_receives_and_is_cancelled(config: BridgeConfig, dialled: Dialled, tmp_path: Path) -> None:
    async with receiving(config, tmp_path / "spool.db") as (_, task):
        await cancelled(task)
        assert [link.is_gone for link in dialled] == [True]
