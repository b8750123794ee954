"""When a device comes back, by how its last connections ended and by what the broker said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.reconnect import (
    PACES,
    SESSION_TAKEN_OVER,
    SUSPICIOUS,
    Comeback,
    ConnectionEnd,
    ReconnectConfig,
    ReconnectPace,
    ReconnectState,
)
from edgewire.mqtt.advice import ADVICE

CONFIG = ReconnectConfig(base="1s", cap="60s", stable="10s")
SOON_CLOSED = ConnectionEnd(lasted_s=0.1, is_unexplained=True)
SOON_THROWN_OUT = ConnectionEnd(lasted_s=0.1, is_unexplained=True, is_acknowledged=True)
PROVED = ConnectionEnd(lasted_s=10, is_acknowledged=True)


def comebacks(*ends: ConnectionEnd, config: ReconnectConfig = CONFIG) -> list[Comeback]:
    state = ReconnectState()
    return [state.plan_comeback(config, end, 0.5) for end in ends]


def waits(*ends: ConnectionEnd, config: ReconnectConfig = CONFIG) -> list[float]:
    return [one.delay_s for one in comebacks(*ends, config=config)]


@pytest.mark.parametrize(
    ("end", "wait_s"),
    [
        (PROVED, 0.5),
        (ConnectionEnd(lasted_s=9.9, is_acknowledged=True), 4.0),
        (ConnectionEnd(lasted_s=100), 4.0),
        (ConnectionEnd(), 4.0),
    ],
    ids=["lasted, acknowledged", "acknowledged, too short", "lasted, never acknowledged", "never made"],
)
def test_only_a_connection_that_has_proved_itself_begins_the_waits_anew(end: ConnectionEnd, wait_s: float) -> None:
    assert waits(ConnectionEnd(), ConnectionEnd(), ConnectionEnd(), end)[-1] == wait_s


def test_a_broker_that_closes_soon_after_it_accepted_is_met_ever_more_seldom() -> None:
    assert waits(*[SOON_CLOSED] * 9) == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [one.is_cut_short for one in comebacks(*[SOON_CLOSED] * 4)] == [False, False, True, True]
    assert sum(one.takeovers for one in comebacks(*[SOON_CLOSED] * 4)) == 0


@pytest.mark.parametrize("code", [0x8E, 0x97, 0x9F])
def test_who_is_told_to_ask_for_less_slows_down_at_once_and_never_comes_at_once(code: int) -> None:
    assert PACES[code] is ReconnectPace.SLOW
    assert waits(*[ConnectionEnd(code)] * 4) == [6, 12, 24, 45]
    assert CONFIG.delay_s(0, 0.0, ReconnectPace.SLOW) == 4


@pytest.mark.parametrize("code", [0x02, 0x04, 0x05, 0x85, 0x86, 0x87, 0x8A, 0x8C])
def test_who_will_be_refused_until_somebody_mends_it_comes_as_seldom_as_can_be(code: int) -> None:
    assert waits(ConnectionEnd(code), ConnectionEnd(code)) == [45, 45]


@pytest.mark.parametrize("code", [0x9C, 0x9D])
def test_who_is_sent_elsewhere_goes_there_only_where_that_is_allowed(code: int) -> None:
    assert waits(ConnectionEnd(code)) == [45]
    assert waits(ConnectionEnd(code), config=ReconnectConfig(follow_server_reference=True)) == [0.5]


@given(code=st.integers(0, 255), failures=st.integers(0, 10_000), uniform=st.floats(0, 1, exclude_max=True))
def test_every_code_has_a_wait_within_the_cap(code: int, failures: int, uniform: float) -> None:
    pace = PACES.get(code, ReconnectPace.USUAL)
    assert 0 <= CONFIG.delay_s(failures, uniform, pace) <= 60
    assert ReconnectConfig(policy="fixed", interval="5s").delay_s(failures, uniform, pace) == 5


def test_the_table_has_only_codes_with_which_a_connection_can_end() -> None:
    assert set(PACES) <= {*ADVICE["CONNACK"], *ADVICE["DISCONNECT"]}


def test_another_client_with_our_id_is_told_by_connections_that_were_used_and_end_without_a_word() -> None:
    seen = comebacks(*[SOON_THROWN_OUT] * (SUSPICIOUS + 2))
    assert [one.takeovers for one in seen] == [0, 0, 3, 1, 1]
    # From then on as if the broker had said so.
    state = ReconnectState()
    for _ in range(2):
        state.plan_comeback(CONFIG, SOON_THROWN_OUT, 0.5)
    assert state.plan_comeback(CONFIG, SOON_THROWN_OUT, 0.5).delay_s == CONFIG.delay_s(
        2, 0.5, PACES[SESSION_TAKEN_OVER]
    )


def test_two_such_ends_are_enough_where_the_other_devices_stayed_connected() -> None:
    state = ReconnectState()
    told = []
    for was_alone in (True, False, True, True):
        told.append(state.plan_comeback(CONFIG, SOON_THROWN_OUT, 0.5).takeovers)
        told.append(state.on_accepted_again(was_alone=was_alone))
    assert told == [0, 0, 0, 0, 3, 0, 1, 0]
    state = ReconnectState()
    told = [
        state.plan_comeback(CONFIG, SOON_THROWN_OUT, 0.5).takeovers + state.on_accepted_again(was_alone=True)
        for _ in range(4)
    ]
    assert told == [0, 2, 1, 1]


@pytest.mark.parametrize(
    "between",
    [ConnectionEnd(), ConnectionEnd(0x89), ConnectionEnd(lasted_s=60, is_acknowledged=True, is_unexplained=True)],
    ids=["the broker is away", "the broker says why", "one that lasts"],
)
def test_what_has_another_reason_is_no_sign_of_another_client(between: ConnectionEnd) -> None:
    row = [SOON_THROWN_OUT] * 2
    assert sum(one.takeovers for one in comebacks(*row, between, *row)) == 0
