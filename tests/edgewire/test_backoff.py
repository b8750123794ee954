"""Full jitter: never negative, never above the ceiling, the ceiling never above the cap."""

from hypothesis import given
from hypothesis import strategies as st

from edgewire.backoff import Backoff


@given(
    base=st.floats(0.001, 10),
    cap=st.floats(0.001, 600),
    attempt=st.integers(0, 10_000),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_delays_stay_within_their_ceiling(base: float, cap: float, attempt: int, uniform: float) -> None:
    backoff = Backoff(base_s=base, cap_s=cap)
    assert 0 <= backoff.delay(attempt, uniform) <= backoff.ceiling(attempt) <= cap
    assert backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1)


def test_ceilings_double() -> None:
    backoff = Backoff(base_s=0.5, cap_s=5)
    assert [backoff.ceiling(attempt) for attempt in range(5)] == [0.5, 1, 2, 4, 5]
