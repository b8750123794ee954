"""Bridges that are broken on purpose, one promise each: the model has to notice every one of them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from bridge.delivery.ack_tracker import AckTracker
from bridge.delivery.queue import DeliveryQueue
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failures, Retry
from bridge.sinks.http.sink import HttpSink
from bridge.spool.message import DeadLetter, SpooledMessage
from bridge.spool.spool import Spool
from tests.bridge.test_model import BridgeModel

pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]

_EARLY_S = 0.05


class PatientModel(BridgeModel):
    """The same without cuts of the connection, after which the bridge takes its time to come back."""

    cut_the_connection = None  # type: ignore[assignment]


_TRIES = settings(
    max_examples=30,
    stateful_step_count=15,
    deadline=None,
    # The first example that fails is enough: nobody looks for a smaller one.
    phases=[Phase.generate],
    database=None,
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """What the bridge has acknowledged and not handed over is lost when it is cancelled."""
    append = Spool.append_messages

    def late(spool: Spool, group: list[SpooledMessage], done: Callable[[], None]) -> None:
        done()

        def hand_over() -> None:
            with suppress(Exception):
                append(spool, group, lambda: None)

        asyncio.get_running_loop().call_later(_EARLY_S, hand_over)

    patch.setattr(Spool, "append_messages", late)


def move_the_cursor_past_the_last_of_a_batch(patch: pytest.MonkeyPatch) -> None:
    """What was not written is called delivered, and the cursor goes by."""
    write = HttpSink.write

    async def short(sink: HttpSink, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        return await write(sink, queue_key, batch[: max(1, len(batch) - 1)])

    patch.setattr(HttpSink, "write", short)


def drop_what_is_to_be_tried_again(patch: pytest.MonkeyPatch) -> None:
    write = HttpSink.write

    async def once(sink: HttpSink, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        failures = await write(sink, queue_key, batch)
        return {at: one for at, one in failures.items() if not isinstance(one, Retry)}

    patch.setattr(HttpSink, "write", once)


def deliver_in_another_order(patch: pytest.MonkeyPatch) -> None:
    take_batch = DeliveryQueue.take_batch

    def reversed_batch(queue: DeliveryQueue, limit: int, now: float, *, probe: bool = False) -> list[RoutedEvent]:
        return take_batch(queue, limit, now, probe=probe)[::-1]

    patch.setattr(DeliveryQueue, "take_batch", reversed_batch)


def count_what_is_delivered_twice(patch: pytest.MonkeyPatch) -> None:
    record_delivered = AckTracker.record_delivered

    def twice(tracker: AckTracker, message_ids: Iterable[int]) -> None:
        record_delivered(tracker, [one for message_id in message_ids for one in (message_id, message_id)])

    patch.setattr(AckTracker, "record_delivered", twice)


def call_what_is_dead_delivered(patch: pytest.MonkeyPatch) -> None:
    def buried(tracker: AckTracker, letter: DeadLetter) -> None:
        tracker.record_delivered([letter.message_id])

    patch.setattr(AckTracker, "record_dead", buried)


@pytest.mark.parametrize(
    "break_it",
    [
        acknowledge_before_the_commit,
        move_the_cursor_past_the_last_of_a_batch,
        drop_what_is_to_be_tried_again,
        deliver_in_another_order,
        count_what_is_delivered_twice,
        call_what_is_dead_delivered,
    ],
    ids=lambda function: function.__name__,
)
def test_a_broken_bridge_is_noticed(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    # When processes meet is up to the machine: the same steps once more may go well, which is noticed all the same.
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(PatientModel, settings=_TRIES)


def test_a_bridge_that_is_whole_is_not_complained_of() -> None:
    run_state_machine_as_test(PatientModel, settings=settings(_TRIES, max_examples=5))
