"""A message of a Sparkplug node says what its births make of it, whoever reads it and whenever."""

from typing import Any

import pytest

from bridge.message import sparkplug_births
from bridge.message.sparkplug_births import SparkplugBirths
from bridge.spool.message import SpooledMessage
from edgewire.dialects.base import Arrival, DialectError, DialectMessage
from edgewire.dialects.sparkplug import SparkplugDecoder
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload

T = SparkplugType
MS = 1_790_000_000_000


class Counted:
    def __init__(self) -> None:
        self.numbers: list[tuple[str, int]] = []

    def observe_number(self, device: str, boot: int, seq: int) -> None:
        self.numbers.append((device, seq))

    def observe_reading(self, device: str, at_ms: int) -> None:
        raise AssertionError("a node's times tell of nothing missing")


def message(kind: str, payload: bytes, device: str = "", **flags: Any) -> SpooledMessage:
    topic = f"spBv1.0/G/{kind}/N" + (f"/{device}" if device else "")
    return SpooledMessage(0, MS, topic, payload, 0, flags.get("retain", False), flags.get("dup", False), None)


def birth(*metrics: bytes, bd_seq: int = 0, seq: int = 0, at_ms: int = MS) -> bytes:
    return write_payload(at_ms, seq, [write_metric("bdSeq", T.INT64, bd_seq), *metrics])


def data(seq: int, value: float = 1.5, *, alias: int = 1, at_ms: int = MS + 1) -> bytes:
    return write_payload(at_ms, seq, [write_metric(None, T.DOUBLE, value, alias=alias, says_datatype=False)])


def death(bd_seq: int) -> SpooledMessage:
    return message("NDEATH", write_payload(MS, None, [write_metric("bdSeq", T.INT64, bd_seq)]))


TEMP = write_metric("temp", T.DOUBLE, 20.0, alias=1, timestamp=MS)


def read(births: SparkplugBirths, one: SpooledMessage, now_s: float = 0) -> list[DialectMessage]:
    decoder = SparkplugDecoder()
    return [
        decoder.decode(part.topic, part.payload, Arrival(MS, part.retain)) for part in births.name_metrics(one, now_s)
    ]


def test_data_gets_the_names_of_the_birth_before_it() -> None:
    births = SparkplugBirths()
    (born,) = read(births, message("NBIRTH", birth(TEMP)))
    (told,) = read(births, message("NDATA", data(1, 21.5)))
    assert (born.device_id, dict(born.values), born.time_ms) == ("G/N", {"temp": 20.0}, MS)
    assert (told.device_id, dict(told.values), told.time_ms) == ("G/N", {"temp": 21.5}, MS + 1)
    assert not births.unknown


def test_a_whole_number_has_the_sign_that_the_birth_says() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(write_metric("t", T.INT16, 1, alias=1), write_metric("u", T.UINT16, 1))))
    minus = write_metric(None, T.INT16, -87, alias=1, says_datatype=False)
    (told,) = read(births, message("NDATA", write_payload(MS + 1, 1, [minus])))
    assert told.values == {"t": -87}
    by_name = write_metric("u", T.UINT16, 65449, says_datatype=False)
    (told,) = read(births, message("NDATA", write_payload(MS + 1, 2, [by_name])))
    assert told.values == {"u": 65449}


def test_an_alias_without_a_birth_is_a_dead_letter_and_asks_for_one() -> None:
    births = SparkplugBirths()
    with pytest.raises(DialectError, match="alias 1 and no name: no birth of G/N that was received names it"):
        read(births, message("NDATA", data(1)))
    assert births.unknown == {"G/N": "it tells values, and is not born"}
    read(births, message("NBIRTH", birth(TEMP)))
    assert not births.unknown
    with pytest.raises(DialectError, match="alias 9"):
        read(births, message("NDATA", data(1, alias=9)))
    assert births.unknown == {"G/N": "no birth names alias 9"}


def test_each_device_has_aliases_of_its_own_birth() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP)))
    read(births, message("DBIRTH", write_payload(MS, 1, [write_metric("level", T.DOUBLE, 3.0, alias=1)]), "D"))
    (told,) = read(births, message("DDATA", data(2, 4.0), "D"))
    assert (told.device_id, told.values) == ("G/N/D", {"level": 4.0})
    read(births, message("DDEATH", write_payload(MS, 3, []), "D"))
    with pytest.raises(DialectError, match="no birth of G/N/D"):
        read(births, message("DDATA", data(4), "D"))


def test_what_a_birth_tells_again_is_no_reading() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP)))
    read(births, message("NDATA", data(1, 21.5, at_ms=MS + 5)))
    again = write_metric("temp", T.DOUBLE, 21.5, alias=1, timestamp=MS + 5)
    (told,) = read(births, message("NBIRTH", birth(again, at_ms=MS + 9)))
    assert not told.values
    newer = write_metric("temp", T.DOUBLE, 22.0, alias=1, timestamp=MS + 6)
    (told,) = read(births, message("NBIRTH", birth(newer, at_ms=MS + 9)))
    assert told.values == {"temp": 22.0}


def test_values_of_several_times_are_taken_apart_and_those_of_the_past_are_marked() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP)))
    metrics = [
        write_metric(None, T.DOUBLE, value, alias=1, timestamp=MS + value, says_datatype=False, is_historical=past)
        for value, past in ((1, True), (2, True), (3, False))
    ]
    told = read(births, message("NDATA", write_payload(MS + 9, 1, metrics)))
    assert [(one.time_ms - MS, dict(one.values), dict(one.extra)) for one in told] == [
        (1, {"temp": 1.0}, {"historical": True}),
        (2, {"temp": 2.0}, {"historical": True}),
        (3, {"temp": 3.0}, {}),
    ]


