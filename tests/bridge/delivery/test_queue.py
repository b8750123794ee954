from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.buffer import MemoryBudget
from bridge.delivery.queue import DeliveryQueue
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import Rejected, Retry, Scope
from edgewire.backoff import Backoff
from tests.bridge.fakes import in_order, routed

BACKOFF = Backoff(base_s=1.0, cap_s=8.0)
DOWN = Retry(cause="down", reason="down")
BUSY = Retry(cause="busy", reason="busy", scope=Scope.DEVICE)
TABLE = RouteTable()


def never(ids: Sequence[int]) -> list[RoutedEvent]:
    raise AssertionError(f"nothing was evicted, and {ids} are asked for")


def queue(*devices: str) -> DeliveryQueue:
    filled = DeliveryQueue(BACKOFF, 30.0, MemoryBudget(1000, 1 << 20), never)
    for number, device in enumerate(devices, 1):
        filled.enqueue(routed(number, device, TABLE))
    return filled


def ids(batch: list[RoutedEvent]) -> list[str]:
    return [one.message_id for one in batch]


def test_an_empty_queue_waits_for_a_message() -> None:
    empty = queue()
    assert empty.wait_s(0) is None
    assert empty.take_batch(10, 0) == []


def test_trouble_of_the_queue_holds_all_of_it_and_the_wait_grows() -> None:
    tried = queue("a", "b", "a")
    for ceiling in (1.0, 2.0, 4.0, 8.0, 8.0):
        batch = tried.take_batch(2, 0)
        assert ids(batch) == ["a:1:1", "b:1:2"]
        outcome = tried.complete_batch(batch, {0: DOWN, 1: DOWN}, 0, 0.5)
        assert outcome.queue_error == DOWN
        assert outcome.retried == {"down": 2}
        assert tried.wait_s(0) == ceiling / 2
        assert tried.take_batch(10, ceiling / 2 - 0.01) == []
        tried.retry_now()
    batch = tried.take_batch(10, 0)
    assert in_order(ids(batch))
    assert len(tried.complete_batch(batch, {}, 0, 0.5).delivered) == len(batch)


def test_the_wait_is_short_again_after_a_success() -> None:
    tried = queue("a")
    for _ in range(4):
        tried.complete_batch(tried.take_batch(1, 99), {0: DOWN}, 0, 0.99)
        tried.retry_now()
    tried.complete_batch(tried.take_batch(1, 99), {}, 0, 0.99)
    tried.enqueue(routed(2, "a", TABLE))
    tried.complete_batch(tried.take_batch(1, 99), {0: DOWN}, 0, 0.5)
    assert tried.wait_s(0) == 0.5


def test_a_device_that_waits_holds_back_its_own_messages_alone() -> None:
    tried = queue("a", "b")
    tried.complete_batch(tried.take_batch(10, 0), {0: BUSY}, 0, 0.5)
    for number, device in enumerate("abab", 3):
        tried.enqueue(routed(number, device, TABLE))
    batch = tried.take_batch(10, 0.1)
    assert ids(batch) == ["b:1:4", "b:1:6"]
    tried.complete_batch(batch, {}, 0.1, 0.5)
    assert tried.wait_s(0.1) == 0.4
    probe = tried.take_batch(10, 0.5)
    assert ids(probe) == ["a:1:1"]
    tried.complete_batch(probe, {}, 0.5, 0.5)
    assert ids(tried.take_batch(10, 0.5)) == ["a:1:3", "a:1:5"]


