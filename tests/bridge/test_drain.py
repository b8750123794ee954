"""A member that goes: it takes no more, delivers all it has, and leaves no session behind."""

import asyncio
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.control import NotDrained, drain_running_bridge
from bridge.spool.accounting import count_messages
from bridge.spool.reader import read_metadata
from bridge.spool.sqlite import lock_owner
from edgewire.link import BrokerUrl, close_and_wait, connect_link
from edgewire.mqtt import Connected, Event, Session, SessionConfig
from tests.bridge.fakes import ingest_stub
from tests.bridge.live import Publisher, Stage, staged
from tests.waiting import eventually

pytestmark = pytest.mark.services


async def session_present(url: str, client_id: str) -> bool:
    """Whether the broker keeps a session under this name."""
    said: list[Event] = []
    session = Session(SessionConfig(client_id=client_id, clean_start=False))
    link = await connect_link(BrokerUrl.parse(url), session, lambda _, events: said.extend(events))
    await close_and_wait(link)
    (connected,) = (event for event in said if isinstance(event, Connected))
    return connected.session_present


async def drained(stage: Stage) -> None:
    stage.signals.drain.set()
    await asyncio.wait_for(stage.running, 30)


async def test_a_drained_member_has_delivered_all_and_is_forgotten(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(500)
        stage.signals.drain.set()
        await eventually(lambda: "drained" in str(stage.bridge.readiness().reasons))
        await publisher.more(100)
        await asyncio.wait_for(stage.running, 30)
        await publisher.finish()
        got = set(ingest.stored)
        assert got >= set(publisher.sent[:500])
        (books,) = count_messages(stage.path)
        assert (books.received, books.pending) == (len(ingest.stored), 0)
        assert books.balanced
        assert read_metadata(stage.path, "subscriptions") == "[]"
        assert not await session_present(mosquitto.url, stage.settings["client_id"])


async def test_what_the_broker_has_queued_is_taken_too(mosquitto: Any, tmp_path: Path) -> None:
    site = f"s{secrets.token_hex(4)}"
    async with ingest_stub() as ingest:
        async with staged(mosquitto.url, tmp_path, ingest, site):
            pass
        publisher = Publisher(mosquitto.url, site)
        await publisher.more(3000)
        await publisher.finish()
        # A small window: the queue comes in many pieces, each asked for by the acknowledgements of the last.
        stage = Stage(mosquitto.url, tmp_path, ingest, site, mqtt={"receive_maximum": 10})
        await drained(stage)
        assert set(ingest.stored) == set(publisher.sent)


async def test_one_that_cannot_deliver_says_what_is_pending(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest:
        ingest.answers = [aiohttp.web.Response(status=503) for _ in range(1000)]
        stage = Stage(mosquitto.url, tmp_path, ingest, drain_timeout="1500ms")
        await stage.ready()
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(20)
        await publisher.finish()
        await eventually(lambda: count_messages(stage.path)[0].received == len(publisher.sent))
        with pytest.raises(NotDrained, match=rf"not drained within 1500ms: http has {len(publisher.sent)} messages"):
            await drained(stage)
        assert await session_present(mosquitto.url, stage.settings["client_id"])


async def test_members_of_a_group_share_and_one_may_go(mosquitto: Any, tmp_path: Path) -> None:
    site = f"s{secrets.token_hex(4)}"
    shared = {"subscriptions": [f"$share/g{site}/edge/{site}/+/+/telemetry"]}
    paths = [tmp_path / name for name in "ab"]
    async with (
        ingest_stub() as ingest,
        staged(mosquitto.url, paths[0], ingest, site, client_id=f"{site}-0", **shared) as one,
        staged(mosquitto.url, paths[1], ingest, site, client_id=f"{site}-1", **shared) as two,
    ):
        publisher = Publisher(mosquitto.url, site)
        await publisher.more(300)
        await drained(one)
        await publisher.more(300)
        await publisher.finish()
        await eventually(lambda: set(ingest.stored) == set(publisher.sent))
        await two.settled()
        (first,), (second,) = (count_messages(path / "spool.db") for path in paths)
        assert first.received > 50
        assert first.received + second.received == len(publisher.sent) == len(ingest.stored)
        assert not one.bridge._sequence_monitor.enabled  # each gets a part: gaps would mean nothing


SCRIPT = "from edgefleet.cli import main; main()"


async def edgefleet(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, *map(str, arguments), stdout=-1, stderr=asyncio.subprocess.STDOUT
    )


async def test_the_commands(mosquitto: Any, tmp_path: Path) -> None:
    """`run`, SIGHUP, then `drain` of the one that runs, and `drain` where none runs."""
    site = f"s{secrets.token_hex(4)}"
    config = tmp_path / "bridge.yaml"
    async with ingest_stub() as ingest:
        text = (
            f"broker: {mosquitto.url}\nclient_id: {site}\nsubscriptions: ['edge/{site}/#']\nadmin: {{port: 0}}\n"
            f"spool: {{path: {tmp_path / 'spool.db'}}}\nhttp: {{url: '{ingest.url}'}}\n"
        )
        config.write_text(text)
        process = await edgefleet("bridge", "run", config, "--log-format", "json")
        assert process.stdout
        lines: list[str] = []

        async def until(word: str) -> None:
            assert process.stdout
            while word not in "".join(lines):
                line = await asyncio.wait_for(process.stdout.readline(), 30)
                assert line, "".join(lines)
                lines.append(line.decode())

        await until('"event": "subscribed"')
        assert lock_owner(tmp_path / "spool.db") == process.pid
        config.write_text(text.replace("admin", "admn"))
        process.send_signal(signal.SIGHUP)
        await until("unknown key 'admn'")
        config.write_text(text + "mqtt: {stuck_after: 30s}\n")
        process.send_signal(signal.SIGHUP)
        await until("configuration reloaded")
        publisher = Publisher(mosquitto.url, site)
        await publisher.more(50)
        await publisher.finish()
        for _ in range(2):
            drain = await edgefleet("bridge", "drain", config)
            said, _ = await asyncio.wait_for(drain.communicate(), 30)
            assert drain.returncode == 0, said
            assert said.decode().endswith("the broker keeps nothing for this bridge\n")
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert set(publisher.sent) <= set(ingest.stored)
        assert lock_owner(tmp_path / "spool.db") is None


async def test_one_that_ends_without_draining_is_told(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        before = signal.signal(signal.SIGUSR1, lambda *_: stage.signals.stop.set())
        try:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(None, drain_running_bridge, stage.config(), os.getpid())
            with pytest.raises(NotDrained, match="ended before it was drained"):
                await asking
        finally:
            signal.signal(signal.SIGUSR1, before)
