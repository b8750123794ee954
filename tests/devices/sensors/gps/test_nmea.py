"""NMEA sentences of a GPS unit."""

from functools import reduce
from operator import xor
from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.sensors.gps.nmea import sentences
from devices.timeline.timeline import Timeline
from devices.world.geoid import geoid_height_m
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
HOUR_MS = 3_600_000


def readings(from_ms: int, to_ms: int, *groups: dict[str, Any], seed: int = 5) -> list[dict[str, Any]]:
    timeline = Timeline(Scenario(seed=seed, devices=groups), from_ms)
    return [orjson.loads(payload) for payload in timeline.batch(from_ms, to_ms).payload]


class TestNmea:
    def rows(self) -> list[dict[str, Any]]:
        group = {"kind": "gps", "count": 60, "interval": "30s", "settings": {"nmea": True}}
        return readings(MONDAY_MS, MONDAY_MS + HOUR_MS, group)

    @pytest.mark.slow
    def test_every_checksum_is_right_and_the_order_is_a_receivers(self) -> None:
        for row in self.rows():
            for line in row["nmea"]:
                body, checksum = line[1:].split("*")
                assert line[0] == "$"
                assert f"{reduce(xor, body.encode()):02X}" == checksum
            sorts = [line[3:6] for line in row["nmea"]]
            assert sorts == ["RMC", "VTG", "GGA", "GSA", *["GSV"] * (len(sorts) - 5), "GLL"]

    @pytest.mark.slow
    def test_sentences_say_what_the_message_says(self) -> None:
        for row in self.rows():
            fields = {line[3:6]: line.split("*")[0].split(",") for line in row["nmea"]}
            rmc, gga, gsa = fields["RMC"], fields["GGA"], fields["GSA"]
            assert rmc[9] == "020326"
            assert rmc[1][:6] == row["timestamp"][11:19].replace(":", "")
            assert gsa[2] == {"none": "1", "2d": "2", "3d": "3"}[row["fix"]]
            if row["fix"] == "none":
                assert (rmc[2], rmc[3:9], gga[6], gga[7]) == ("V", [""] * 6, "0", "00")
                continue
            assert (rmc[2], gga[6]) == ("A", "1")
            assert int(rmc[3][:2]) + float(rmc[3][2:]) / 60 == pytest.approx(row["latitude"], abs=2e-6)
            assert int(rmc[5][:3]) + float(rmc[5][3:]) / 60 == pytest.approx(row["longitude"], abs=2e-6)
            assert float(rmc[7]) * 1.852 == pytest.approx(row["speed_kmh"], abs=0.01)
            assert (rmc[8] == "") == (row["heading_deg"] is None)
            assert int(gga[7]) == min(row["satellites"], 12)
            assert float(gga[8]) == row["hdop"]

    def test_a_standing_receiver_leaves_the_course_empty(self) -> None:
        lines = sentences(MONDAY_MS + 1230, -33.999999999, -0.5, None, 0.4, None, 1.2, 15, 30)
        assert lines[0].startswith("$GNRMC,000001.23,A,3400.00000,S,00030.00000,W,0.216,,020326,,,A*")
        assert lines[1].startswith("$GNVTG,,T,,M,0.216,N,0.400,K,A*")
        assert lines[3].startswith("$GNGSA,A,2,30,31,32,01,")

    def test_messages_without_the_setting_have_none(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 10_000, {"kind": "gps", "count": 1, "interval": "1s"})
        assert all("nmea" not in row for row in rows)


class TestTheSecondWorldsSky:
    def rows(self, seed: int = 5) -> list[dict[str, Any]]:
        group = {"kind": "gps", "count": 8, "interval": "300s", "settings": {"nmea": True}}
        timeline = Timeline(Scenario(seed=seed, devices=[group], world=2), MONDAY_MS)
        messages = timeline.batch(MONDAY_MS + 8 * HOUR_MS, MONDAY_MS + 16 * HOUR_MS).payload
        return [orjson.loads(payload) for payload in messages]

    def test_satellites_move_and_all_sentences_agree(self) -> None:
        heights: dict[int, set[int]] = {}
        signals: list[tuple[int, int]] = []
        for row in self.rows():
            lines = [line[1:].split("*")[0].split(",") for line in row["nmea"]]
            of = {fields[0][2:]: fields for fields in lines}
            assert row["fix"] != "none" or of["RMC"][2] == "V"
            pages = [fields for fields in lines if fields[0] == "GPGSV"]
            seen = [fields[at : at + 4] for fields in pages for at in range(4, len(fields), 4)]
            assert len(seen) == int(pages[0][3])
            for prn, height, _, signal in seen:
                heights.setdefault(int(prn), set()).add(int(height))
                if signal:
                    signals.append((int(height), int(signal)))
            if row["fix"] == "none":
                continue
            used = [prn for prn in of["GSA"][3:15] if prn]
            assert len(used) == int(of["GGA"][7]) == row["satellites"] <= 12
            heard = {prn for prn, _, _, signal in seen if signal}
            assert heard.issuperset(used), row
            assert float(of["GGA"][8]) == float(of["GSA"][16]) == row["hdop"]
            assert [of[name][at] for name, at in (("RMC", 1), ("GGA", 1), ("GLL", 5))] == [of["RMC"][1]] * 3
            assert of["RMC"][1].endswith(".00")
            # The geoid is 45 m above the ellipsoid in Paris.
            assert 40 < float(of["GGA"][11]) < 50
        assert max(len(some) for some in heights.values()) > 20
        assert len(heights) > 20
        low, high = ([signal for height, signal in signals if (height < 25) == is_low] for is_low in (True, False))
        assert sum(high) / len(high) > sum(low) / len(low) + 5

    @pytest.mark.parametrize("seed", [2, 5])
    def test_dilution_falls_with_the_satellites(self, seed: int) -> None:
        by_count: dict[int, list[float]] = {}
        for row in self.rows(seed):
            if row["fix"] != "none":
                by_count.setdefault(row["satellites"], []).append(row["hdop"])
        means = [sum(by_count[count]) / len(by_count[count]) for count in sorted(by_count) if len(by_count[count]) > 20]
        assert len(means) > 3
        assert means == sorted(means, reverse=True)
        assert all(hdop >= 0.5 for some in by_count.values() for hdop in some)


def test_the_geoid_is_that_of_egm2008() -> None:
    # Paris 44.6, New York -32.8, the low south of India -105, New Guinea 75 m, within the grid's some metres.
    found = geoid_height_m(np.array([48.85, 40.7, 3.0, -5.0]), np.array([2.35, -74.0, 78.5, 145.0]))
    assert found == pytest.approx([44.6, -32.8, -102.0, 73.0], abs=8)
