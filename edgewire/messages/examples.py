"""One or more valid payloads of every message: for the schemas, for documentation and for tests."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgewire.messages.base import Payload
from edgewire.messages.bme280 import Bme280Reading
from edgewire.messages.control import Command, Result, Status
from edgewire.messages.gps import GpsPosition
from edgewire.messages.people import FootTrafficCount, FootTrafficCrossing, FootTrafficSession
from edgewire.messages.telematics import TelematicsEvent
from edgewire.messages.traffic import TrafficEvent

_TIME = "2026-03-02T08:15:00.000Z"
_BOOT = 825667200


def _head(device_id: str, seq: int = 0) -> dict[str, Any]:
    return {"device_id": device_id, "timestamp": _TIME, "boot": _BOOT, "seq": seq}


EXAMPLES: Mapping[type[Payload], tuple[dict[str, Any], ...]] = MappingProxyType(
    {
        Bme280Reading: (
            _head("bme280_fake_001", 117)
            | {
                "temperature_c": 21.43,
                "humidity": 44.1,
                "pressure_hpa": 1013.25,
                "metadata": {
                    "generator": "edgefleet",
                    "version": "0.1.0",
                    "weather_event": True,
                    "weather_type": "front",
                },
            },
        ),
        TrafficEvent: (
            _head("camera-0003", 12)
            | {
                "interval_s": 60.0,
                "uptime": 1.0,
                "vehicle_count": 3,
                "avg_speed": 47.2,
                "min_speed": 41.0,
                "max_speed": 53.9,
                "color_counts": {"white": 2, "black": 1},
                "class_counts": {"car": 3},
                "direction_counts": {"north": 2, "south": 1},
                "inter_arrival_stats": {"mean": 14.1, "min": 6.3, "max": 21.9, "std": 7.8},
                "traffic_density_score": 0.08,
            },
            _head("camera-0003", 13)
            | {
                "interval_s": 60.0,
                "vehicle_count": 0,
                "avg_speed": None,
                "min_speed": None,
                "max_speed": None,
                "color_counts": {},
                "inter_arrival_stats": {"mean": None, "min": None, "max": None, "std": None},
                "traffic_density_score": 0.0,
            },
        ),
        GpsPosition: (
            _head("gps-0007", 4021)
            | {
                "vehicle_id": "V0007",
                "fix": "3d",
                "latitude": 48.85661,
                "longitude": 2.35222,
                "altitude_m": 38.4,
                "speed_kmh": 31.7,
                "heading_deg": 273.5,
                "hdop": 0.9,
                "satellites": 11,
                "battery_v": 13.8,
                "signal_dbm": -79,
            },
            _head("gps-0007", 4022)
            | {
                "vehicle_id": "V0007",
                "fix": "none",
                "latitude": None,
                "longitude": None,
                "altitude_m": None,
                "speed_kmh": None,
                "heading_deg": None,
                "hdop": 99.99,
                "satellites": 2,
            },
        ),
        TelematicsEvent: (
            _head("telematics-0007", 58)
            | {
                "event_id": "5f0c1d0b2a9e4c6f8b7d3e1a90c4f2d6",
                "driver_id": "D0007",
                "trip_id": "D0007-0003",
                "ts": _TIME,
                "event_type": "hard_braking",
                "events": ["hard_braking", "tailgating"],
                "latitude": 48.85661,
                "longitude": 2.35222,
                "speed_mph": 19.7,
                "heading_deg": 273,
                "period_minute": 14,
                "braking_g": 0.52,
                "following_distance_m": 6.1,
                "weather": "rainy",
                "road_type": "city",
                "traffic_density": 0.64,
                "time_of_day": "rush_hour",
                "risk_label": "risky",
            },
        ),
        FootTrafficSession: (
            _head("people-0001", 40)
            | {
                "event_type": "foot_traffic",
                "customer_id": "3b9f6f0e-6d5c-4b57-9a51-3a1f0c2a7d44",
                "entry_time": "2026-03-02T07:52:30.000Z",
                "exit_time": _TIME,
                "trip_duration_minutes": 22.5,
                "weekday": "Monday",
                "time_slot": "07:00–09:59",
            },
        ),
        FootTrafficCrossing: (
            _head("people-0001", 39)
            | {"event_type": "exit", "time": _TIME, "weekday": "Monday", "time_slot": "07:00–09:59"},
        ),
        FootTrafficCount: (
            _head("people-0001", 41)
            | {
                "event_type": "count",
                "interval_s": 300.0,
                "entries": 4,
                "exits": 3,
                "total_entries": 61,
                "total_exits": 48,
                "occupancy": 13,
            },
        ),
        Status: (
            {
                "state": "online",
                "device_id": "gps-0007",
                "boot": _BOOT,
                "firmware": "edgefleet/0.1.0",
                "origin": "emulated",
                "timestamp": _TIME,
                "sent": 4022,
                "buffered": 0,
                "dropped": 0,
                "uptime_s": 4022.5,
                "reset_reason": "power_on",
                "rssi_dbm": -67,
                "battery_pct": 81.5,
                "battery_v": 4.03,
            },
        ),
        Command: (
            {"id": "c-17", "action": "set_interval", "arguments": {"interval": "5s"}},
            {"id": "c-18", "action": "reboot", "expires": "2026-03-02T08:16:00.000Z"},
        ),
        Result: (
            {"id": "c-17", "device_id": "gps-0007", "boot": _BOOT, "ok": True, "timestamp": _TIME},
            {
                "id": "c-18",
                "device_id": "gps-0007",
                "boot": _BOOT,
                "ok": False,
                "error": "key 'interval' is missing",
                "timestamp": _TIME,
            },
        ),
    }
)
