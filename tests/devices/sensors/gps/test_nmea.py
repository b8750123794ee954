"""NMEA sentences of a GPS unit."""

from functools import reduce
from operator import xor
from typing import Any

import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.sensors.gps.nmea import sentences
from devices.timeline.timeline import Timeline
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
