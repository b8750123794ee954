"""The timeline live: scheduler, connections, ramp, and the record of what was emitted."""

from devices.fleet.fleet import Fleet
from devices.fleet.histogram import Histogram
from devices.fleet.lead import start_lead_ms
from devices.fleet.limit import Limit, find_limit
from devices.fleet.probe import probe, probe_all
from devices.fleet.routes import Routes, routes_of
from devices.fleet.snapshot import Snapshot

__all__ = [
    "Fleet",
    "Histogram",
    "Limit",
    "Routes",
    "Snapshot",
    "find_limit",
    "probe",
    "probe_all",
    "routes_of",
    "start_lead_ms",
]
