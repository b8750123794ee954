"""What must hold for all packets, all chunkings and all garbage."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.mqtt import PacketDecoder, ProtocolError, Version, encode
from edgewire.mqtt.packets import Packet, Publish
from tests.edgewire.mqtt.peer import BOTH
from tests.edgewire.mqtt.strategies import cuttings, packets

LIMIT = 4096


def read(version: Version, chunks: list[bytes]) -> tuple[list[Packet], ProtocolError | None]:
    """The packets before the first fault, and the fault."""
    decoder, found = PacketDecoder(version, LIMIT), []
    try:
        for chunk in chunks:
            found.extend(decoder.feed(chunk))
    except ProtocolError as error:
        return found, error
    return found, None


@pytest.mark.parametrize("version", BOTH)
@given(data=st.data())
def test_what_is_encoded_is_decoded_as_it_was_in_any_chunks(version: Version, data: st.DataObject) -> None:
    written = data.draw(st.lists(packets(version), max_size=6))
    stream = b"".join(encode(packet, version) for packet in written)
    assert read(version, data.draw(cuttings(stream))) == (written, None)


@pytest.mark.parametrize("version", BOTH)
@given(data=st.data())
def test_a_packet_that_is_cut_short_gives_nothing_or_a_protocol_error(version: Version, data: st.DataObject) -> None:
    packet = data.draw(packets(version))
    stream = encode(packet, version)
    end = data.draw(st.integers(0, len(stream) - 1))
    assert read(version, [stream[:end]]) == ([], None)
    # The same with a length that says it is whole.
    if 2 <= end <= 127 and stream[1] < 128:
        found, fault = read(version, [bytes((stream[0], end - 2)) + stream[2:end]])
        assert len(found) == (fault is None)


@pytest.mark.parametrize("version", BOTH)
@given(data=st.data())
def test_a_mutated_stream_gives_packets_or_a_protocol_error_whatever_the_chunks(
    version: Version, data: st.DataObject
) -> None:
    stream = bytearray(
        b"".join(encode(packet, version) for packet in data.draw(st.lists(packets(version), max_size=4)))
    )
    for position, byte in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5)):
        if position < len(stream):
            stream[position] = byte
    whole = bytes(stream)
    found, fault = read(version, [whole])
    again, same_fault = read(version, data.draw(cuttings(whole)))
    assert (found, str(fault)) == (again, str(same_fault))


@pytest.mark.parametrize("version", BOTH)
@given(garbage=st.binary(max_size=300), data=st.data())
def test_garbage_gives_packets_or_a_protocol_error(version: Version, garbage: bytes, data: st.DataObject) -> None:
    found, fault = read(version, [garbage])
    again, same_fault = read(version, data.draw(cuttings(garbage)))
    assert (found, str(fault)) == (again, str(same_fault))


@pytest.mark.parametrize("version", BOTH)
@given(data=st.data())
def test_a_decoded_packet_that_is_encoded_again_means_the_same(version: Version, data: st.DataObject) -> None:
    stream = bytearray(encode(data.draw(packets(version)), version))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    for packet in read(version, [bytes(stream)])[0]:
        assert read(version, [encode(packet, version)]) == ([packet], None)


def test_a_length_is_refused_before_its_body_arrives() -> None:
    decoder = PacketDecoder(Version.V5, LIMIT)
    with pytest.raises(ProtocolError, match="larger than the 4096") as caught:
        list(decoder.feed(b"\x30\xff\xff\xff\x7f"))
    assert caught.value.code == 0x95


@pytest.mark.parametrize(("size", "taken"), [(LIMIT, True), (LIMIT + 1, False)])
def test_the_limit_is_that_of_the_whole_packet_with_its_header(size: int, taken: bool) -> None:
    packet = encode(Publish(topic="t", payload=bytes(size - 6)), Version.V311)
    assert len(packet) == size
    found, fault = read(Version.V311, [packet])
    assert (bool(found), fault is None) == (taken, taken)


def test_a_promised_length_allocates_nothing() -> None:
    decoder = PacketDecoder(Version.V5, 268_435_460)
    tracemalloc.start()
    try:
        list(decoder.feed(b"\x30\xff\xff\xff\x7f" + b"\0" * 100))
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_a_large_packet_in_single_bytes_is_read_in_linear_time() -> None:
    """Quadratic copying would take minutes, which the time limit of a test does not allow."""
    packet = Publish(topic="t", payload=bytes(400_000))
    decoder = PacketDecoder(Version.V5, 1 << 20)
    found = [one for byte in encode(packet, Version.V5) for one in decoder.feed(bytes((byte,)))]
    assert found == [packet]


@pytest.mark.slow
def test_a_packet_of_a_hundred_thousand_properties_is_read_in_linear_time() -> None:
    pairs = (("", ""),) * 200_000
    packet = Publish(topic="t", properties={"user_property": pairs})
    assert list(PacketDecoder(Version.V5, 1 << 21).feed(encode(packet, Version.V5))) == [packet]
