"""Another configuration while messages flow: nothing is lost, and what cannot be is refused by name."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import pytest

from bridge.config import BridgeConfig
from bridge.control import compare_configs
from bridge.service import Bridge, build_components
from bridge.spool.accounting import count_messages
from bridge.spool.reader import read_metadata
from bridge.spool.store import SpoolStore
from edgefleet.embedded import MosquittoProcess
from edgefleet.provision.mosquitto import password_file
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl, close_and_wait, connect_link
from edgewire.mqtt import Session, SessionConfig
from tests.bridge.fakes import in_order, ingest_stub, payload
from tests.bridge.live import Publisher, Stage, staged
from tests.waiting import eventually

pytestmark = pytest.mark.services


async def test_under_load_nothing_is_lost_whatever_changes(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as one, ingest_stub() as two, staged(mosquitto.url, tmp_path, one) as stage:
        publisher = Publisher(mosquitto.url, stage.site)
        everything = f"edge/{stage.site}/+/+/telemetry"
        await publisher.more()
        await stage.signal(http={"url": two.url})
        await publisher.more()
        await stage.signal(mqtt={"receive_maximum": 100, "keep_alive": "20s"})
        await stage.ready()
        await publisher.more()
        await stage.signal(subscriptions=[f"edge/{stage.site}/#"])
        await publisher.more()
        await stage.signal(subscriptions=[everything], routes=[{"topic": "edge/#", "http": "/other"}])
        await publisher.more()
        await stage.signal(http={"url": one.url, "mode": "single"}, spool={"path": stage.path, "commit_messages": 7})
        await publisher.more()
        await publisher.finish()
        await eventually(lambda: set(publisher.sent) <= {*one.stored, *two.stored})
        await stage.settled()
        assert stage.reloads("done") == 5
        assert stage.reloads("refused") == 0
        (books,) = count_messages(stage.path)
        assert books.balanced
        assert books.delivered >= len(publisher.sent)
        assert (books.dead_lettered, books.dropped) == (0, 0)
        for stored in (one.stored, two.stored):
            assert in_order(list(dict.fromkeys(stored)))
        assert any(path == "/other" for path, _, _ in one.requests)


async def test_a_file_that_is_wrong_is_refused_and_the_old_one_stays(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        url = {"url": ingest.url}

        async def refused(text: str, **settings: Any) -> None:
            before = dict(stage.settings)
            await stage.signal("refused", **settings)
            stage.settings = before
            (warning,) = stage.bridge.readiness().warnings
            assert "the old one stays in force" in warning
            assert text in warning

        await refused("leads to no configured sink", routes=[{"topic": "#", "kafka": "t"}])
        await refused("ca_file", http=url | {"ca_file": tmp_path / "missing.pem"})
        secure = mosquitto.url.replace("mqtt://", "mqtts://")
        await refused("mqtt.ca_file", mqtt={"ca_file": tmp_path / "missing.pem"}, broker=secure)
        await refused("client_id cannot change while the bridge runs", client_id="other")
        await refused("spool.path, admin (its address)", spool={"path": tmp_path / "b.db"}, admin={"port": 1})
        await refused("broker (its address) cannot change", broker="mqtt://127.0.0.1:1")
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(50)
        await publisher.finish()
        await eventually(lambda: set(publisher.sent) <= set(ingest.stored))
        await stage.signal(shutdown_timeout="4s")
        assert stage.bridge.readiness().warnings == []


async def test_credentials_that_the_broker_refuses_are_not_switched_to(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    passwords.write_text(password_file({"one": "right", "two": "right"}))
    broker = mosquitto_factory({"allow_anonymous": "false", "password_file": str(passwords)})

    def url(user: str, password: str) -> str:
        return f"mqtt://{user}:{password}@{broker.host}:{broker.port}"

    async with ingest_stub() as ingest, staged(url("one", "right"), tmp_path, ingest) as stage:
        await stage.signal("refused", broker=url("two", "wrong"))
        (warning,) = stage.bridge.readiness().warnings
        assert "refused client" in warning
        assert "look at the user and password" in warning
        assert stage.bridge.readiness().reasons == []
        secure = url("one", "right").replace("mqtt://", "mqtts://")
        await stage.signal("refused", mqtt={"ca_file": tmp_path / "missing.pem"}, broker=secure)
        await stage.signal(mqtt={}, broker=url("two", "right"))
        await stage.ready()
        async with aiomqtt.Client(broker.host, broker.port, username="one", password="right") as client:
            await client.publish(f"edge/{stage.site}/bme280/a/telemetry", payload("a", 1), qos=1)
        await eventually(lambda: ingest.stored == ["a:1:1"])
        assert stage.bridge.readiness().warnings == []


async def test_without_a_file_to_read_again_it_says_so(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        stage.signals.reread_config = None
        await stage.signal("refused")
        assert "no file to read again" in stage.bridge.readiness().warnings[0]


async def test_a_sink_that_still_has_messages_is_not_taken_away(mosquitto: Any, cluster: str, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        kafka = {"bootstrap_servers": cluster}
        await stage.signal(kafka=kafka, http={"url": ingest.url, "retry": {"cap": "50ms"}})
        ingest.answers = [aiohttp.web.Response(status=503, text="busy") for _ in range(1000)]
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(20)
        await publisher.finish()
        http = stage.settings["http"]
        await stage.signal("refused", http=None)
        assert "messages for the sink 'http'" in stage.bridge.readiness().warnings[0]
        assert set(stage.bridge._runners.names) == {"kafka", "http"}
        ingest.answers = []
        await stage.signal(http=http)
        await stage.settled()
        assert set(publisher.sent) <= set(ingest.stored)
        await stage.signal(http=None)
        assert [one.sink for one in count_messages(stage.path)] == ["kafka"]


async def test_a_removed_subscription_is_unsubscribed_now_and_after_a_restart(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        other = f"other/{stage.site}/#"
        own = stage.settings["subscriptions"]
        await stage.signal(subscriptions=[*own, other])
        assert other in (read_metadata(stage.path, "subscriptions") or "")
        await stage.signal(subscriptions=own)
        assert other not in (read_metadata(stage.path, "subscriptions") or "")
        await stage.signal(subscriptions=[*own, other])
        settings, site = stage.settings, stage.site
    async with ingest_stub() as ingest:
        again = Stage(mosquitto.url, tmp_path, ingest)
        again.signals.stop.set()  # this one only lends its shape
        await again.running
        again.settings = settings | {"http": {"url": ingest.url}, "subscriptions": own}
        config = again.config()
        table, sinks = build_components(config)
        bridge = Bridge(config, table, sinks, SpoolStore(again.path, ["http"]), SystemClock())
        stop = asyncio.Event()
        running = asyncio.create_task(bridge.run(stop))
        await eventually(lambda: other not in (read_metadata(again.path, "subscriptions") or ""))
        session = Session(SessionConfig(client_id=f"pub-{site}"))
        link = await connect_link(BrokerUrl.parse(mosquitto.url), session, lambda *_: None)
        link.publish(f"other/{site}/x", b"{}", qos=1)
        link.publish(f"edge/{site}/bme280/a/telemetry", payload("a", 1), qos=1)
        await eventually(lambda: ingest.stored == ["a:1:1"])
        await close_and_wait(link)
        (books,) = count_messages(again.path)
        assert books.dead_lettered == 0
        stop.set()
        await running


async def test_settings_are_compared_without_a_bridge() -> None:
    old = BridgeConfig(http={})
    names = frozenset({"http", "kafka"})
    assert compare_configs(old, BridgeConfig(http={}), names) == ((), frozenset(), False)
    assert compare_configs(old, BridgeConfig(http={}, kafka={}), names).sinks == {"kafka"}
    assert compare_configs(old, BridgeConfig(http={}, routes=[{"topic": "#", "http": "/"}]), names).everything
    assert not compare_configs(old, BridgeConfig(http={}, mqtt={"retained": "never"}), names).everything
    with pytest.raises(ConfigError, match=r"spool\.path cannot change"):
        compare_configs(old, BridgeConfig(http={}, spool={"path": "x.db"}), names)


def test_a_certificate_of_kafka_that_was_renewed_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "bridge.pem"
    file.write_text("first")

    def config() -> BridgeConfig:
        return BridgeConfig(http={}, kafka={"properties": {"ssl.certificate.location": str(file)}})

    old, same = config(), config()
    file.write_text("the second")
    names = frozenset({"http", "kafka"})
    assert compare_configs(old, same, names).sinks == frozenset()
    assert compare_configs(old, config(), names).sinks == {"kafka"}
