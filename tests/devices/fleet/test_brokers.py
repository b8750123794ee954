"""Which broker and which local address: by arithmetic, and the next address when one is used up."""

import asyncio
import errno
import socket
from collections import Counter

import pytest

from devices.fleet.brokers import DEVICES_PER_ADDRESS, BrokerPool
from devices.scenario.devices import Shard
from edgewire.link import BrokerUrl, NoLocalPort
from edgewire.link.local_address import connected_from
from edgewire.mqtt import Session, SessionConfig, Version, encode
from edgewire.mqtt.packets import Connack
from tests.tcp import tcp_server

URLS = [BrokerUrl.parse(f"mqtt://10.0.0.{number}") for number in range(1, 4)]


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_device_has_the_same_broker_however_the_fleet_is_split(workers: int) -> None:
    pool = BrokerPool(URLS)
    whole = {number: pool.broker_for(number) for number in range(30)}
    split = {}
    for worker in range(workers):
        shard = Shard().part(worker, workers)
        for position in range(len(range(shard.index, 30, shard.count))):
            split[shard.number(position)] = pool.broker_for(shard.number(position))
    assert split == whole
    assert set(Counter(whole.values()).values()) == {10}


def test_a_part_of_a_shard_is_a_shard() -> None:
    everyone = list(range(100))
    shard = Shard(1, 3)
    parts = [shard.part(worker, 4) for worker in range(4)]
    mine = everyone[1::3]
    for worker, part in enumerate(parts):
        assert everyone[part.index :: part.count] == mine[worker::4]


async def test_an_address_without_ports_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connected(local: tuple[str, int], host: str, port: int) -> socket.socket:
        if local[0] in ("127.0.0.2", "127.0.0.4"):
            raise OSError(errno.EADDRNOTAVAIL, "as `connect` says it where all ports are taken")
        return await connected_from(local, host, port)

    monkeypatch.setattr("edgewire.link.stream.connected_from", connected)
    peers, ended = [], asyncio.Semaphore(0)

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        await reader.read(1000)
        writer.write(encode(Connack(), Version.V5))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.release()

    async with tcp_server(broker) as port:
        url = BrokerUrl("mqtt", "127.0.0.1", port)
        pool = BrokerPool([url], ["127.0.0.2", "127.0.0.3"])
        for number in range(2):
            link = await pool.open_link(
                url, Session(SessionConfig(client_id=f"d{number}")), lambda _link, _events: None
            )
            link.close()
            await ended.acquire()
        assert peers == ["127.0.0.3", "127.0.0.3"]
        with pytest.raises(NoLocalPort, match="no local port is free: give more source addresses"):
            await BrokerPool([url], ["127.0.0.2", "127.0.0.4"]).open_link(
                url, Session(SessionConfig(client_id="d")), lambda _link, _events: None
            )


async def test_a_large_fleet_dials_from_several_addresses_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    url = BrokerUrl.parse("mqtt://127.0.0.1:1883")
    asked: list[str | None] = []
    full = {"127.0.0.2"}

    async def dialled(*_args: object, local_addr: tuple[str, int] | None, **_options: object) -> None:
        source = None if local_addr is None else local_addr[0]
        asked.append(source)
        if source in full:
            raise NoLocalPort("none")

    monkeypatch.setattr("devices.fleet.brokers.connect_link", dialled)
    pool = BrokerPool([url], devices=2 * DEVICES_PER_ADDRESS + 1)
    for _ in range(8):
        await pool.open_link(url, Session(SessionConfig(client_id="d")), lambda _link, _events: None)
    # The one without ports is asked once; then another that was spare has its turns.
    assert asked[:3] == [None, "127.0.0.2", "127.0.0.3"]
    assert asked[3:] == [None, "127.0.0.4", "127.0.0.3"] * 2


async def test_on_loopback_there_are_addresses_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    url = BrokerUrl.parse("mqtt://127.0.0.1:1883")
    asked: list[tuple[str, int] | None] = []

    async def no_port(*_args: object, local_addr: tuple[str, int] | None, **_options: object) -> None:
        asked.append(local_addr)
        raise NoLocalPort("none")

    monkeypatch.setattr("devices.fleet.brokers.connect_link", no_port)
    with pytest.raises(NoLocalPort):
        await BrokerPool([url]).open_link(url, Session(SessionConfig(client_id="d")), lambda _link, _events: None)
    assert asked == [None] + [(f"127.0.0.{number}", 0) for number in range(2, 18)]
    assert socket.inet_aton("127.0.0.17")
