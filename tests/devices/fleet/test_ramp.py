"""The ramp slows down for a broker that is slow to answer, and recovers."""

from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.connect_queue import LEAST_PER_S, SLOW_S, Ramp


def test_slow_answers_halve_the_rate_and_quick_ones_bring_it_back() -> None:
    ramp = Ramp(400)
    ramp.answered(SLOW_S * 2, 10)
    assert ramp.per_second == 200
    ramp.answered(SLOW_S * 2, 10.5)
    assert ramp.per_second == 200, "what was dialled before the change says nothing about it"
    ramp.failed(11)
    assert ramp.per_second == 100
    for second in range(12, 30):
        ramp.answered(0.01, second)
    assert ramp.per_second == 400
    assert ramp.slowed_s(100) == ramp.slowed_s(30) > 0


@given(
    limit=st.floats(0.1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 5), st.one_of(st.none(), st.floats(0, 5))), max_size=50),
)
def test_the_rate_stays_between_its_bounds(limit: float, steps: list[tuple[float, float | None]]) -> None:
    ramp, now = Ramp(limit), 100.0
    for wait_s, latency_s in steps:
        now += wait_s
        if latency_s is None:
            ramp.failed(now)
        else:
            ramp.answered(latency_s, now)
        assert min(LEAST_PER_S, limit) <= ramp.per_second <= limit
        assert 0 <= ramp.slowed_s(now) <= now - 100
