"""Headways: when vehicles pass a point of a lane."""

import numpy as np
import pytest

from devices.world.arrivals import LEAST_HEADWAY_S, arrivals, free_share
from devices.world.random import hash_bits


class TestHeadways:
    def lane(self, flow_vph: int) -> np.ndarray:
        counts = np.full(400, flow_vph)
        groups = np.repeat(np.arange(400), counts)
        number = np.arange(len(groups))
        moments = arrivals(
            hash_bits(3, "t", number), hash_bits(3, "e", np.arange(400)), groups, counts, np.full(400, 3600.0)
        )
        gaps = np.diff(moments.reshape(400, -1), axis=1)
        assert (gaps >= LEAST_HEADWAY_S - 1e-6).all()
        assert moments.reshape(400, -1)[:, -1].max() <= 3600
        return np.asarray(gaps.reshape(-1))

    # Cowan M3, least headway 2 s, k = 0.2: share of free vehicles by flow.
    @pytest.mark.parametrize(("flow_vph", "free"), [(300, 0.96), (600, 0.91), (900, 0.83), (1200, 0.71)])
    def test_shares_of_free_vehicles(self, flow_vph: int, free: float) -> None:
        gaps = self.lane(flow_vph)
        assert gaps.mean() == pytest.approx(3600 / flow_vph, rel=0.02)
        assert (gaps > LEAST_HEADWAY_S + 1e-5).mean() == pytest.approx(free, abs=0.012)
        assert float(free_share(np.array([flow_vph / 3600]))[0]) == pytest.approx(free, abs=0.006)

    def test_free_gaps_are_exponential(self) -> None:
        beyond = self.lane(600) - LEAST_HEADWAY_S
        beyond = beyond[beyond > 1e-5]
        assert beyond.std() / beyond.mean() == pytest.approx(1, abs=0.03)
