"""One emulator in standby on a link that is only written to, and a real sensor that shows itself in every way."""

from unittest.mock import Mock

import orjson
import pytest

from devices.firmware.outbox import Reading
from devices.fleet.client_state import ClientState
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.standby_client import (
    BY_MESSAGE,
    BY_STATUS,
    BY_TAKEOVER,
    DRAIN_S,
    LOOK_S,
    MOST_BOOT,
)
from edgewire.mqtt import Acknowledged, ServerDisconnected, Version
from edgewire.run_record import BY_REQUEST
from tests.devices.fleet.standby_place import CONNECTED, Place


def reading(seq: int) -> Reading:
    return Reading(seq, b"t", b'{"seq":%d}' % seq, 1, 5)


def test_its_own_topics_are_subscribed_without_what_it_publishes_itself() -> None:
    place = Place()
    place.connect()
    filters = [one for call in place.link.subscribe.call_args_list for one in call.args[0]]
    own = [one for one in filters if not one.filter.endswith("/cmd")]
    assert {one.filter.rpartition("/")[2] for one in own} == {"telemetry", "event"}
    assert all(one.no_local for one in own)
    assert not place.owner.watch_readings.called


@pytest.mark.parametrize("retained", [False, True])
def test_a_status_of_hardware_that_is_there_lets_it_withdraw(retained: bool) -> None:
    place = Place()
    place.connect()
    place.hear_status(retained=retained)
    assert place.why() == BY_STATUS
    assert place.owner.on_withdrawn.call_count == 1
    # Without a goodbye: its status would stand over that of the sensor.
    assert place.link.close.called
    assert all(b'"offline"' not in payload for payload in place.published())


@pytest.mark.parametrize(
    "status",
    [{"origin": "emulated"}, {"state": "offline"}, {"origin": "emulated", "state": "offline"}],
    ids=["its own", "hardware that has gone", "its own will"],
)
@pytest.mark.parametrize("retained", [False, True])
def test_other_statuses_leave_it_where_it_is(status: dict[str, object], retained: bool) -> None:
    place = Place()
    place.connect()
    place.hear_status(retained=retained, **status)
    assert place.why() is None


def test_a_last_will_that_comes_late_is_followed_by_the_emulators_own_status() -> None:
    place = Place()
    place.connect()
    before = len(place.published())
    place.hear_status(state="offline", boot=3)
    place.client.tick()
    place.client.tick()
    assert [orjson.loads(payload)["state"] for payload in place.published()[before:]] == ["online"]


def test_a_status_without_an_origin_is_foreign_unless_it_is_one_of_its_own() -> None:
    place = Place()
    place.connect()
    place.hear_elsewhere(place.client.status_topic, b"Online", retained=True)
    assert place.why() is None, "of long ago, perhaps"
    place.hear_elsewhere(place.client.status_topic, b"Online")
    assert place.why() == BY_STATUS


def test_a_message_of_another_sender_lets_it_withdraw() -> None:
    place = Place()
    place.connect()
    place.hear("telemetry", {"boot": 1}, retain=True)
    assert place.why() is None
    place.hear("telemetry", {"boot": 1})
    assert place.why() == BY_MESSAGE


def test_what_the_session_has_kept_is_of_earlier_times() -> None:
    place = Place()
    assert place.client.begin_connect()
    place.client.on_events(place.link, [CONNECTED, place.message("telemetry", {"boot": 1})])
    assert place.why() is None


def test_a_takeover_lets_it_withdraw_and_is_no_fault_of_anybody() -> None:
    place = Place()
    place.connect()
    place.lose(ServerDisconnected(0x8E, ""))
    assert place.why() == BY_TAKEOVER
    assert not place.owner.incidents.record_takeover.called
    place.now_s += 3600
    place.client.tick()
    place.client.request_reconnect()
    assert place.client.state is ClientState.DISCONNECTED, "it does not throw the sensor out"


