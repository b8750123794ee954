from tests.chaos.lag import AT_MOST_S, STILL_S, DrainLag


def test_a_drain_that_gets_on_slowly_may_go_on() -> None:
    drain = DrainLag(began=100.0)
    for second in range(int(STILL_S) * 2):
        drain.record(1000 - second, 100.0 + second)
        assert drain.problem(100.0 + second + 0.5) is None


def test_a_drain_that_stands_still_is_stuck_and_says_since_when() -> None:
    drain = DrainLag(began=100.0)
    drain.record(90, 101.0)
    drain.record(47, 105.0)
    drain.record(47, 130.0)
    assert drain.problem(105.0 + STILL_S - 0.1) is None
    assert drain.problem(105.0 + STILL_S) == "stuck: nothing more arrived for 40 s, 47 left since 5 s"


def test_what_grows_and_shrinks_again_is_no_progress() -> None:
    drain = DrainLag(began=0.0)
    for second in range(int(STILL_S)):
        drain.record(50 + second % 2, float(second))
    assert drain.steps == [(0.0, 50)]
    assert "stuck" in (drain.problem(STILL_S) or "")


def test_a_bridge_that_says_nothing_at_all_is_stuck() -> None:
    assert "stuck" in (DrainLag(began=7.0).problem(7.0 + STILL_S) or "")


def test_however_steadily_it_gets_on_there_is_an_end() -> None:
    drain = DrainLag(began=0.0)
    for second in range(int(AT_MOST_S) + 1):
        drain.record(1000 - second, float(second))
    assert (drain.problem(AT_MOST_S) or "").startswith("slow, not stuck: not drained after 900 s, 100 left")
