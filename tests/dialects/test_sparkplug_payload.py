"""Payloads of Sparkplug are those that protobuf's own parser reads and writes by the public schema, and no others."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.dialects.base import DialectError
from edgewire.dialects.sparkplug_payload import (
    MAX_METRICS,
    SIGNED_BITS,
    UNSIGNED_BITS,
    SparkplugType,
    metric_value,
    read_payload,
    write_metric,
    write_payload,
)
from tests.dialects.tahu_schema import Payload

T = SparkplugType
_FIELDS = {T.FLOAT: "float_value", T.DOUBLE: "double_value", T.BOOLEAN: "boolean_value"} | dict.fromkeys(
    (T.STRING, T.TEXT, T.UUID), "string_value"
)


def _values(datatype: SparkplugType) -> st.SearchStrategy[Any]:
    if datatype in SIGNED_BITS:
        half = 1 << SIGNED_BITS[datatype] - 1
        return st.integers(-half, half - 1)
    if datatype in UNSIGNED_BITS:
        return st.integers(0, (1 << UNSIGNED_BITS[datatype]) - 1)
    if datatype in (T.FLOAT, T.DOUBLE):
        return st.floats(allow_nan=False, allow_infinity=False, width=32 if datatype is T.FLOAT else 64)
    return st.booleans() if datatype is T.BOOLEAN else st.text(max_size=20)


TYPED = st.sampled_from(list(T)).flatmap(lambda one: st.tuples(st.just(one), st.none() | _values(one)))
U64 = st.integers(0, 2**64 - 1)


@settings(max_examples=60)
@given(
    at=st.none() | U64, seq=st.none() | st.integers(0, 255), typed=st.lists(TYPED, max_size=5), alias=st.none() | U64
)
def test_protobuf_reads_what_is_written_and_it_is_read_again(
    at: int | None, seq: int | None, typed: list[tuple[SparkplugType, Any]], alias: int | None
) -> None:
    metrics = [
        write_metric(f"m{number}", one, value, timestamp=at, alias=alias, is_historical=number % 2 == 1)
        for number, (one, value) in enumerate(typed)
    ]
    written = write_payload(at, seq, metrics)
    theirs = Payload.FromString(written)
    assert (theirs.timestamp if theirs.HasField("timestamp") else None) == at
    assert (theirs.seq if theirs.HasField("seq") else None) == seq
    ours = read_payload(theirs.SerializeToString())
    assert (ours.timestamp, ours.seq) == (at, seq)
    for number, (metric, mine, (datatype, value)) in enumerate(zip(theirs.metrics, ours.metrics, typed, strict=True)):
        assert (metric.name, metric.datatype) == (mine.name, mine.datatype) == (f"m{number}", datatype)
        assert mine.alias == alias
        assert metric.is_historical == mine.is_historical == (number % 2 == 1)
        assert metric.is_null == mine.is_null == (value is None)
        read = metric_value(mine, mine.datatype, "m")
        assert read == value or (datatype is T.FLOAT and math.isclose(read or 0, value, rel_tol=1e-6, abs_tol=1e-37))
        if value is not None and datatype in _FIELDS:
            assert getattr(metric, _FIELDS[datatype]) == value
        elif value is not None:
            width = 64 if (SIGNED_BITS | UNSIGNED_BITS)[datatype] == 64 else 32
            assert getattr(metric, "long_value" if width == 64 else "int_value") == value % (1 << width)


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_a_sentence_or_read_the_same_when_written_again(data: bytes) -> None:
    with contextlib.suppress(DialectError):
        read = read_payload(data)
        written = [metric.written for metric in read.metrics]
        again = read_payload(write_payload(read.timestamp, read.seq, written))
        assert (again.timestamp, again.seq) == (read.timestamp, read.seq)
        assert [metric.written for metric in again.metrics] == written
        for metric in read.metrics:
            with contextlib.suppress(DialectError):
                metric_value(metric, metric.datatype, "x")


@pytest.mark.parametrize(
    ("hexadecimal", "said"),
    [
        ("08", "ends in the middle of a number"),
        ("08" + "ff" * 10, "a number of more than 10 bytes"),
        ("12ff01", "ends in the middle of field 2"),
        ("0b", "wire type 3"),
        ("00", "field number 0"),
        ("1000", "a metric is no length and bytes"),
        ("0d00000000", "field 1 is no number"),
        ("12020a05", "ends in the middle of field 1"),
        ("12030a01ff", "a name is no UTF-8"),
        ("120262" + "00", "value in field 12 is written otherwise"),
        ("12021200", "field 2 of a metric is no number"),
        ("1200" * (MAX_METRICS + 1), "more than the 5,000 metrics"),
        ("1205" + "0a01784a" + "05", "ends in the middle of field 9"),
        ("12fa030af703" + "61" * 503, "a name of 503 letters"),
    ],
)
def test_what_is_no_payload_is_refused_with_a_sentence(hexadecimal: str, said: str) -> None:
    with pytest.raises(DialectError, match=said):
        read_payload(bytes.fromhex(hexadecimal))


def test_a_payload_of_any_length_is_refused_before_it_is_read() -> None:
    with pytest.raises(DialectError, match="longer than the 1,048,576 allowed"):
        read_payload(b"\x00" * ((1 << 20) + 1))


@pytest.mark.parametrize(
    ("bits", "datatype", "value"),
    [(65449, 2, -87), (4294967209, 2, -87), (2**64 - 87, 2, -87), (250, 1, -6), (2**64 - 1, 4, -1), (127, 1, 127)],
)
def test_a_negative_number_is_read_in_whatever_width_it_comes(bits: int, datatype: int, value: int) -> None:
    (metric,) = read_payload(write_payload(None, None, [write_metric("x", T.UINT64, bits)])).metrics
    assert metric_value(metric, datatype, "x") == value


@pytest.mark.parametrize(("bits", "datatype"), [(300, 1), (40_000, 1), (70_000, 2), (2**33, 3), (256, 5), (2**32, 7)])
def test_a_number_that_its_datatype_does_not_hold_is_refused(bits: int, datatype: int) -> None:
    (metric,) = read_payload(write_payload(None, None, [write_metric("x", T.UINT64, bits)])).metrics
    with pytest.raises(DialectError, match="more than its datatype"):
        metric_value(metric, datatype, "x")


def test_a_single_precision_number_has_no_more_digits_than_it_needs() -> None:
    (metric,) = read_payload(write_payload(None, None, [write_metric("x", T.FLOAT, 21.43)])).metrics
    assert metric.value == 21.43
