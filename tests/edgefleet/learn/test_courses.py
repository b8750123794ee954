"""What devices have in common, what some have more of, and what goes along with what: each is found, and made again."""

from typing import Any

import numpy as np
import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.world.noise import fractal_noise, smooth_noise
from devices.world.random import Floats, Ints
from edgefleet.learn.comparison import emulated_series
from edgefleet.learn.correlation import correlate_fields, correlation
from edgefleet.learn.drift_fit import fit_drift
from edgefleet.learn.field_models import number_model
from edgefleet.learn.moments import measure
from edgefleet.learn.noise_fit import fit_noise
from edgefleet.learn.payload_mapping import LearnedField
from edgefleet.learn.shared_course import shared_at, shared_course

READINGS, INTERVAL_MS, DEVICES = 120, 10_000, 24
TIMES: Ints = np.arange(READINGS, dtype=np.int64) * INTERVAL_MS


def course(key: int, period_ms: int, *, is_smooth: bool = True) -> Floats:
    make = smooth_noise if is_smooth else fractal_noise
    return np.asarray(make(5, "seen", np.full(READINGS, key, dtype=np.uint64), TIMES, period_ms))


def noises(seed: int = 1) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.3, READINGS) for _ in range(DEVICES)]


def scenario(fields: dict[str, Any], sites: int = 1) -> Scenario:
    return Scenario.model_validate(
        {
            "sites": [{"name": f"s{at}", "latitude": 48 + at, "longitude": 2} for at in range(sites)],
            "kinds": {"thing": {"fields": fields}},
            "devices": [{"kind": "thing", "count": DEVICES, "interval": "10s"}],
        }
    )


def said(fields: dict[str, Any], name: str, sites: int = 1) -> list[Floats]:
    return emulated_series(scenario(fields, sites), "thing", name, READINGS * INTERVAL_MS / 1000)


def share_in_common(series: list[Floats]) -> float:
    least = min(map(len, series))
    beside = np.array([one[:least] - one[:least].mean() for one in series])
    return float(beside.mean(axis=0).var() / beside.var())


def test_noise_may_be_of_all_devices_of_a_site() -> None:
    noise = {"deviation": 1, "period": "2m", "shared": True}
    assert share_in_common(said({"a": {"noise": noise}}, "a")) > 0.9
    apart = said({"a": {"noise": noise}}, "a", sites=2)
    # They are dealt out in turn.
    assert share_in_common(apart) < 0.8
    assert share_in_common(apart[::2]) > 0.9


def test_deviations_may_differ_from_device_to_device() -> None:
    plain = measure(said({"a": {"noise": {"deviation": 1}, "decimals": 6}}, "a"))
    spread = measure(said({"a": {"noise": {"deviation": 1, "spread": 1}, "decimals": 6}}, "a"))
    assert plain.uneven < 0.15
    assert 0.6 < spread.uneven < 1.4


def test_a_window_says_the_same_whenever_it_is_asked_for() -> None:
    fields = {"a": {"noise": {"deviation": 1, "period": "2m", "shared": True, "spread": 0.5}}}
    line = Timeline(scenario(fields, sites=3), 0)
    whole = list(line.batch(0, 60_000).payload)
    halves = [*line.batch(0, 30_000).payload, *line.batch(30_000, 60_000).payload]
    assert whole == halves


def test_what_all_do_together_is_found() -> None:
    common = course(1, 120_000)
    columns = [20 + number + common + own for number, own in enumerate(noises())]
    found = shared_course([TIMES] * DEVICES, columns, INTERVAL_MS)
    assert found is not None
    assert np.corrcoef(shared_at(found, 0, TIMES, INTERVAL_MS), common)[0, 1] > 0.97
    assert shared_course([TIMES] * DEVICES, noises(), INTERVAL_MS) is None
    assert shared_course([TIMES] * 3, columns[:3], INTERVAL_MS) is None


def test_what_is_learned_of_it_is_in_common_again() -> None:
    common = course(1, 120_000)
    columns = [common + own for own in noises()]
    model = number_model("a", [(TIMES, one.round(2).tolist()) for one in columns], INTERVAL_MS)
    assert "together" in model.says
    made = said(model.configs, "a")
    assert share_in_common(made) == pytest.approx(share_in_common(columns), abs=0.15)


def test_a_drift_of_some_is_found_beside_what_all_do() -> None:
    rng = np.random.default_rng(2)
    columns = [
        factor * course(number, 300_000) + own
        for number, (own, factor) in enumerate(zip(noises(), np.exp(rng.normal(0, 1.0, DEVICES)), strict=True))
    ]
    drift = fit_drift(columns, INTERVAL_MS)
    assert drift is not None
    assert drift.spread > 0.4
    assert drift.period_ms >= 120_000
    assert fit_drift(noises(), INTERVAL_MS) is None
    assert fit_drift(columns[:8], INTERVAL_MS) is None
    model = number_model("a", [(TIMES, one.round(2).tolist()) for one in columns], INTERVAL_MS)
    made, seen = measure(said(model.configs, "a")), measure(columns)
    assert made.within == pytest.approx(seen.within, rel=0.5)
    assert made.uneven == pytest.approx(seen.uneven, abs=0.35)


def test_what_values_are_rounded_to_is_not_taken_for_noise() -> None:
    columns = [course(number, 300_000).round(1) for number in range(DEVICES)]
    seen = measure(columns)
    assert fit_noise(seen, READINGS, INTERVAL_MS, 0.1).fast < fit_noise(seen, READINGS, INTERVAL_MS).fast + 1e-9
    alone = measure([one.round(0) for one in noises()])
    assert fit_noise(alone, READINGS, INTERVAL_MS, 1.0).fast < alone.within


def field(name: str, columns: list[Floats]) -> LearnedField:
    model = number_model(name, [(TIMES, one.round(3).tolist()) for one in columns], INTERVAL_MS)
    return LearnedField(name, model.configs, model.says, [one.round(3) for one in columns])


def test_fields_that_go_along_do_so_again() -> None:
    rows = [course(number, 120_000, is_smooth=False) for number in range(DEVICES)]
    others = [-2 * one + 0.5 * course(100 + number, 120_000, is_smooth=False) for number, one in enumerate(rows)]
    fields = [field("a", rows), field("b", others), field("c", noises(3))]
    correlate_fields(fields)
    assert "with a" in fields[1].says
    assert "with" not in fields[2].says
    configs = {name: config for one in fields for name, config in one.configs.items()}
    made = correlation(said(configs, "a"), said(configs, "b"))
    wanted = correlation(fields[0].captured, fields[1].captured)
    assert wanted is not None
    assert made == pytest.approx(wanted, abs=0.25)


def test_what_is_not_said_together_is_not_compared() -> None:
    rows = noises()
    assert correlation(rows, rows[1:]) is None
    assert correlation(rows, [one[1:] for one in rows]) is None
    assert correlation([one[:5] for one in rows], [one[:5] for one in rows]) is None
    assert correlation(rows, [np.zeros(READINGS)] * DEVICES) is None
