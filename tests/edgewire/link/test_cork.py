"""What is held back leaves in one write, and is to the byte what would have left in many."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from edgewire.link import Link
from edgewire.link.protocol import CORKED_PACKETS
from edgewire.mqtt import Session, SessionConfig, SessionState, Version, encode
from edgewire.mqtt.packets import Connack


class Written(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.writes.append(b"aborted")


def connected() -> tuple[Link, list[bytes]]:
    """A link whose connection stands, and what it writes from then on."""
    transport = Written()
    link = Link(Session(SessionConfig(client_id="c"), Version.V5), lambda _link, _events: None)
    link.connection_made(transport)
    link.data_received(encode(Connack(), Version.V5))
    assert link.connected
    transport.writes.clear()
    return link, transport.writes


def test_what_is_held_back_leaves_in_one_write_when_it_is_let_go() -> None:
    link, writes = connected()
    assert link.cork()
    assert not link.cork()
    for _ in range(3):
        link.publish("t", b"x", qos=1)
    assert writes == []
    link.uncork()
    assert len(writes) == 1
    link.publish("t", b"x", qos=1)
    assert len(writes) == 2


def test_no_more_is_held_back_than_a_writer_may_run_ahead() -> None:
    link, writes = connected()
    link.cork()
    for _ in range(CORKED_PACKETS + 1):
        link.publish("t", b"x")
    assert len(writes) == 1
    link.uncork()
    assert len(writes) == 2


def test_what_was_held_back_of_a_connection_that_was_cut_is_still_under_way() -> None:
    link, writes = connected()
    link.cork()
    link.publish("t", b"x", qos=1, token="kept")
    link.abort()
    link.uncork()
    assert writes == [b"aborted"]
    assert link.session.state is SessionState.IDLE
    assert link.session.unacknowledged() == ["kept"]


@given(
    messages=st.lists(st.tuples(st.sampled_from((b"t", b"u/v")), st.binary(max_size=300), st.integers(0, 1))),
    cuts=st.sets(st.integers(0, 20)),
)
def test_the_bytes_are_the_same_wherever_they_are_let_go(
    messages: list[tuple[bytes, bytes, int]], cuts: set[int]
) -> None:
    plain, written = connected()
    corked, held = connected()
    corked.cork()
    for place, (topic, payload, qos) in enumerate(messages):
        for link in (plain, corked):
            link.publish(topic, payload, qos=qos)
        if place in cuts:
            corked.uncork()
            corked.cork()
    corked.uncork()
    assert b"".join(held) == b"".join(written)
    assert len(held) <= len(written)
