"""The pacer emits what the timeline says, in its order, when it is due and not before."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import orjson
import pytest

from devices.fleet.pacer import TICK_S, Emit, Pacer
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.device_time import DeviceTime

NOON_MS = parse_ms("2026-03-04T12:00:00Z")


def emit_to(payloads: list[bytes]) -> Emit:
    return lambda _position, _seq, _address, payload: payloads.append(payload)


def passing(scale: float) -> DeviceTime:
    return DeviceTime(NOON_MS, scale)


def timeline(**group: object) -> Timeline:
    return Timeline(Scenario(seed=1, devices=[{"kind": "bme280", "count": 20, "interval": "200ms", **group}]), NOON_MS)


@pytest.mark.slow
async def test_everything_due_is_emitted_once_in_order_and_not_early() -> None:
    line = timeline()
    loop = asyncio.get_running_loop()
    emitted: list[tuple[int, int, bytes]] = []
    moments: list[float] = []

    def emit(position: int, seq: int, address: int, payload: bytes) -> None:
        assert address == 0
        emitted.append((position, seq, payload))
        moments.append(loop.time())

    started = loop.time() + 0.05
    pacer = Pacer(line, NOON_MS, passing(1.0), emit)
    await pacer.run_pacer(started, 1.0, asyncio.Event())
    expected = line.batch(NOON_MS, NOON_MS + 1000)
    assert emitted == list(zip(expected.device, expected.seq, expected.payload, strict=True))
    assert all(moment >= started + (due - NOON_MS) / 1000 for moment, due in zip(moments, expected.due_ms, strict=True))
    assert pacer.lag.total == len(emitted) == 100


async def test_time_can_be_scaled_without_changing_what_is_said() -> None:
    line = timeline(interval="10s")
    payloads: list[bytes] = []
    pacer = Pacer(line, NOON_MS, passing(600.0), emit_to(payloads))
    await pacer.run_pacer(asyncio.get_running_loop().time(), 0.2, asyncio.Event())
    assert payloads == line.batch(NOON_MS, NOON_MS + 120_000).payload


async def test_time_comes_to_pass_at_another_scale_without_a_change_of_what_is_said() -> None:
    line = timeline()
    loop = asyncio.get_running_loop()
    emitted: list[tuple[float, bytes]] = []

    def emit(_position: int, _seq: int, _address: int, payload: bytes) -> None:
        emitted.append((loop.time(), payload))

    time, began, step_ms = passing(1.0), loop.time(), NOON_MS + 50
    pacer = Pacer(line, NOON_MS, time, emit, barriers=[step_ms, NOON_MS + 100_000])
    running = asyncio.create_task(pacer.run_pacer(began, 0.4, asyncio.Event()))
    await asyncio.sleep(0.01)
    time.change_scale(step_ms, 100.0)
    time.change_scale(step_ms + 10_000, 10.0)
    pacer.pass_barrier(step_ms)
    async with asyncio.timeout(30):
        await running
    end_ms = time.device_ms(400)
    expected = line.batch(NOON_MS, end_ms)
    assert pacer.computed_until_ms == end_ms == NOON_MS + 12_550
    assert [payload for _, payload in emitted] == expected.payload
    due = [began + time.elapsed_ms(one) / 1000 for one in expected.due_ms]
    assert all(moment >= one for (moment, _), one in zip(emitted, due, strict=True))


async def test_what_is_overdue_lets_others_have_their_turn_and_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.fleet.pacer.MOST_AT_ONCE", 7)
    line, said, turns = timeline(count=50), list[bytes](), list[int]()
    pacer = Pacer(line, NOON_MS, passing(1.0), emit_to(said))
    before, missing = list[bytes](), list[bytes]()
    expected = line.batch(NOON_MS, NOON_MS + 1000)
    due_ms = dict(zip(expected.payload, expected.due_ms, strict=True))

    def act() -> None:
        before.extend(said)
        missing.extend(payload for payload in expected.payload[len(said) :] if due_ms[payload] < at_ms)

    at_ms = expected.due_ms[100]
    pacer.schedule_action(at_ms, act)

    async def look() -> None:
        while True:
            turns.append(len(said))
            assert all(due_ms[payload] < pacer.reached_ms for payload in said)
            assert all(due_ms[payload] >= pacer.reached_ms for payload in expected.payload[len(said) :])
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    # It begins ten seconds late.
    await pacer.run_pacer(asyncio.get_running_loop().time() - 10, 1.0, asyncio.Event())
    assert not looking.done()
    looking.cancel()
    assert said == expected.payload
    assert (pacer.lag.total, pacer.reached_ms) == (len(said), NOON_MS + 1000)
    assert max(after - one for one, after in pairwise(turns)) <= 7 + max(Counter(expected.due_ms).values())
    assert before
    assert all(due_ms[payload] < at_ms for payload in before)
    assert not missing


async def test_a_stop_is_heeded_between_two_readings() -> None:
    line = timeline(interval="1h")
    stop = asyncio.Event()
    pacer = Pacer(line, NOON_MS, passing(1.0), lambda *_: None)
    task = asyncio.create_task(pacer.run_pacer(asyncio.get_running_loop().time(), math.inf, stop))
    async with asyncio.timeout(30):
        # The second window is computed while the first one, in which nothing is due, is waited for.
        for _ in range(3000):
            if pacer.computed_until_ms >= NOON_MS + 2000:
                break
            await asyncio.sleep(0.01)
        stop.set()
        await task


@pytest.mark.slow
async def test_with_messages_each_device_emits_so_many_and_the_run_ends() -> None:
    line = timeline()
    emitted: list[tuple[int, int]] = []
    pacer = Pacer(
        line,
        NOON_MS,
        passing(1.0),
        lambda position, seq, _address, _payload: emitted.append((position, seq)),
        messages=3,
    )
    async with asyncio.timeout(30):
        await pacer.run_pacer(asyncio.get_running_loop().time(), math.inf, asyncio.Event())
    assert sorted(emitted) == [(position, seq) for position in range(20) for seq in range(3)]
    assert pacer.lag.total == 60


@pytest.mark.slow
async def test_what_is_scheduled_comes_in_its_turn_among_the_messages() -> None:
    line = timeline()
    done: list[tuple[int, str]] = []
    expected = line.batch(NOON_MS, NOON_MS + 2000)
    moments = [NOON_MS, expected.due_ms[7], NOON_MS + 1000, expected.due_ms[150], NOON_MS + 1999]

    def scheduled_actions(from_ms: int, to_ms: int) -> list[tuple[int, Callable[[], None]]]:
        return [(at, partial(done.append, (at, "planned"))) for at in moments if from_ms <= at < to_ms]

    def emit(position: int, seq: int, address: int, payload: bytes) -> None:
        done.append((parse_ms(orjson.loads(payload)["timestamp"]), "emitted"))

    pacer = Pacer(line, NOON_MS, passing(4.0), emit, scheduled_actions)
    assert pacer.computed_until_ms == NOON_MS
    await pacer.run_pacer(asyncio.get_running_loop().time(), 0.5, asyncio.Event())
    assert pacer.computed_until_ms == NOON_MS + 2000
    assert [at for at, what in done if what == "planned"] == moments
    assert done == sorted(done, key=lambda one: (one[0], one[1] == "emitted"))
    assert len(done) == len(expected) + len(moments)


async def test_a_burst_is_told_of_before_it_and_is_over_before_anything_else_is_done() -> None:
    line = timeline()
    told: list[int | str] = []
    moments = [NOON_MS + 100, NOON_MS + 300]

    def scheduled_actions(from_ms: int, to_ms: int) -> list[tuple[int, Callable[[], None]]]:
        return [(at, partial(told.append, "act")) for at in moments if from_ms <= at < to_ms]

    emit = partial(_tell, told)
    pacer = Pacer(line, NOON_MS, passing(1.0), emit, scheduled_actions, on_burst=told.append)
    # It is late by all of it.
    await pacer.run_pacer(asyncio.get_running_loop().time() - 1.0, 0.5, asyncio.Event())
    emitted = len(line.batch(NOON_MS, NOON_MS + 500))
    assert told.count("emitted") == emitted
    assert max(one for one in told if isinstance(one, int)) >= emitted
    state = 0
    for one in told:
        if isinstance(one, int):
            state = one
        else:
            assert (state > 0) is (one == "emitted")
    assert state == 0
    assert told.count("act") == len(moments)


def _tell(told: list[int | str], *_reading: object) -> None:
    told.append("emitted")


@pytest.mark.slow
async def test_an_act_behind_what_is_computed_is_done_in_its_turn() -> None:
    line = timeline()
    done: list[int] = []

    def emit(position: int, seq: int, address: int, payload: bytes) -> None:
        if not done:
            # As a command does: it begins where nothing is computed yet.
            begin = pacer.computed_until_ms
            done.append(begin)
            pacer.schedule_action(begin, lambda: done.append(pacer.reached_ms))

    pacer = Pacer(line, NOON_MS, passing(40.0), emit)
    await pacer.run_pacer(asyncio.get_running_loop().time(), 1.3, asyncio.Event())
    begin, reached = done
    assert NOON_MS < begin < NOON_MS + 52_000
    # All that is due before is emitted but for what leaves with it, after a long tick on a busy machine; nothing that
    # is due then.
    assert begin - 40 * 1000 * 50 * TICK_S <= reached <= begin


async def test_what_is_due_at_a_barrier_waits_until_it_is_passed_and_nothing_is_lost() -> None:
    line = timeline()
    payloads: list[bytes] = []
    barriers = [NOON_MS, NOON_MS + 1500, NOON_MS + 90_000]
    pacer = Pacer(
        line,
        NOON_MS,
        passing(10.0),
        emit_to(payloads),
        barriers=barriers,
    )
    running = asyncio.create_task(pacer.run_pacer(asyncio.get_running_loop().time(), 0.4, asyncio.Event()))
    async with asyncio.timeout(30):
        await asyncio.sleep(0.05)
        assert (pacer.computed_until_ms, payloads) == (NOON_MS, [])
        pacer.pass_barrier(NOON_MS)
        while pacer.reached_ms < NOON_MS + 1500:  # noqa: ASYNC110 - the pacer has no event
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert pacer.computed_until_ms == NOON_MS + 1500
        assert payloads == line.batch(NOON_MS, NOON_MS + 1500).payload
        pacer.pass_barrier(NOON_MS + 1500)
        # The last one is behind its end.
        await running
    assert payloads == line.batch(NOON_MS, NOON_MS + 4000).payload


async def test_a_barrier_that_nobody_passes_holds_nothing_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.fleet.pacer.BARRIER_S", 0.05)
    line = timeline()
    payloads: list[bytes] = []
    pacer = Pacer(
        line,
        NOON_MS,
        passing(10.0),
        emit_to(payloads),
        barriers=[NOON_MS + 1],
    )
    async with asyncio.timeout(30):
        await pacer.run_pacer(asyncio.get_running_loop().time(), 0.1, asyncio.Event())
    assert payloads == line.batch(NOON_MS, NOON_MS + 1000).payload
