"""Listeners are told what happens through queues that are bounded, and there are only so many of them."""

from edgefleet.control.events import MOST_LISTENERS, MOST_QUEUED, EventHub, encode_event


def test_an_event_is_written_as_browsers_read_it() -> None:
    assert encode_event("event", {"text": "a\nb"}, 7) == b'id: 7\nevent: event\ndata: {"text":"a\\nb"}\n\n'
    assert encode_event("state", {}) == b"event: state\ndata: {}\n\n"


def test_who_comes_later_is_told_the_newest_state_and_the_last_events() -> None:
    hub = EventHub()
    for number in range(1000):
        hub.publish(b"event %d" % number, is_state=False)
        hub.publish(b"state %d" % number, is_state=True)
    listener = hub.subscribe()
    assert listener is not None
    assert (listener.queue[0], listener.queue[-2], listener.queue[-1]) == (b"event 968", b"event 999", b"state 999")


def test_a_listener_that_does_not_read_is_let_go_and_the_others_are_told_all() -> None:
    hub = EventHub()
    slow, quick = hub.subscribe(), hub.subscribe()
    assert slow is not None
    assert quick is not None
    for number in range(MOST_QUEUED + 1):
        hub.publish(b"%d" % number, is_state=False)
        assert quick.queue.popleft() == b"%d" % number
    assert (slow.is_dropped, len(slow.queue), quick.is_dropped) == (True, MOST_QUEUED, False)


def test_there_are_only_so_many() -> None:
    hub = EventHub()
    listeners = [hub.subscribe() for _ in range(MOST_LISTENERS)]
    assert None not in listeners
    assert hub.subscribe() is None
    assert listeners[0] is not None
    hub.unsubscribe(listeners[0])
    assert hub.subscribe() is not None
    hub.close()
    assert listeners[1] is not None
    assert listeners[1].is_over