def test_a_message_that_fails_alone_stops_nobody_else() -> None:
    tried = queue("a", "a", "b", "c")
    alone = tried.take_batch(1, 0)
    assert ids(alone) == ["a:1:1"]
    assert tried.complete_batch(alone, {0: DOWN}, 0, 0.0).queue_error == DOWN
    probe = tried.take_batch(1, 0)
    assert ids(probe) == ["b:1:3"]  # it was not to be a's turn again
    assert tried.complete_batch(probe, {0: DOWN}, 0, 0.0).queue_error == DOWN
    probe = tried.take_batch(1, 0)
    assert ids(probe) == ["c:1:4"]
    tried.complete_batch(probe, {}, 0, 0.5)  # so it is the messages, and these devices wait alone from now on
    assert tried.take_batch(10, 0) == []
    assert tried.wait_s(0) == 0.5
    tried.enqueue(routed(5, "d", TABLE))
    tried.enqueue(routed(6, "a", TABLE))
    batch = tried.take_batch(10, 0.1)
    assert ids(batch) == ["d:1:5"]
    tried.complete_batch(batch, {}, 0.1, 0.5)
    first = tried.take_batch(10, 0.5)
    assert ids(first) == ["a:1:1"]
    outcome = tried.complete_batch(first, {0: DOWN}, 0.5, 0.5)
    assert (outcome.queue_error, outcome.device_errors) == (None, {"a": DOWN})
    second = tried.take_batch(10, 0.5)
    assert ids(second) == ["b:1:3"]
    tried.complete_batch(second, {}, 0.5, 0.5)
    assert tried.wait_s(0.5) == 1.0
    third = tried.take_batch(10, 1.5)
    assert ids(third) == ["a:1:1"]
    tried.complete_batch(third, {}, 1.5, 0.5)
    assert ids(tried.take_batch(10, 1.5)) == ["a:1:2", "a:1:6"]


def test_where_all_fail_alone_each_has_its_turn() -> None:
    tried = queue("a", "b", "c")
    turns = []
    for _ in range(6):
        batch = tried.take_batch(1, 0)
        turns += [one.device_id for one in batch]
        tried.complete_batch(batch, {0: DOWN}, 0, 0.0)
    assert turns == ["a", "b", "c", "a", "b", "c"]


def test_a_probe_is_of_a_device_that_has_not_failed_by_itself_where_there_is_one() -> None:
    tried = queue("bad", "worse")
    tried.complete_batch(tried.take_batch(10, 0), {0: BUSY, 1: BUSY}, 0, 0.5)
    for number, device in enumerate(["bad", "good", "fine"], 3):
        tried.enqueue(routed(number, device, TABLE))
    turns = []
    for now in range(1, 7):
        (probe,) = tried.take_batch(1, now * 100, probe=True)
        turns.append(probe.device_id)
        error = DOWN if probe.device_id in ("good", "fine") else BUSY
        tried.complete_batch([probe], {0: error}, now * 100, 0.0)
        tried.retry_now()
    # The two that may be well take turns; the others only where there is nobody else.
    assert turns == ["good", "fine", "good", "fine", "good", "fine"]
    last = tried.take_batch(1, 1000, probe=True)
    outcome = tried.complete_batch(last, {}, 1000, 0.0)
    assert ids(outcome.delivered) == ["good:1:4"]


def test_those_that_fail_while_others_get_through_say_nothing_of_the_destination() -> None:
    tried = queue("bad", "worse")
    outcome = tried.complete_batch(tried.take_batch(10, 0), {0: BUSY, 1: BUSY}, 0, 0.5)
    assert outcome.doubtful_devices == 2
    outcome = tried.complete_batch(tried.take_batch(10, 100), {0: BUSY, 1: BUSY}, 100, 0.5)
    assert outcome.doubtful_devices == 2
    tried.enqueue(routed(3, "good", TABLE))
    tried.complete_batch(tried.take_batch(10, 100), {}, 100, 0.5)
    outcome = tried.complete_batch(tried.take_batch(10, 200), {0: BUSY, 1: BUSY}, 200, 0.5)
    assert [*outcome.device_errors] == ["bad", "worse"]
    assert outcome.doubtful_devices == 0


def test_a_rejection_says_how_often_the_message_was_tried() -> None:
    tried = queue("a", "b")
    tried.complete_batch(tried.take_batch(10, 0), {0: DOWN, 1: DOWN}, 0, 0.0)
    outcome = tried.complete_batch(tried.take_batch(10, 0), {0: Rejected("bad")}, 0, 0.0)
    assert [(one.message_id, why.reason, attempts) for one, why, attempts in outcome.rejected] == [("a:1:1", "bad", 2)]
    assert ids(outcome.delivered) == ["b:1:2"]


