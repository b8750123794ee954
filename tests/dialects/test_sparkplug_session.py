"""What edge nodes of Sparkplug say from message to message: their numbers, aliases and births, and what they heed.

Protobuf's own parser reads it by Tahu's schema, and the births of the bridge name it again.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.message.sparkplug_births import SparkplugBirths
from bridge.spool.message import SpooledMessage
from edgewire.dialects.encoder import HeardCommands
from edgewire.dialects.sparkplug import BD_SEQ, REBIRTH
from edgewire.dialects.sparkplug_payload import metric_value, read_payload, write_metric, write_payload
from edgewire.dialects.sparkplug_session import (
    MAX_COMMANDS,
    NO_VALUE,
    NOT_BORN,
    NOTHING_ASKED,
    READ_ONLY,
    STATE_OUTDATED,
    STATE_UNREADABLE,
    TOO_MANY,
    UNREADABLE,
    WRONG_TYPE,
)
from tests.dialects.edge_node import AIR, NOW_MS, Node, T, born
from tests.dialects.speaking import ONLINE
from tests.dialects.tahu_schema import Payload

RATE = "Node Control/Scan Rate"
REBOOT = "Node Control/Reboot"
HOST = "spBv1.0/STATE/scada"


def commanded(node: Node, *metrics: bytes, device: str = "") -> HeardCommands:
    topic = f"spBv1.0/plant/DCMD/n1/{device}" if device else "spBv1.0/plant/NCMD/n1"
    return node.session.hear_command(topic, write_payload(NOW_MS, None, metrics))


def test_a_birth_has_every_metric_with_name_alias_datatype_time_and_value() -> None:
    ((topic, birth),) = born().read()
    assert topic == "NBIRTH/n1"
    assert (birth.seq, birth.timestamp) == (0, NOW_MS)
    metrics = {one.name: one for one in birth.metrics}
    assert [*metrics] == [BD_SEQ, REBIRTH, *AIR, REBOOT, RATE]
    assert all(one.HasField("timestamp") and one.HasField("datatype") for one in birth.metrics)
    assert (metrics[BD_SEQ].datatype, metrics[BD_SEQ].long_value) == (T.INT64, 0)
    assert (metrics[REBIRTH].datatype, metrics[REBIRTH].boolean_value) == (T.BOOLEAN, False)
    assert metrics[REBIRTH].HasField("boolean_value")
    assert metrics[RATE].long_value == 10_000
    # It has not measured yet.
    assert [metrics[name].is_null and not metrics[name].HasField("double_value") for name in AIR] == [True] * 3
    assert [one.HasField("alias") for one in birth.metrics] == [False, False, True, True, True, True, True]


def test_aliases_are_of_one_metric_each_over_a_node_and_its_devices() -> None:
    births = [one for _, one in born("d1", "d2").read()]
    aliases = [metric.alias for birth in births for metric in birth.metrics if metric.HasField("alias")]
    assert len(aliases) == len(set(aliases)) == 1 + 2 * 5
    assert all(alias > 0 for alias in aliases)


def test_numbers_go_from_0_to_255_over_a_node_and_its_devices() -> None:
    node = born("d1", "d2")
    for number in range(600):
        node.tell(f"d{number % 2 + 1}")
    said = node.read()
    assert [topic for topic, _ in said[:3]] == ["NBIRTH/n1", "DBIRTH/n1/d1", "DBIRTH/n1/d2"]
    assert [one.seq for _, one in said] == [number % 256 for number in range(603)]
    node.be_born()
    assert [one.seq for _, one in node.read()] == [0, 1, 2]


def test_what_was_not_sent_takes_no_number() -> None:
    node = born()
    topic, payload = node.said.pop()
    node.session.write(topic.replace("NBIRTH", "NDATA"), payload, NOW_MS, is_past=False, is_damaged=False)
    node.tell()
    assert [one.seq for _, one in node.read()] == [1]


@pytest.mark.parametrize("aliases", [True, False])
def test_data_has_a_time_for_each_value_and_an_alias_or_a_name_and_no_datatype(aliases: bool) -> None:
    node = born(aliases=aliases)
    ((_, birth),) = node.read()
    sent_ms = node.now_ms
    node.tell(humidity=None)
    ((topic, data),) = node.read()
    assert (topic, data.timestamp) == ("NDATA/n1", sent_ms)
    assert {one.timestamp for one in data.metrics} == {sent_ms - 50}
    names = {one.alias: one.name for one in birth.metrics if one.HasField("alias")}
    assert bool(names) is aliases
    assert not any(one.HasField("datatype") or one.is_historical for one in data.metrics)
    assert all(one.HasField("alias") is aliases and one.HasField("name") is not aliases for one in data.metrics)
    told = {names[one.alias] if aliases else one.name: one for one in data.metrics}
    assert {name: None if one.is_null else one.double_value for name, one in told.items()} == AIR | {"humidity": None}
    assert not told["humidity"].HasField("double_value")


def test_what_has_waited_and_has_a_newer_one_behind_it_is_historical() -> None:
    node = born()
    node.tell(is_past=True)
    node.tell()
    assert [{one.is_historical for one in data.metrics} for _, data in node.read()[1:]] == [{True}, {False}]


def test_a_birth_tells_again_what_was_told_last_and_when() -> None:
    node = born("d1", "d2")
    node.read()
    measured_ms = node.now_ms - 50
    node.tell("d1")
    node.send("spBv1.0/plant/DDATA/n1/d1", write_payload(None, None, [
        write_metric("Device Control/Scan Rate", T.INT64, 500, timestamp=NOW_MS)]))  # fmt: skip
    node.tell("d1", is_damaged=True, humidity=99.0)
    node.connect()
    node.said.clear()
    node.be_born()
    _, (_, first), (_, second) = node.read()
    told = {one.name: one for one in first.metrics}
    assert {name: told[name].double_value for name in AIR} == AIR
    assert {told[name].timestamp for name in AIR} == {measured_ms}
    assert told["Device Control/Scan Rate"].long_value == 500
    assert all(one.is_null for one in second.metrics if one.name in AIR)


def test_a_will_has_the_number_of_its_connection_and_the_birth_has_the_same() -> None:
    node = Node()
    for connects in (*range(3), 255, 256):
        node.connects = connects
        node.connect()
        will = Payload.FromString(node.session.write_will())
        node.be_born()
        node.be_born()
        births = [one for _, one in node.read()]
        assert [one.metrics[0].long_value for one in births] == [connects % 256] * 2
        assert [(one.name, one.datatype, one.long_value) for one in will.metrics] == [(BD_SEQ, T.INT64, connects % 256)]
        assert not will.HasField("seq")


def test_a_node_says_its_death_as_it_goes_and_one_that_was_not_born_none() -> None:
    node = Node()
    node.connect()
    assert node.session.write_goodbye() is None
    node.be_born()
    goodbye = node.session.write_goodbye()
    assert goodbye is not None
    assert (goodbye.topic, goodbye.qos, goodbye.retain) == ("spBv1.0/plant/NDEATH/n1", 1, False)
    assert goodbye.payload == node.session.write_will()
    assert node.session.write(goodbye.topic, goodbye.payload, 1, is_past=False, is_damaged=False) == goodbye.payload
    node.connect()
    assert node.session.write_goodbye() is None


def test_a_death_of_a_device_has_a_time_and_a_number_and_nothing_else() -> None:
    node = born("d1")
    (death,) = node.encoder.state(node.names | {"id": "d1"}, ONLINE | {"state": "offline"})
    node.send(death.topic, death.payload)
    topic, read = node.read()[-1]
    assert (topic, read.seq, len(read.metrics)) == ("DDEATH/n1/d1", 2, 0)
    assert read.timestamp == node.now_ms - 1000
    assert (death.qos, death.retain) == (0, False)


def test_what_a_fault_has_damaged_nobody_reads_and_its_number_is_gone() -> None:
    node = born()
    node.tell(is_damaged=True)
    node.tell()
    (_, _), (_, damaged), (_, after) = node.said
    with pytest.raises(Exception, match="ends in the middle of a number"):
        read_payload(damaged)
    assert read_payload(after).seq == 2


# -- commands


def test_a_rebirth_is_asked_for_by_its_name() -> None:
    node = born("d1")
    assert commanded(node, write_metric(REBIRTH, T.BOOLEAN, True)) == HeardCommands([], [], introduces=True)
    assert commanded(node, write_metric(REBIRTH, T.BOOLEAN, True, says_datatype=False)).introduces
    assert commanded(node, write_metric(REBIRTH, T.BOOLEAN, False)).ignored == [NO_VALUE]


@pytest.mark.parametrize("by_alias", [True, False])
@pytest.mark.parametrize("device", ["", "d1"])
def test_what_can_be_set_is_set_by_name_or_alias(device: str, by_alias: bool) -> None:
    node = born(*([device] if device else []))
    births = [metric for _, birth in node.read() for metric in birth.metrics]
    of = "Device" if device else "Node"
    asked = []
    for name, datatype, value in ((f"{of} Control/Scan Rate", T.INT64, 500), (f"{of} Control/Reboot", T.BOOLEAN, True)):
        alias = [one.alias for one in births if one.name == name][-1]
        asked.append(
            write_metric(None if by_alias else name, datatype, value, alias=alias if by_alias else None,
                         says_datatype=not by_alias)
        )  # fmt: skip
    heard = commanded(node, *asked, device=device)
    assert heard.ignored == []
    topic = f"spBv1.0/plant/DCMD/n1/{device}" if device else "spBv1.0/plant/NCMD/n1"
    found = [node.encoder.read_command(node.names, topic, payload) for payload in heard.commands]
    assert [(one.action, dict(one.arguments)) for one in found if one is not None] == [
        ("set_interval", {"interval": "500ms"}), ("reboot", {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff", UNREADABLE),
        (b"{}", UNREADABLE),
        (b"\x12\x05\x0a", UNREADABLE),
        (b"", NOTHING_ASKED),
        (write_payload(1, None, [write_metric("speed", T.INT64, 1)]), NOT_BORN),
        (write_payload(1, None, [write_metric(None, T.INT64, 1, alias=99)]), NOT_BORN),
        (write_payload(1, None, [write_metric(None, T.INT64, 1, alias=0)]), NOT_BORN),
        (write_payload(1, None, [write_metric(None, T.INT64, 1)]), NOT_BORN),
        (write_payload(1, None, [write_metric("Device Control/Reboot", T.BOOLEAN, True)]), NOT_BORN),
        (write_payload(1, None, [write_metric("humidity", T.DOUBLE, 1.0)]), READ_ONLY),
        (write_payload(1, None, [write_metric(BD_SEQ, T.INT64, 1)]), READ_ONLY),
        (write_payload(1, None, [write_metric(RATE, T.STRING, "fast")]), WRONG_TYPE),
        (write_payload(1, None, [write_metric(RATE, T.DOUBLE, 5.0)]), WRONG_TYPE),
        (write_payload(1, None, [write_metric(RATE, T.BOOLEAN, True)]), WRONG_TYPE),
        (write_payload(1, None, [write_metric(REBOOT, T.INT32, 1)]), WRONG_TYPE),
        (write_payload(1, None, [write_metric(REBIRTH, T.INT32, 1, says_datatype=False)]), WRONG_TYPE),
        (write_payload(1, None, [write_metric(RATE, T.INT64, None)]), NO_VALUE),
        (write_payload(1, None, [write_metric(REBOOT, T.BOOLEAN, False)]), NO_VALUE),
    ],
)
def test_a_command_that_is_none_is_named_and_nothing_is_done(payload: bytes, why: str) -> None:
    heard = born().session.hear_command("spBv1.0/plant/NCMD/n1", payload)
    assert (list(heard.commands), list(heard.ignored), heard.introduces) == ([], [why], False)


def test_of_a_command_with_very_many_metrics_the_first_are_done() -> None:
    rates = [write_metric(RATE, T.INT64, 1000 + number) for number in range(MAX_COMMANDS + 1)]
    heard = commanded(born(), *rates)
    assert (len(heard.commands), heard.ignored) == (MAX_COMMANDS, [TOO_MANY])


def test_a_device_is_not_commanded_by_the_alias_of_another() -> None:
    node = born("d1", "d2")
    births = dict(node.read())
    alias = next(one.alias for one in births["DBIRTH/n1/d1"].metrics if one.name == "Device Control/Reboot")
    asked = write_metric(None, T.BOOLEAN, True, alias=alias)
    assert commanded(node, asked, device="d1").commands
    assert commanded(node, asked, device="d2").ignored == [NOT_BORN]
    assert commanded(node, asked).ignored == [NOT_BORN]


# -- the primary host


def test_without_a_host_a_node_speaks_at_once_and_hears_of_none() -> None:
    node = Node()
    assert (node.session.may_speak, node.session.heard_topics) == (True, ())


B, L, M = "begins", "leaves", "is_missed"


@pytest.mark.parametrize(
    ("heard", "done"),
    [
        ([(HOST, b'{"online":true,"timestamp":5}')], [B]),
        ([(HOST, b'{"online":false,"timestamp":5}')], [M]),
        ([(HOST, b'{"online":true,"timestamp":5}'), (HOST, b'{"online":true,"timestamp":6}')], [B, ""]),
        ([(HOST, b'{"online":true,"timestamp":5}'), (HOST, b'{"online":false,"timestamp":5}')], [B, L]),
        (
            [(HOST, b'{"online":true,"timestamp":5}'), (HOST, b'{"online":false,"timestamp":4}')],
            [B, STATE_OUTDATED],
        ),
        (
            [(HOST, b'{"online":false,"timestamp":5}'), (HOST, b'{"online":true,"timestamp":4}')],
            [M, STATE_OUTDATED],
        ),
        ([("STATE/scada", b"ONLINE"), ("STATE/scada", b"OFFLINE")], [B, L]),
        # Of a host that tells both, the one with a time counts.
        ([(HOST, b'{"online":true,"timestamp":5}'), ("STATE/scada", b"OFFLINE")], [B, ""]),
        *(
            ([(HOST, payload)], [STATE_UNREADABLE])
            for payload in (
                b"", b"ONLINE", b"[]", b"{", b'{"online":1,"timestamp":5}', b'{"online":true}', b"\xff",
                b'{"online":true,"timestamp":"5"}', b'{"online":true,"timestamp":-1}',
                b'{"online":true,"timestamp":5.5}', b'{"online":true,"timestamp":true}',
            )
        ),
        ([("STATE/scada", b"online")], [STATE_UNREADABLE]),
    ],
)  # fmt: skip
def test_a_node_waits_for_its_host_and_leaves_with_it(heard: list[tuple[str, bytes]], done: list[str]) -> None:
    node = Node(host_id="scada")
    assert list(node.session.heard_topics) == [HOST, "STATE/scada"]
    node.connect()
    assert not node.session.may_speak
    found = []
    for topic, payload in heard:
        one = node.session.hear_state(topic, payload)
        flags = [name for name in (B, L, M) if getattr(one, name)]
        found.append("".join([*flags, *one.ignored]))
    assert found == done
    assert node.session.may_speak is ((B in done) and (L not in done))


def test_a_host_is_awaited_anew_on_each_connection_and_its_time_is_that_of_one_broker() -> None:
    node = Node(host_id="scada")
    node.connect("mqtt://a")
    node.session.hear_state(HOST, b'{"online":true,"timestamp":5}')
    node.connect("mqtt://a")
    assert not node.session.may_speak
    assert node.session.hear_state(HOST, b'{"online":true,"timestamp":4}').ignored == (STATE_OUTDATED,)
    assert node.session.hear_state(HOST, b'{"online":true,"timestamp":5}').begins
    node.connect("mqtt://b")
    assert node.session.hear_state(HOST, b'{"online":true,"timestamp":4}').begins


# -- laws

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), st.just("")),
        st.tuples(st.just("birth"), st.just("")),
        st.tuples(st.sampled_from(["data", "past"]), st.sampled_from(["d1", "d2"])),
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(steps=STEPS, aliases=st.booleans())
def test_a_host_names_all_that_is_said_and_misses_nothing(steps: list[tuple[str, str]], aliases: bool) -> None:
    node, births = born("d1", "d2", aliases=aliases), SparkplugBirths()
    told = 0
    for what, device in steps:
        match what:
            case "connect":
                node.connect()
                node.be_born()
            case "birth":
                node.be_born()
            case _:
                told += 1
                node.tell(device, is_past=what == "past", temperature_c=float(told))
    found = []
    for topic, payload in node.said:
        message = SpooledMessage(1, NOW_MS, topic, payload, 0, retain=False, dup=False)
        for one in births.name_metrics(message, 0.0):
            for metric in read_payload(one.payload).metrics:
                assert metric.name
                if metric.name == "temperature_c" and not metric.is_null:
                    found.append(metric_value(metric, metric.datatype, metric.name))
    # A birth tells values again, which are no readings.
    assert found == [float(number) for number in range(1, told + 1)]
    births.take_overdue(1e9)
    assert births.unknown == {}


@settings(max_examples=100, deadline=None)
@given(payload=st.binary(max_size=80), topic=st.sampled_from(["spBv1.0/plant/NCMD/n1", "spBv1.0/plant/DCMD/n1/d1"]))
def test_any_bytes_are_heard_or_named(payload: bytes, topic: str) -> None:
    node = born("d1", host_id="scada")
    heard = node.session.hear_command(topic, payload)
    assert heard.commands or heard.ignored or heard.introduces
    for state in node.session.heard_topics:
        node.session.hear_state(state, payload)