def test_takeovers_that_nobody_tells_of_let_it_withdraw_too() -> None:
    place = Place()
    for _ in range(3):
        place.connect()
        place.client.handle_reading(reading(0))
        place.client.on_events(place.link, [Acknowledged(1, 0, 0)])
        place.lose(unexplained=True)
        if place.client.absence:
            break
        # Another client says hello before it is back.
        assert place.owner.on_connect_requested.call_args.args[1] >= LOOK_S
    assert place.why() == BY_TAKEOVER


def test_a_takeover_of_the_fault_calendar_is_none() -> None:
    place = Place()
    place.connect()
    place.client.link_faults = LinkFaultState()
    place.client.link_faults.duplicate = Mock()
    place.lose(ServerDisconnected(0x8E, ""))
    assert place.why() is None


def test_what_it_would_have_measured_is_withheld_and_known_by_seq() -> None:
    place = Place()
    place.connect()
    place.client.handle_reading(reading(0))
    place.client.on_events(place.link, [Acknowledged(1, 0, 0)])
    place.hear_status()
    for seq in (1, 2, 3):
        place.client.handle_reading(reading(seq))
    place.client.lose_reading(4, 0)
    assert place.client.firmware.counters.last_seq == 0
    assert place.owner.on_withheld.call_count == 4
    (span,) = place.client.spans
    assert (span.from_ms, span.to_ms, span.withheld, span.withheld_count) == (4000, None, {"5": [(1, 4)]}, 4)


def test_what_was_measured_before_is_handed_in_by_another_connection() -> None:
    place = Place()
    place.connect()
    place.client.firmware.on_reading(reading(0), 0)
    place.link.writable = False
    place.hear_status()
    assert not place.link.close.called, "it may still be sent"
    place.now_s += DRAIN_S
    place.client.tick()
    assert place.link.close.called
    place.lose()
    (client, handed_in), _ = place.owner.hand_in.call_args
    assert (client, handed_in) == (place.client, [reading(0)])
    assert place.client.unacknowledged() == [(5, 0)]
    assert not place.client.is_drained
    place.client.on_handed_in(reading(0), 0)
    assert (place.client.acknowledged, place.client.unacknowledged(), place.client.is_drained) == (1, [], True)
    place.client.on_handed_in(reading(0), 0)
    assert place.client.acknowledged == 1, "each is counted once"


def test_what_the_broker_refuses_of_that_is_counted() -> None:
    place = Place()
    place.client.firmware.on_reading(reading(0), 0)
    place.hear_status()
    place.client.on_handed_in(reading(0), 0x87)
    assert [list(ranges.as_list()) for ranges in place.client.firmware.counters.refused.values()] == [[(0, 0)]]


def test_it_may_withdraw_before_it_was_ever_connected() -> None:
    place = Place()
    place.hear_status(retained=True)
    assert not place.client.begin_connect()
    assert (place.client.is_excused, place.client.state) == (True, ClientState.DISCONNECTED)


def test_it_closes_without_a_word_where_the_sensor_shows_itself_while_it_connects() -> None:
    place = Place()
    assert place.client.begin_connect()
    place.hear_status()
    place.client.on_events(place.link, [CONNECTED])
    assert place.link.close.called
    assert not place.link.publish.called


def test_it_comes_back_as_a_device_that_is_powered_on() -> None:
    place = Place()
    place.connect()
    place.hear_status(boot=2_000_000_000)
    place.lose()
    assert place.client.least_boot == 2_000_000_001
    place.client.begin_return(2_000_000_001, 9000)
    place.client.complete_return(9000)
    (span,) = place.client.spans
    assert (span.to_ms, place.client.absence) == (9000, None)
    assert place.client.state is ClientState.WAITING
    assert place.client.session.config.clean_start, "what waits in the session was for the sensor"
    place.link.subscribe.reset_mock()
    place.connect()
    will = place.client.session.will
    assert will is not None
    assert orjson.loads(will.payload)["boot"] == 2_000_000_001
    assert place.client.reconnects == 0, "it has lost nothing"
    assert not place.client.session.config.clean_start
    topics = [one.filter.rpartition("/")[2] for call in place.link.subscribe.call_args_list for one in call.args[0]]
    assert sorted(topics) == ["cmd", "event", "telemetry"]