def test_a_destination_that_names_a_time_is_not_asked_before() -> None:
    tried = queue("a")
    tried.complete_batch(tried.take_batch(1, 0), {0: Retry(cause="429", reason="", after_s=7.0)}, 0, 0.5)
    wait = tried.wait_s(0)
    assert wait is not None
    assert 7.0 <= wait <= 8.0


def test_what_only_a_person_can_change_is_asked_rarely() -> None:
    tried = queue("a")
    tried.complete_batch(tried.take_batch(1, 0), {0: Retry(cause="404", reason="", needs_operator=True)}, 0, 0.0)
    assert tried.wait_s(0) == 30.0


def test_a_device_whose_evicted_messages_are_not_to_be_delivered_any_more_is_not_waited_for() -> None:
    window = MemoryBudget(1000, 1 << 20)
    tried = DeliveryQueue(BACKOFF, 30.0, window, lambda _: [])
    for number in range(1, 4):
        one = routed(number, "a", TABLE)
        window.reserve(one)
        tried.enqueue(one)
    tried.complete_batch(tried.take_batch(3, 0), {0: BUSY, 1: BUSY, 2: BUSY}, 0, 0.5)
    assert tried.evict(0, stalled=True) == 2
    batch = tried.take_batch(3, 99)
    assert ids(batch) == ["a:1:1"]
    tried.complete_batch(batch, {}, 99, 0.5)
    assert tried.take_batch(3, 99) == []
    # Or the worker would ask again at once, for ever, and nothing else would have its turn on the loop.
    assert tried.wait_s(99) is None


FATES = st.sampled_from(["ok", "ok", "rejected", "device", "queue"])


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=25), st.data())
def test_whatever_a_sink_answers_every_message_ends_once_and_in_order(devices: list[str], data: st.DataObject) -> None:
    waiting = [routed(number, device, TABLE) for number, device in enumerate(devices, 1)]
    spool = {one.message.id: one for one in waiting}
    window = MemoryBudget(1000, 1 << 20)
    tried = DeliveryQueue(BACKOFF, 30.0, window, lambda numbers: [spool[number] for number in numbers])
    ended: list[str] = []
    now = 0.0
    for turn in range(120):
        pushed = data.draw(st.integers(0, 5)) if waiting and turn < 40 else len(waiting)
        for one in waiting[:pushed]:
            window.reserve(one)
            tried.enqueue(one)
        if data.draw(st.booleans()):
            tried.evict(data.draw(st.integers(0, 4)), stalled=data.draw(st.booleans()))
        del waiting[:pushed]
        batch = tried.take_batch(data.draw(st.integers(1, 6)), now)
        fates = data.draw(st.lists(FATES, min_size=len(batch), max_size=len(batch))) if turn < 40 else []
        failures: dict[int, Retry | Rejected] = {}
        stuck: set[str] = set()
        for position, (one, fate) in enumerate(zip(batch, fates, strict=False)):
            # As the contract of a sink asks: after a retry nothing of the device is delivered, after one of the queue
            # nothing at all.
            if "*" in stuck or one.device_id in stuck:
                failures[position] = DOWN if "*" in stuck else BUSY
            elif fate == "rejected":
                failures[position] = Rejected("bad")
            elif fate in ("device", "queue"):
                failures[position] = BUSY if fate == "device" else DOWN
                stuck.add(one.device_id if fate == "device" else "*")
        outcome = tried.complete_batch(batch, failures, now, 0.5)
        done = {one.message_id for one in outcome.delivered} | {one.message_id for one, _, _ in outcome.rejected}
        ended += [one.message_id for one in batch if one.message_id in done]
        for one in batch:
            if one.message_id in done:
                window.release(one)
        assert 0 <= window.messages <= len(devices) - len(ended)
        now += 5.0
        if not waiting and tried.wait_s(now) is None:
            break
    assert len(ended) == len(devices)
    assert (window.messages, window.bytes) == (0, 0)
    assert in_order(ended)
