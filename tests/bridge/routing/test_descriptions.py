"""What makes messages without an identity of their own different ones, and what devices described, outlives a run."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.message.config import SubscriptionConfig
from bridge.routing.descriptions import DeviceDescriptions
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.spool.config import SpoolConfig
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock

CONFIG = b'{"dev_cla":"temperature","unit_of_meas":"\xc2\xb0F","stat_t":"porch/sensor/%d/state"}'


def table() -> RouteTable:
    return RouteTable(subscriptions=[SubscriptionConfig(filter="#", decode="esphome")])


def message(topic: str, payload: bytes) -> SpooledMessage:
    return SpooledMessage(7, 1_790_000_000_000, topic, payload, 1, False, False)


def reading_in(path: Path) -> RoutedEvent:
    """The same reading, as the bridge whose spool this is identifies it."""
    store = SpoolStore(path, ["http"])
    routes = table()
    DeviceDescriptions(store).restore(routes)
    found = routes.resolve(message("porch/sensor/0/state", b"59.0"))
    store.close()
    assert isinstance(found, RoutedEvent)
    return found


def test_bridges_that_start_at_the_same_moment_give_different_ids(tmp_path: Path) -> None:
    """Members that share a subscription do, and each numbers its messages from 1."""
    found = [reading_in(tmp_path / f"{number}.db").message_id for number in range(20)]
    assert len(set(found)) == 20
    assert {one.split(":")[2] for one in found} == {"7"}
    assert all(0 <= int(one.split(":")[1]) < 10**15 for one in found), "as the message contract has it"


def test_a_spool_keeps_its_identity(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    assert reading_in(path).message_id == reading_in(path).message_id


@pytest.mark.parametrize(
    ("limit", "value", "kept"), [("MAX_DESCRIPTIONS", 2, 2), ("MAX_DESCRIPTION_CHARACTERS", 200, 2)]
)
async def test_descriptions_are_bounded_in_number_and_size(
    limit: str, value: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"bridge.routing.descriptions.{limit}", value)
    store = SpoolStore(tmp_path / "spool.db", ["http"])
    spool = Spool(store, SpoolConfig(), on_messages=lambda _: None, on_commit=lambda *_: None, clock=SystemClock())
    routes = table()
    descriptions = DeviceDescriptions(store)
    descriptions.begin(spool, routes)
    with capture_logs() as logs:
        for number in (0, 1, 1, 2, 3):
            routes.resolve(message(f"homeassistant/sensor/porch/{number}/config", CONFIG % number))
    await spool.run_on_writer(lambda _: None)
    await spool.run_on_writer(lambda _: None)
    await spool.close()
    again = SpoolStore(tmp_path / "spool.db", ["http"])
    assert len(again.list_metadata("description ")) == kept
    again.close()
    assert [log["event"] for log in logs] == ["too many descriptions of devices: new ones are forgotten at the end"]
    assert reading_in(tmp_path / "spool.db").fields["temperature_c"] == 15.0