@pytest.mark.parametrize("boot", [MOST_BOOT, -1, True, "7", None, 1.5])
def test_a_boot_that_is_no_counter_is_not_followed(boot: object) -> None:
    place = Place()
    place.hear_status(boot=boot)
    assert place.client.least_boot == 6


@pytest.mark.parametrize(("version", "granted"), [(Version.V311, True), (Version.V5, False)])
def test_where_its_own_connection_cannot_tell_another_one_listens_and_knows_its_echoes(
    version: Version, granted: bool
) -> None:
    place = Place(version)
    place.client.session.version = version
    place.connect(granted=granted)
    assert place.owner.watch_readings.call_args.args == (place.client, True)
    place.client.handle_reading(reading(0)._replace(qos=0))
    place.hear_elsewhere(place.client.reading_topics[0], reading(0).payload)
    assert place.why() is None
    place.hear_elsewhere(place.client.reading_topics[0], b'{"seq": 0}')
    assert place.why() == BY_MESSAGE


def test_whoever_listens_for_it_stops_once_it_hears_for_itself() -> None:
    place = Place()
    place.connect()
    place.hear_status()
    place.lose()
    place.client.begin_return(6, 9000)
    place.client.complete_return(9000)
    place.connect()
    assert [call.args[1] for call in place.owner.watch_readings.call_args_list] == [True, False]


def test_a_sleeping_device_leaves_too() -> None:
    place = Place(firmware={"sleep": {"awake": 0, "readings": 5}})
    place.connect()
    place.client.tick()
    place.client.tick()
    place.lose()
    assert place.client.is_asleep
    place.client.handle_reading(reading(0))
    place.hear_status()
    assert place.owner.hand_in.call_args.args[1] == [reading(0)]


def test_garbage_on_its_topics_is_a_message_of_another_sender_all_the_same() -> None:
    place = Place()
    place.connect()
    place.hear_elsewhere(place.client.reading_topics[1], b"\xff\x00[")
    assert place.why() == BY_MESSAGE


def test_it_leaves_as_it_is_told_and_stays_away_until_it_is_told_to_return() -> None:
    place = Place()
    place.connect()
    place.client.plan_leave(7000)
    assert (place.why(), place.client.away_since_ms) == (None, 7000)
    place.client.stand_by(7000)
    assert (place.why(), place.client.spans[0].from_ms) == (BY_REQUEST, 7000)
    assert place.client.absence is not None
    assert place.client.absence.is_held
    place.client.handle_reading(reading(4))
    assert place.client.spans[0].withheld == {"5": [(4, 4)]}


def test_what_it_measures_before_its_connection_has_ended_is_said_once_it_is_back() -> None:
    place = Place()
    place.connect()
    place.client.handle_reading(reading(3))
    place.client.stand_by(7000)
    assert place.client.link is not None, "it waits for an acknowledgement"
    place.client.come_back(9, 8000)
    place.client.handle_reading(reading(0)._replace(qos=0))
    place.client.lose_reading(1, 0)
    assert place.client.is_withdrawn
    place.lose()
    assert (place.client.is_withdrawn, place.client.firmware.boot, place.client.spans[0].to_ms) == (False, 9, 8000)
    assert place.owner.hand_in.call_args.args[1] == [reading(3)], "of the boot before, over the other connection"
    assert place.client.spans[0].withheld == {}
    place.connect()
    assert place.published()[-1] == reading(0).payload
    assert (place.client.firmware.counters.sent_qos0, len(place.client.firmware.counters.dropped)) == (1, 1)


def test_what_it_could_not_say_any_more_is_withheld_in_the_boot_in_which_it_was_measured() -> None:
    place = Place()
    place.connect()
    place.client.handle_reading(reading(3))
    place.client.stand_by(7000)
    place.client.come_back(9, 8000)
    place.client.handle_reading(reading(0))
    place.client.stand_by(9000)
    assert place.client.spans[0].withheld == {"9": [(0, 0)]}
    assert place.client.least_boot == 10