def test_after_a_death_nothing_is_named_until_the_next_birth() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP, bd_seq=4)))
    (told,) = read(births, death(4))
    assert (told.role, told.values) == ("availability", {"online": False})
    with pytest.raises(DialectError, match="alias 1"):
        read(births, message("NDATA", data(1)))
    read(births, message("NBIRTH", birth(TEMP, bd_seq=5)))
    (told,) = read(births, message("NDATA", data(1)))
    assert told.values == {"temp": 1.5}


def test_the_will_of_an_earlier_session_kills_nobody() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP, bd_seq=5)))
    (told,) = read(births, death(4))
    assert (told.role, dict(told.extra)) == ("state", {"death": "of an earlier session"})
    (told,) = read(births, message("NDATA", data(1)))
    assert told.values == {"temp": 1.5}


def test_births_are_known_in_the_next_run() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP, bd_seq=5)))
    read(births, message("DBIRTH", write_payload(MS, 1, [write_metric("level", T.INT8, 3, alias=7)]), "D"))
    assert births.changed == {"G/N"}
    kept = births.dump_node("G/N")
    assert kept is not None
    again = SparkplugBirths()
    again.restore({"G/N": kept})
    assert not again.changed
    minus = write_metric(None, T.INT8, -3, alias=7, says_datatype=False)
    (told,) = read(again, message("DDATA", write_payload(MS + 1, 9, [minus]), "D"))
    assert told.values == {"level": -3}
    (told,) = read(again, death(4))
    assert told.role == "state"
    read(again, death(5))
    assert again.dump_node("G/N") is None


def test_what_a_birth_tells_again_is_no_reading_in_the_next_run_either() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP)))
    read(births, message("NDATA", data(1, 21.5, at_ms=MS + 5)))
    kept = births.dump_node("G/N")
    assert kept is not None
    again = SparkplugBirths()
    again.restore({"G/N": kept})
    assert again.nodes == ["G/N"]
    told_again = write_metric("temp", T.DOUBLE, 21.5, alias=1, timestamp=MS + 5)
    (told,) = read(again, message("NBIRTH", birth(told_again, at_ms=MS + 9)))
    assert not told.values
    meanwhile = write_metric("temp", T.DOUBLE, 22.0, alias=1, timestamp=MS + 6)
    (told,) = read(again, message("NBIRTH", birth(meanwhile, at_ms=MS + 9)))
    assert told.values == {"temp": 22.0}
    assert SparkplugBirths().nodes == []


def test_numbers_are_counted_on_over_255_and_what_is_left_out_asks_for_a_birth_when_it_does_not_come() -> None:
    counted = Counted()
    births = SparkplugBirths(counted)
    read(births, message("NBIRTH", birth(TEMP)))
    for seq in (*range(1, 255), 1, 0, 255):
        read(births, message("NDATA", data(seq, at_ms=MS + 1 + seq)), now_s=10)
    numbers = [seq for _, seq in counted.numbers]
    assert numbers == [*range(255), 257, 256, 255], "1 came before 0 and 255, by another way"
    births.take_overdue(11)
    assert not births.unknown
    read(births, message("NDATA", data(5)), now_s=12)
    births.take_overdue(11)
    assert not births.unknown
    births.take_overdue(12)
    assert births.unknown == {"G/N": "numbers are missing"}


def test_a_message_that_comes_again_is_no_gap_and_many_left_out_are_one() -> None:
    counted = Counted()
    births = SparkplugBirths(counted)
    read(births, message("NBIRTH", birth(TEMP)))
    for seq in (1, 1, 2, 202):
        read(births, message("NDATA", data(seq)))
    assert [seq for _, seq in counted.numbers] == [0, 1, 2, 202]


def test_a_retained_birth_is_taken_only_where_nothing_is_known() -> None:
    births = SparkplugBirths()
    read(births, message("NBIRTH", birth(TEMP), retain=True))
    (told,) = read(births, message("NDATA", data(9)))
    assert told.values == {"temp": 1.5}
    other = write_metric("other", T.DOUBLE, 1.0, alias=1)
    (told,) = read(births, message("NBIRTH", birth(other), retain=True))
    assert told.is_stale
    (told,) = read(births, message("NDATA", data(10, at_ms=MS + 2)))
    assert told.values == {"temp": 1.5}


def test_nodes_and_metrics_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug_births, "MAX_NODES", 2)
    monkeypatch.setattr(sparkplug_births, "MAX_KNOWN_METRICS", 5)
    births = SparkplugBirths()
    for node in ("a", "b", "c"):
        births.name_metrics(SpooledMessage(0, MS, f"spBv1.0/G/NBIRTH/{node}", birth(TEMP), 0, False, False), 0)
    assert births.dump_node("G/a") is None
    assert births.dump_node("G/c") is not None
    many = [write_metric(f"m{number}", T.DOUBLE, 1.0) for number in range(4)]
    births.name_metrics(SpooledMessage(0, MS, "spBv1.0/G/NBIRTH/b", birth(*many), 0, False, False), 0)
    assert births.dump_node("G/b") is None


@pytest.mark.parametrize("payload", [b"\xff", b"", b"\x12\x02\x10"])
@pytest.mark.parametrize("kind", ["NBIRTH", "NDATA", "NDEATH"])
def test_hostile_bytes_are_spooled_as_they_came(kind: str, payload: bytes) -> None:
    (one,) = SparkplugBirths().name_metrics(message(kind, payload), 0)
    assert one.payload == payload
