"""What a bridge's own rules make of the messages of a run, sink by sink."""

from typing import Any

import pytest

from bridge.config import BridgeConfig
from bridge.message.decoders import UndecodableMessage
from bridge.spool.message import SpooledMessage
from edgefleet.verify.bridge_rules import BridgeRules, UncertainFate, omit_by_topic
from edgefleet.verify.message_index import MessageIndex
from edgewire.errors import ConfigError
from edgewire.run_record import DeviceRecord, RunRecord

OWN = {"topic": "p/{id}", "payload": {"t": "temperature_c"}}


def bridge(routes: list[dict[str, Any]], *subscriptions: Any, **keys: Any) -> BridgeConfig:
    sinks = {"http": {"url": "http://h"}, "kafka": {"bootstrap_servers": "h:1"}}
    return BridgeConfig.model_validate(
        {**sinks, "subscriptions": subscriptions or ["edge/#"], "routes": routes, **keys}
    )


def fate(config: BridgeConfig, sink: str, topic: str, payload: bytes) -> Any:
    return BridgeRules(config, sink).decode_event(SpooledMessage(1, 1000, topic, payload, 1, False, False))


OF_P = {"filter": "p/#", "decode": OWN}


@pytest.mark.parametrize(
    ("row", "sink", "said", "is_uncertain"),
    [
        ({"topic": "p/#", "drop": True}, "http", "route 'p/#': drop", False),
        ({"topic": "p/#", "http": {"path": "/x"}}, "kafka", "route 'p/#' does not lead to kafka", False),
        ({"topic": "p/#", "http": {"path": "/x"}, "sample": "1/1000000 by device"}, "http", "by device", False),
        ({"topic": "p/#", "http": {"path": "/x"}, "sample": "1/1000000"}, "http", "sampled by numbers that the", True),
        ({"topic": "p/#", "http": {"path": "/x"}, "sample": "0.999999"}, "http", "sampled by numbers that the", True),
        ({"topic": "p/#", "http": {"path": "/x", "body": {"a": 1}}}, "http", "have a body of their own there", True),
        ({"topic": "q/#", "http": {"path": "/x"}, "drop": False}, "http", "does not subscribe", True),
    ],
)
def test_what_a_rule_keeps_from_a_sink(row: dict[str, Any], sink: str, said: str, is_uncertain: bool) -> None:
    config = bridge([row, {"topic": "edge/#", "kafka": {"topic": "k"}, "http": {"path": "/y"}}], OF_P)
    found = fate(config, sink, "q/a" if row["topic"] == "q/#" else "p/a", b'{"t": 21.5}')
    assert said in found
    assert isinstance(found, UncertainFate) is is_uncertain


def test_what_is_read_is_read_as_the_bridge_does_it() -> None:
    config = bridge([{"topic": "p/#", "http": {"path": "/x"}}, {"topic": "e", "kafka": {"topic": "k"}}], OF_P)
    assert fate(config, "http", "p/a", b'{"t": 21.5}')[4].startswith(b'{"device_id":"a"')
    assert fate(config, "rows", "p/a", b'{"t": 21.5}')[1] == "a"
    assert fate(config, "kafka", "p/a", b'{"t": 21.5}') == "route 'p/#' does not lead to kafka"
    with pytest.raises(UndecodableMessage, match="not JSON"):
        fate(config, "http", "p/a", b"{")
    raw = bridge([{"topic": "#", "kafka": {"topic": "k"}}], {"filter": "#", "decode": "none"}, http=None)
    assert "forwarded as bytes" in fate(raw, "kafka", "p/a", b"\xff")
    with pytest.raises(ConfigError, match="this bridge has no http, of which arrivals are to be read: leave --ingest"):
        BridgeRules(raw, "http")


def native(*devices: tuple[str, str]) -> MessageIndex:
    records = [
        DeviceRecord(device_id=name, kind=kind, site="s", boot=1, first_seq=0, last_seq=99) for name, kind in devices
    ]
    record = RunRecord(
        run_id="r", scenario="x", seed=1, broker="b", started_ms=0, stopped_ms=1, sim_started_ms=0, fixed_boots=False,
        devices=records,
    )  # fmt: skip
    return MessageIndex(record)


ALL = {"topic": "#", "http": {"path": "/x"}, "kafka": {"topic": "k"}}


@pytest.mark.parametrize(
    ("rows", "sent", "note", "gap"),
    [
        ([ALL], 200, "", ""),
        ([], 200, "", ""),
        ([{"topic": "edge/+/gps/#", "drop": True}, ALL], 100, "100 are left out by the bridge's rule: route 'edge", ""),
        ([{"topic": "edge/+/gps/#", "kafka": {"topic": "k"}}, ALL], 100, "does not lead to http", ""),
        (
            [{"topic": "#", "match": {"a": 1}, "drop": True}, ALL],
            0,
            "",
            "200 messages go by routes that ask for values",
        ),
        ([{"topic": "#", "match": {"a": 1}, "http": {"path": "/y"}}, ALL], 200, "", ""),
        ([{"topic": "edge/+/gps/#", "sample": "1/4", "http": {"path": "/y"}}, ALL], None, "sample 0.25 by message", ""),
        ([{"topic": "edge/+/gps/#", "sample": "1/4 by device", "http": {"path": "/y"}}, ALL], None, "", ""),
    ],
)
def test_of_devices_in_the_message_contract_topics_and_ids_decide(
    rows: list[dict[str, Any]], sent: int | None, note: str, gap: str
) -> None:
    index, config = native(("a", "bme280"), ("g", "gps")), bridge(rows)
    notes, gaps = omit_by_topic(BridgeRules(config, "http"), index, ())
    assert note in "".join(notes)
    assert gap in "".join(gaps)
    if sent is not None:
        assert (sum(index.sent.values()), bool(notes), bool(gaps)) == (sent, bool(note), bool(gap))
    elif note:
        assert 100 < sum(index.sent.values()) < 160  # a quarter of those of `g`
    none = bridge([ALL], "edge/other/#")
    assert "does not subscribe" in "".join(omit_by_topic(BridgeRules(none, "http"), native(("a", "bme280")), ())[1])
